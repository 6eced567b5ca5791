import io
import json
import math
import os
import re
import sys

import numpy as np
import pytest
from full_disk import full_disk
from terminals import Terminal

from metaaux import files
from metaaux.errors import UserError
from metaaux.run import confidence_intervals
from metaaux.run.logs import progress as progress_lib
from metaaux.run.logs import rows as rows_lib


class Notebook(io.StringIO):
  """No terminal; known by where its class comes from."""

  __module__ = "ipykernel.iostream"


@pytest.mark.parametrize(
  ("values", "mean", "half"),
  [
    # Quantiles t(0.975, n - 1) from printed tables: 12.706, 4.3027, 2.7764.
    ([1.0, 2.0], 1.5, 12.7062 * math.sqrt(0.5) / math.sqrt(2)),
    ([1.0, 2.0, 3.0], 2.0, 4.30265 / math.sqrt(3)),
    ([1.0, 2.0, 3.0, 4.0, 5.0], 3.0, 2.77645 * math.sqrt(2.5 / 5)),
    ([0.5] * 4, 0.5, 0.0),
    ([0.5], 0.5, None),
  ],
)
def test_mean_ci(values, mean, half):
  found = confidence_intervals.mean_ci(values)
  assert found[0] == pytest.approx(mean, rel=1e-12)
  assert found[1] == (None if half is None else pytest.approx(half, rel=1e-5))


def test_mean_ci_covers_95_of_100_times():
  draws = np.random.default_rng(0).normal(3.0, 2.0, (4000, 5))
  means, halves = zip(*map(confidence_intervals.mean_ci, draws), strict=True)
  inside = np.abs(np.array(means) - 3.0) <= halves
  # 2000 +- 4 standard deviations of a binomial would be +- 0.0138.
  assert abs(inside.mean() - 0.95) < 0.0138


def test_paired_removes_what_the_seeds_share():
  baseline = [0.1, 0.5, 0.9]
  mean, half = confidence_intervals.paired([0.2, 0.7, 1.2], baseline)
  assert mean == pytest.approx(0.2)
  assert half == pytest.approx(4.30265 * 0.1 / math.sqrt(3), rel=1e-5)
  assert confidence_intervals.paired([0.2], [0.1])[1] is None
  with pytest.raises(ValueError, match="same seeds; got 2 and 3 values"):
    confidence_intervals.paired([0.1, 0.2], baseline)


def test_format_ci():
  assert confidence_intervals.format_ci(0.71344, 0.00456) == "71.34 ± 0.46"
  assert confidence_intervals.format_ci(0.71344, None) == "71.34"
  assert (
    confidence_intervals.format_ci(1.5, 0.25, percent=False) == "1.50 ± 0.25"
  )


def test_write_json_is_atomic(tmp_path, monkeypatch):
  path = tmp_path / "x.json"
  files.write_json(str(path), {"b": 1, "a": [0.1]})
  before = path.read_text()
  assert json.loads(before) == {"a": [0.1], "b": 1}
  for bad in (object(), float("nan")):
    with pytest.raises((TypeError, ValueError)):
      files.write_json(str(path), {"a": bad})
  assert path.read_text() == before

  # A crash before the last moment leaves the old file as it was.
  def crash(*names):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(os, "replace", crash)
    files.write_json(str(path), {"a": 2})
  assert path.read_text() == before
  files.write_json(str(path), {"a": 3})
  assert json.loads(path.read_text()) == {"a": 3}
  assert os.listdir(tmp_path) == ["x.json"]


ROW = {"total_step": 10, "split": "test", "seed": 0}
GOOD = json.dumps(ROW)


@pytest.mark.parametrize(
  ("lines", "rows", "lost"),
  [
    ([GOOD], 1, 0),
    ([GOOD, GOOD[:20]], 1, 0),  # being written
    ([GOOD, GOOD[:20], GOOD], 2, 1),
    (["\0" * 100 + GOOD, GOOD], 1, 1),
    (["null", "3", "[1]", '"x"', "{}", "", GOOD], 1, 6),
    (['{"total_step": "10", "split": "test"}', GOOD], 1, 1),
    (['{"total_step": 10, "split": null}', GOOD], 1, 1),
    (["[" * 100_000, "9" * 10_000, GOOD], 1, 2),
  ],
)
def test_what_is_no_row_is_left_out(tmp_path, capsys, lines, rows, lost):
  path = tmp_path / "metrics.jsonl"
  path.write_text("\n".join(lines) + "\n")
  assert rows_lib.read_rows(str(path)) == rows * [ROW]
  said = capsys.readouterr().err
  assert said.count("\n") == (lost > 0)
  if lost:
    assert re.match(rf"warning: {lost} lines? of \S+ cannot be read;", said)


def test_a_metrics_file_that_is_none(tmp_path):
  path = tmp_path / "metrics.jsonl"
  for make, said in (
    (os.mkdir, "Is a directory"),
    (os.mkfifo, "no regular file"),
    (lambda name: os.symlink("/dev/zero", name), "no regular file"),
    (lambda name: os.symlink("nowhere", name), "No such file"),
  ):
    make(path)
    with pytest.raises(UserError, match=rf"metrics.jsonl cannot be .*{said}"):
      rows_lib.read_rows(str(path))
    path.rmdir() if path.is_dir() else path.unlink()


def test_append_rows_refuses_what_json_cannot_say(tmp_path):
  path = str(tmp_path / "metrics.jsonl")
  with open(path, "ab", buffering=0) as file:
    rows = [{**ROW, "a": 0.1}, {**ROW, "b": "x"}]
    rows_lib.append_rows(file, rows)
    # Other processes see the rows at once.
    assert rows_lib.read_rows(path) == rows
    with pytest.raises(ValueError, match="JSON"):
      rows_lib.append_rows(file, [{"a": float("inf")}])


def test_rows_wait_for_room_and_keep_their_order(tmp_path, capsys):
  path = tmp_path / "metrics.jsonl"
  with open(path, "ab", buffering=0) as file:
    rows = rows_lib.RowFile(file)
    rows.append([{"a": 1}])
    # The second row fits in part, of which nothing must stay.
    with full_disk(12):
      rows.append([{"b": 2}])
      rows.append([{"c": 3}])
      assert path.read_text() == '{"a": 1}\n'
      with pytest.raises(OSError, match="File too large"):
        rows.write()
    rows.append([{"d": 4}])
    rows.sync()
  found = rows_lib.read_lines(str(path))
  assert found == [{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}]
  assert capsys.readouterr().err == (
    f"warning: {path} cannot be written (File too large)\n"
  )


def test_progress_is_plain_lines_elsewhere(capsys):
  progress = progress_lib.Progress("maxl/train", 10, 30)
  progress.show(20, "loss 1.0")
  progress.note("warning: x")
  progress.show(30, "")
  progress.close()
  found = capsys.readouterr()
  assert found.out == ""
  assert found.err.splitlines() == [
    "maxl/train 20/30 loss 1.0",
    "warning: x",
    "maxl/train 30/30",
  ]


@pytest.mark.parametrize("stream", [Terminal, Notebook])
def test_progress_is_a_bar_where_lines_move(monkeypatch, capsys, stream):
  terminal = stream()
  monkeypatch.setattr(sys, "stderr", terminal)
  progress = progress_lib.Progress("maxl/train", 10, 30)
  progress.show(20, "loss 1.0")
  progress.note("warning: x")
  progress.show(30, "loss 0.5")
  progress.close()
  bars = terminal.getvalue().replace("\r", "\n").splitlines()
  assert any("10/30" in bar for bar in bars)
  assert "warning: x" in bars
  assert bars[-1].startswith("maxl/train: 100%")
  assert "30/30" in bars[-1]
  assert "loss 0.5" in bars[-1]
  assert terminal.getvalue().endswith("\n")
  assert capsys.readouterr().out == ""
