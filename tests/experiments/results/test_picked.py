"""Grids of fixed weights: held-out images choose, and the test set does not."""

import json

import pytest
from finished_runs import write

from experiments import compare, results, table
from experiments.results import picked
from metaaux.errors import UserError

PAPER = 86.24  # 100 - 13.76, the error that the paper prints for its search


def grid(folder, *, held_out=True):
  """Three points of a grid and two other runs; the last point tests best."""
  data = {"dataset": "tfds:cifar10", "labels_per_class": 400}
  data["meta_per_class"] = 500 * held_out
  write(folder, "single", [0.5, 0.6], (0, 1), data)
  rules = {"method": "arml", **data}
  write(folder, "arml", [0.7, 0.7], (0, 1), rules)
  for name, test, right in (
    ("0.5,1.5", [0.6, 0.6], [0.5, 0.7]),
    ("1.0,1.0", [0.7, 0.7], [0.8, 0.6]),
    ("1.5,0.5", [0.8, 0.9], [0.5, 0.6]),
  ):
    values = tuple(map(float, name.split(",")))
    point = {"weighting.name": "fixed", "weighting.values": values}
    write(folder, name, test, (0, 1), rules | point, accuracy=right)
    path = folder / name / "result.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"method": "weights:fixed"}))
  return results.load(str(folder))


def beside_the_paper(found):
  """Name -> published number of each run that has one."""
  rows = compare.compare(found, "single").rows
  return {
    row.result["name"]: row.paper.value for row in rows if row.paper is not None
  }


def test_only_the_pick_of_held_out_images_stands_beside_a_grid_search(tmp_path):
  found = grid(tmp_path)
  numbers = beside_the_paper(found)
  assert numbers == {"single": 79.74, "arml": 86.32, "1.0,1.0": PAPER}
  numbers = beside_the_paper(picked.pick(found, "weighting.values"))
  assert numbers == {"single": 79.74, "arml": 86.32, "1.0,1.0": PAPER}


def test_without_held_out_images_no_run_does(tmp_path):
  found = grid(tmp_path, held_out=False)
  assert PAPER not in beside_the_paper(found).values()
  with pytest.raises(UserError, match=r"held no images out .*meta_per_class"):
    picked.pick(found, "weighting.values")


def test_neither_does_a_run_that_is_alone(tmp_path):
  found = [run for run in grid(tmp_path) if run["name"] not in ("0.5,1.5",)]
  assert PAPER in beside_the_paper(found).values()
  found = [run for run in found if run["name"] != "1.5,0.5"]
  assert PAPER not in beside_the_paper(found).values()


def test_the_table_keeps_the_pick(tmp_path, capsys):
  grid(tmp_path)
  flags = [f"--workdir={tmp_path}", "--best_of=weighting.values"]
  assert table.main(flags) == 0
  out = capsys.readouterr().out
  rows = [line for line in out.splitlines() if line.startswith("| weights:")]
  assert len(rows) == 1 and "70.00" in rows[0] and str(PAPER) in rows[0]
  assert "the best of 3 values of weighting.values by held-out images" in out
  assert "(70.00 % of them right)" in out
  assert table.main([f"--workdir={tmp_path}"]) == 0
  out = capsys.readouterr().out
  assert out.count(f" {PAPER} ") == 1 and "only the best of a grid" in out


def test_grids_that_cannot_be_picked_from(tmp_path):
  found = grid(tmp_path)
  with pytest.raises(UserError, match=r"no run has the key 'weighting\.value'"):
    picked.pick(found, "weighting.value")
  next(run for run in found if run["name"] == "1.0,1.0")["seeds"] = [0, 2]
  with pytest.raises(UserError, match="of other seeds"):
    picked.pick(found, "weighting.values")
