"""The picture of task weights."""

import json

import numpy as np
import pytest

from metaaux import pictures


def rows(names=("a", "b"), seeds=2):
  values = []
  for step in (10, 20, 30):
    for seed in range(seeds):
      weights = {
        f"weight_{n}": step * (i + 1) + seed for i, n in enumerate(names)
      }
      values.append(
        {"split": "batch", "total_step": step, "seed": seed, **weights}
      )
    values.append({"split": "test", "total_step": step, "accuracy": 0.5})
  return values


def write(folder, values):
  text = "".join(json.dumps(row) + "\n" for row in values)
  (folder / "metrics.jsonl").write_text(text)


def test_curves_by_task_and_seed():
  steps, curves = pictures.weight_curves(rows())
  np.testing.assert_array_equal(steps, [10, 20, 30])
  np.testing.assert_array_equal(curves["b"], [[20, 21], [40, 41], [60, 61]])


@pytest.mark.parametrize("number", [1, 3, 12])
def test_a_picture_of_any_number_of_tasks(tmp_path, number):
  write(tmp_path, rows([f"task {i}" for i in range(number)]))
  path = pictures.draw_weights(str(tmp_path))
  assert path == str(tmp_path / "weights.png")
  assert (tmp_path / "weights.png").read_bytes()[:4] == b"\x89PNG"
  assert not (tmp_path / "weights.png.partial").exists()


def test_no_weights_no_picture(tmp_path):
  write(tmp_path, [{"split": "test", "total_step": 1, "accuracy": 0.5}])
  assert pictures.draw_weights(str(tmp_path)) is None
  assert not (tmp_path / "weights.png").exists()
