"""Average precision and balanced accuracy, in rows and results."""

import json
import os

import numpy as np
import pytest
import tiny

from metaaux import evaluate, parallel, train
from metaaux.run import attribute_scores, opening, scoring
from metaaux.run.logs import rows as rows_lib
from metaaux.stage import Stage


def test_by_hand():
  """Ranked by score: with, without, with, without; three are above 0."""
  score = np.array([-1.0, 3.0, 1.0, 2.0, 9.0])
  labels = np.array([0, 1, 1, 0, -1])
  found = attribute_scores.binary(score, labels)
  # Precision 1 at the first, 2/3 at the second.
  assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
  # Both with it are found, one of two without.
  assert found["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
  logits = np.stack([-score, np.zeros(5)], axis=1)
  assert attribute_scores.of_logits(logits, labels) == found
  assert attribute_scores.of_logits(np.zeros((4, 3)), labels[:4]) == {}


@pytest.mark.parametrize("label", [0, 1])
def test_one_kind_of_image(label):
  labels = np.array([label, label, -1])
  assert attribute_scores.binary(np.zeros(3), labels) == {}
  found = scoring.scores(np.zeros((2, 2), np.float32), labels[:2])
  assert found.keys() == {"accuracy", "loss"}


def test_nan_is_told():
  found = attribute_scores.binary(np.array([np.nan, 1]), np.array([0, 1]))
  assert set(found) == set(attribute_scores.METRICS)
  assert np.isnan(list(found.values())).all()


def test_ties_and_no_information():
  """All alike: the precision is the share of images with it."""
  labels = np.array([1, 0, 0, 0])
  found = attribute_scores.binary(np.ones(4), labels)
  assert found == {"average_precision": 0.25, "balanced_accuracy": 0.5}


def test_groups_have_no_such_scores():
  logits, labels = np.zeros((2, 2), np.float32), np.array([0, 1])
  found = scoring.scores(logits, labels, (0, 0), ("a",))
  assert "average_precision" not in found


def test_row_of_all_attributes():
  primary = {
    "accuracy": 0.9,
    "average_precision": 0.4,
    "balanced_accuracy": 0.6,
  }
  logits = np.array([[1.0, 1.0], [-1.0, 1.0]])
  labels = np.array([[1, 0], [0, 0]])
  found = attribute_scores.row(primary, "a", logits, labels, ("b", "c"))
  assert found == {
    "average_precision/a": 0.4,
    "balanced_accuracy/a": 0.6,
    "average_precision/b": 1.0,
    "balanced_accuracy/b": 1.0,
    "mean_average_precision": pytest.approx(0.7),
    "mean_balanced_accuracy": pytest.approx(0.8),
  }
  assert attribute_scores.row(primary, "a", logits[:, :0], None, ()) == {}


def _stage(bias):
  """Predicts from the mean pixel; the state is a factor."""
  return Stage(
    name="train",
    num_steps=1,
    streams={},
    init=None,
    updates={},
    predict=lambda state, images: _logits(state, images, 2),
    attributes=lambda state, images: bias + _logits(state, images, 2),
  )


def _logits(state, images, number):
  mean = state * images.mean((1, 2, 3))
  return mean[:, None] * np.arange(number)[None, :]


@pytest.mark.parametrize("mode", ["none", "pmap"])
def test_rows_of_an_evaluation(mode):
  """Whatever the devices, those of the test split have all attributes."""
  settings = tiny.config(
    method="single",
    parallel=mode,
    attributes=("2", "10"),
    primary="7",
    num_seeds=2,
    seeds="loop",
    labels_per_class=0,
    test_split="test[:300]",
  )
  run = opening.open_run(settings)
  spec = run.problem.spec._replace(attribute_names=("2", "0"))
  attributes = run.problem.test["attributes"][:, :2]
  problem = run.problem._replace(
    spec=spec, test={**run.problem.test, "attributes": attributes}
  )
  run = run._replace(problem=problem)
  states = parallel.from_host(np.array([1.0, -1.0], np.float32), run.plan)
  rows = evaluate.make(_stage(0.5), run)(states, 1)
  plain = next(row for row in rows if row["split"] == "train")
  assert "average_precision" in plain
  assert "mean_average_precision" not in plain
  tested = [row for row in rows if row["split"] == "test"]
  mean = problem.test["image"].mean((1, 2, 3))
  for row, sign in zip(tested, (1, -1), strict=True):
    for name, labels in (
      ("7", problem.test["primary"]),
      ("0", attributes[:, 1]),
    ):
      expected = attribute_scores.binary(sign * mean, labels)
      assert row[f"average_precision/{name}"] == pytest.approx(
        expected["average_precision"], abs=0.01
      )
    # Its logit is 0.5 throughout: all are said to be odd.
    assert row["balanced_accuracy/2"] == 0.5
    each = [row[f"average_precision/{name}"] for name in ("7", "2", "0")]
    assert row["mean_average_precision"] == pytest.approx(np.mean(each))
    assert row["average_precision"] == row["average_precision/7"]


def test_result_of_a_binary_task(tmp_path):
  """Metrics are averaged like the accuracy; attributes need a head."""
  settings = tiny.config(method="single", num_seeds=2, primary="2")
  found = train.train_and_evaluate(settings, str(tmp_path))
  rows = rows_lib.read_rows(os.path.join(tmp_path, "metrics.jsonl"))
  for name in attribute_scores.METRICS:
    for seed in range(2):
      values = [
        row[name]
        for row in rows
        if row["split"] == "test" and row["seed"] == seed
      ]
      assert len(values) == 2
      assert found["metrics"][name][seed] == pytest.approx(np.mean(values))
  assert found["attributes"] == {}
  assert set(found["metrics"]) == set(attribute_scores.METRICS)
  json.dumps(found, allow_nan=False)


def test_summary_of_attributes():
  keys = ("loss", "accuracy/x", "average_precision/a b", "balanced_accuracy/c")
  found = attribute_scores.summary(keys, lambda key: [len(key)])
  assert found == {
    "a b": {"average_precision": [21]},
    "c": {"balanced_accuracy": [19]},
  }
