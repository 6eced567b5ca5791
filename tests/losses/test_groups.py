"""Classes that compete within a group: logits, losses, accuracies, runs."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from command import run, write_config

from metaaux import evaluate, losses, train
from metaaux.errors import UserError
from metaaux.losses import groups
from metaaux.run import scoring

# Classes 0, 2 are of group 0; 1, 3, 4 of group 1.
GROUPS = (0, 1, 0, 1, 1)
LOGITS = np.array(
  [[1.0, 9.0, 2.0, 0.0, 0.0], [7.0, 1.0, 0.0, 3.0, 2.0]], np.float32
)
LABELS = np.array([2, 4])


def test_only_classes_of_the_group_compete():
  found = groups.restrict(LOGITS, LABELS, GROUPS)
  np.testing.assert_array_equal(found.argmax(-1), [2, 3])
  loss = losses.softmax_cross_entropy(found, LABELS)
  by_hand = [
    np.log1p(np.exp(1.0 - 2.0)),
    np.log(np.exp(1.0) + np.exp(3.0) + np.exp(2.0)) - 2.0,
  ]
  np.testing.assert_allclose(loss, by_hand, rtol=1e-6)


def test_without_groups_logits_come_back():
  assert groups.restrict(LOGITS, LABELS, ()) is LOGITS
  assert scoring.group_accuracies(LABELS > 2, LABELS, (), ()) == {}


def test_the_gradient_is_that_of_a_decoder_of_the_group_alone():
  def loss(logits_BxC):
    found = groups.restrict(logits_BxC, LABELS, GROUPS)
    return losses.focal_loss(found, LABELS, 2.0).sum()

  def alone(logits_BxC):
    first = losses.focal_loss(
      logits_BxC[:1, jnp.array([0, 2])], LABELS[:1] // 2
    )
    second = losses.focal_loss(
      logits_BxC[1:, jnp.array([1, 3, 4])], jnp.array([2])
    )
    return (first + second).sum()

  found = jax.jit(jax.grad(loss))(LOGITS)
  wanted = jax.jit(jax.grad(alone))(LOGITS)
  np.testing.assert_allclose(found, wanted, atol=1e-6)
  assert np.all(np.isfinite(found))


def test_accuracy_of_groups():
  """Group 0 has two examples and one hit, group 1 one and none."""
  logits = np.concatenate([LOGITS, LOGITS[:1]])
  found = scoring.scores(logits, np.array([2, 4, 0]), GROUPS, ("a", "b"))
  assert found["accuracy"] == pytest.approx(1 / 3)
  assert found["accuracy/a"] == 0.5
  assert found["accuracy/b"] == 0.0
  assert found["group_accuracy"] == 0.25


# The digit, where it is known whether it is odd.
CHANGES = {
  "method": "single",
  "primary": "10",
  "within": "2",
  "psi": (1,),
  "labels_per_class": 4,
  "eval_examples": 1,
  "num_steps": 6,
  "eval_every": 3,
}


def test_a_run_reports_its_groups(tmp_path):
  workdir = tmp_path / "run"
  train.train_and_evaluate(tiny.config(**CHANGES), str(workdir))
  result = json.loads((workdir / "result.json").read_text())
  assert len(result["groups"]) == 2
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  test = [row for row in rows if row["split"] == "test"]
  shares = [values[0] for values in result["groups"].values()]
  mean = np.mean([row["group_accuracy"] for row in test])
  assert mean == pytest.approx(np.mean(shares))
  assert evaluate.main([f"--workdir={workdir}"]) == 0


REFUSED = [
  ("method", "uniform", "within='2' makes several tasks"),
  ("within", "5", "within='5' is not a level of digits"),
  ("within", "10", "within='10' is not a level of digits"),
]


@pytest.mark.parametrize(("key", "value", "says"), REFUSED)
def test_what_does_not_fit_is_refused(tmp_path, key, value, says):
  config = tiny.config(**CHANGES)
  config[key] = value
  with pytest.raises(UserError, match=says) as found:
    train.train_and_evaluate(config, str(tmp_path / "run"))
  assert "\n" not in str(found.value)
  assert not os.path.exists(tmp_path / "run" / "result.json")


# Whatever is refused, a command ends in the same way.
@pytest.mark.long
@pytest.mark.parametrize(("key", "value", "says"), REFUSED)
def test_of_what_does_not_fit_the_command_says_so(tmp_path, key, value, says):
  flags = [f"--config.{name}={x}" for name, x in CHANGES.items()]
  done = run(
    f"--config={write_config(tmp_path)}",
    f"--workdir={tmp_path / 'run'}",
    *flags,
    f"--config.{key}={value}",
  )
  assert done.returncode == 2
  assert says in done.stderr
  assert done.stderr.count("\n") == 1
