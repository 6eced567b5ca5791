"""The comparison of runs: paired by seed, refused where it means nothing."""

import json

import pytest

from experiments import curves, results, table
from metaaux.errors import UserError


def write(folder, method, per_seed, seeds=(0, 1, 2), **meta_split):
  path = folder / method
  path.mkdir()
  result = {
    "method": method,
    "mean": sum(per_seed) / len(per_seed),
    "ci95": 0.01,
    "per_seed": per_seed,
    "seeds": list(seeds),
    "meta_split": meta_split,
  }
  (path / "result.json").write_text(json.dumps(result))


def test_difference_is_paired_over_common_seeds(tmp_path):
  write(tmp_path, "single", [0.5, 0.6, 0.7])
  write(tmp_path, "maxl", [0.72, 0.61, 0.9], seeds=(2, 1, 3), label_usage=[1.0])
  found = results.load(str(tmp_path))
  rows = table.rows(found, "single")
  assert [row[0] for row in rows[1:]] == ["single", "maxl"]
  # Seeds 1 and 2: +0.01 and +0.02; t(1) = 12.706, so 12.706 * 0.005.
  assert rows[2][2] == "+1.50 ± 6.35"
  assert rows[1][2] == "-" and rows[2][3] == "100.00"
  lines = table.markdown(rows).splitlines()
  assert len({len(line) for line in lines}) == 1 and len(lines) == 4


def test_what_cannot_be_compared(tmp_path):
  with pytest.raises(UserError, match="no finished run"):
    results.load(str(tmp_path))
  with pytest.raises(UserError, match="no folder"):
    results.load(str(tmp_path / "missing"))
  write(tmp_path, "maxl", [0.5, 0.6, 0.7])
  with pytest.raises(UserError, match="0 runs are of method 'single'"):
    table.rows(results.load(str(tmp_path)), "single")
  write(tmp_path, "single", [0.5], seeds=(9,))
  with pytest.raises(UserError, match="share no seed"):
    table.rows(results.load(str(tmp_path)), "single")


def test_curve_averages_seeds(tmp_path):
  rows = [
    {"split": "test", "total_step": 10, "seed": 0, "accuracy": 0.5},
    {"split": "test", "total_step": 10, "seed": 1, "accuracy": 0.7},
    {"split": "train", "total_step": 10, "seed": 0, "accuracy": 0.9},
    {"split": "batch", "total_step": 10, "seed": 0, "accuracy": 0.9},
  ]
  steps, means, halves = curves.curve(rows, "test")
  assert (steps, means) == ([10], [60.0])
  assert halves[0] == pytest.approx(12.706 * 10, rel=1e-4)
  with pytest.raises(UserError, match="split 'validation'"):
    curves.curve(rows, "validation")


def test_commands(tmp_path, capsys):
  write(tmp_path, "single", [0.5, 0.6, 0.7])
  rows = [{"split": "test", "total_step": 5, "seed": 0, "accuracy": 0.5}]
  path = tmp_path / "single" / "metrics.jsonl"
  path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
  assert table.main([f"--workdir={tmp_path}"]) == 0
  assert "| single" in capsys.readouterr().out
  picture = tmp_path / "curves.png"
  command = [f"--workdir={tmp_path}", f"--output={picture}"]
  assert curves.main(command) == 0
  assert picture.read_bytes()[:4] == b"\x89PNG"
  assert table.main(["--workdir=/missing"]) == 2
  assert capsys.readouterr().err.count("\n") == 1
