"""Pictures of task weights, masks and distances."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from metaaux.run.logs import pictures
from metaaux.run.logs.pictures import DISTANCES, MASKS, WEIGHTS


def rows(picture, names=("0", "1"), seeds=2):
  values = []
  for step in (10, 20, 30):
    for seed in range(seeds):
      of_names = {
        picture.prefix + n: step * (i + 1) + seed for i, n in enumerate(names)
      }
      values.append(row(picture.split, step, seed=seed, **of_names))
    values.append(row("test", step, accuracy=0.5))
  return values


def row(split, step, before=0, **metrics):
  """A row of a stage that follows `before` updates."""
  steps = {"step": step, "total_step": before + step}
  return {"split": split, **steps, **metrics}


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
  write(tmp_path, [row("test", 1, accuracy=0.5)])
  assert pictures.draw(str(tmp_path)) == []
  assert len(list(tmp_path.iterdir())) == 1


def test_steps_are_those_of_the_stage():
  """Not of the big task before it, which has no mask; a later stage goes on."""
  before = [row("batch", step, loss=1.0) for step in (200, 400)]
  name = MASKS.prefix + "0"
  first = [row("batch", step, 400, seed=0, **{name: 0.5}) for step in (20, 100)]
  then = [row("batch", step, 500, seed=0, **{name: 0.7}) for step in (20, 40)]
  steps, _ = pictures.curves([*before, *first, *then], MASKS)
  np.testing.assert_array_equal(steps, [20, 100, 120, 140])


@pytest.mark.parametrize("value", [0.0, 1e-6, 0.4, 1.0])
def test_the_lines_of_shares_lie_inside_the_axes(value):
  """Also where no mask entry is near zero, as at the published settings."""
  axes = Figure().subplots()
  steps = np.array([20, 40])
  values = {name: np.full((2, 3), value) for name in ("0", "1")}
  MASKS.draw(axes, MASKS, steps, values)
  low, high = axes.get_ylim()
  # Half a line's width, in parts of an axis of some 3 inches.
  margin = 0.005 * (high - low)
  assert low < -margin and high > value + margin
  assert high - low >= 0.05 and -0.1 * (high - low) < low
  assert value > 0.05 or high < 0.06
  assert axes.get_xlim()[0] == 0 and axes.get_xlim()[1] >= 40


def test_the_legend_of_distances_names_the_steps_of_the_stage():
  axes = Figure().subplots()
  rows = [
    row("meta", step, 400, seed=0, **{DISTANCES.prefix + "0": 2.0})
    for step in (100, 200)
  ]
  DISTANCES.draw(axes, DISTANCES, *pictures.curves(rows, DISTANCES))
  texts = [text.get_text() for text in axes.figure.legends[0].get_texts()]
  assert texts == ["step 100: mean 2", "step 200: mean 2"]
