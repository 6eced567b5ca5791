"""What a sweep shows of its runs."""

import pytest

from experiments.sweep import view as sweep_view
from experiments.sweep.state import State

STATES = {
  "a/seed=0": State("waiting"),
  "a/seed=1": State("finished", "94.60 ± 3.10"),
  "a/seed=2": State("failed", "error: [bold]" + "far too long " * 40),
  "a/seed=3": State("running", "a 5/9"),
}


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_keeps_its_columns(capsys, width):
  table_lib = pytest.importorskip("rich.table")
  console = pytest.importorskip("rich.console").Console(width=width)
  more = {f"b/seed={i}": State("waiting") for i in range(40)}
  table = sweep_view._table(table_lib, "t", STATES | more, {"a/seed=3": 7.2})
  console.print(table)
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].startswith("t: 1 finished, 1 running, 1 failed, 41 waiting")
  rows = [line for line in lines if "│" in line]
  cells = [[c.strip() for c in row.strip("│").split("│")] for row in rows]
  assert cells[0] == ["a/seed=3", "running", "7 s", "a 5/9"]
  assert cells[1][:3] == ["a/seed=2", "failed", ""]
  assert cells[1][3].startswith("error: [bold]far") and len(rows[1]) <= width
  assert cells[2] == ["a/seed=1", "finished", "", "94.60 ± 3.10"]
  assert cells[-1][0] == "and 14 more" and len(cells) == 31


def test_lines_tell_what_changed_and_nothing_twice(capsys):
  with sweep_view.opened("t") as show:  # no terminal
    show(STATES)
    show(STATES)
    show({**STATES, "a/seed=3": State("finished", "90.00")})
  out = capsys.readouterr().out.splitlines()
  assert out[0].startswith("2/4  failed  a/seed=2  error: ")
  assert out[1] == "2/4  running  a/seed=3"
  assert out[2] == "3/4  finished  a/seed=3  0 s  90.00" and len(out) == 3
