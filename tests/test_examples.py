"""The scripts of examples/: what they print says what their pages say."""

import pathlib
import re
import runpy

import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "examples"


def printed(name, capsys):
  """What a script prints, and the numbers in it."""
  runpy.run_path(str(FOLDER / f"{name}.py"))
  text = capsys.readouterr().out
  return text, [float(x) for x in re.findall(r"-?\d+\.\d+", text)]


def test_arml_takes_the_weight_from_the_guesser(capsys):
  text, (right, guesses) = printed("arml_weights", capsys)
  assert text.startswith("weights: ")
  np.testing.assert_allclose(right + guesses, 2, atol=0.011)
  assert guesses < 0.5 < 1.5 < right


def test_the_hypergradient_is_a_slope_and_finds_wrong_labels(capsys):
  _, (slope, differences, right, wrong) = printed("nnx_hypergradient", capsys)
  assert slope > 0.001
  np.testing.assert_allclose(slope, differences, rtol=0.01)
  # Descent raises the weights of right labels.
  assert right < 0 < wrong


def test_tasks_of_clusters_say_more_than_chance(capsys):
  text, numbers = printed("kmeans_tasks", capsys)
  purity, permuted = numbers[0:8:2], numbers[1:8:2]
  assert text.count("purity") == len(purity) == len(permuted) == 4
  assert min(purity) > 0.5 > 0.2 > max(permuted) > 0.1
  # Alike, as they are of one embedding, and yet four different tasks.
  assert 0.3 < numbers[8] < 0.9


@pytest.mark.parametrize(
  "path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.name
)
def test_scripts_stay_short(path):
  assert len(path.read_text().splitlines()) <= 40
