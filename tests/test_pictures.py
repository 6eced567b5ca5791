"""Pictures of task weights, masks and distances."""

import json

import numpy as np
import pytest

from metaaux import pictures
from metaaux.pictures import DISTANCES, MASKS, WEIGHTS


def rows(picture, names=("0", "1"), seeds=2):
  values = []
  for step in (10, 20, 30):
    for seed in range(seeds):
      of_names = {
        picture.prefix + n: step * (i + 1) + seed for i, n in enumerate(names)
      }
      values.append(
        {"split": picture.split, "total_step": step, "seed": seed, **of_names}
      )
    values.append({"split": "test", "total_step": step, "accuracy": 0.5})
  return values


def write(folder, values):
  text = "".join(json.dumps(row) + "\n" for row in values)
  (folder / "metrics.jsonl").write_text(text)


def test_curves_by_name_and_seed():
  steps, curves = pictures.curves(rows(WEIGHTS), WEIGHTS)
  np.testing.assert_array_equal(steps, [10, 20, 30])
  np.testing.assert_array_equal(curves["1"], [[20, 21], [40, 41], [60, 61]])


@pytest.mark.parametrize("picture", pictures.PICTURES, ids=lambda p: p.name)
@pytest.mark.parametrize("number", [1, 3, 12])
def test_a_picture_of_any_number_of_names(tmp_path, picture, number):
  write(tmp_path, rows(picture, [str(i) for i in range(number)]))
  assert pictures.draw(str(tmp_path)) == [
    (picture.what, str(tmp_path / picture.name))
  ]
  assert (tmp_path / picture.name).read_bytes()[:4] == b"\x89PNG"
  assert len(list(tmp_path.iterdir())) == 2  # no partial file


def test_several_pictures_of_one_run(tmp_path):
  write(tmp_path, rows(MASKS) + rows(DISTANCES, seeds=1))
  found = [what for what, _ in pictures.draw(str(tmp_path))]
  assert found == [MASKS.what, DISTANCES.what]


def test_no_numbers_no_picture(tmp_path):
  write(tmp_path, [{"split": "test", "total_step": 1, "accuracy": 0.5}])
  assert pictures.draw(str(tmp_path)) == []
  assert len(list(tmp_path.iterdir())) == 1
