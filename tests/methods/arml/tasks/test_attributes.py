"""Binary attributes as auxiliary tasks."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux import evaluate, parallel, train
from metaaux.errors import UserError
from metaaux.methods import task_set
from metaaux.methods.arml import tasks
from metaaux.methods.arml.tasks import attributes
from metaaux.run import attribute_scores, opening
from metaaux.run import batches as batches_lib

NAMES = ("2", "0", "1", "10=2", "3", "4", "5", "6", "8", "9")


def _config(**changes):
  return tiny.config(
    **{
      "method": "arml",
      "setting": "attributes",
      "attributes": ("2", "10"),
      "primary": "7",
      "labels_per_class": 0,
      "label_fraction": 0.1,
      "gamma": 0.0,
      "model.decoder": "linear",
      **changes,
    }
  )


def test_losses_by_hand(x64):
  """-log sigmoid(z) with and -log sigmoid(-z) without, over known labels."""
  logits = np.log([[3.0, 1.0, 4.0], [1.0, 3.0, 4.0], [1 / 3, 1.0, 4.0]])
  labels = np.array([[1, 0, -1], [-1, 1, -1], [0, -1, -1]], np.int8)
  found = attributes.attribute_losses(jnp.asarray(logits), labels, None)
  expected = [
    -(np.log(3 / 4) + np.log(3 / 4)) / 2,
    -(np.log(1 / 2) + np.log(3 / 4)) / 2,
    0,
  ]
  np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_primary_loss_is_the_sigmoid_one(x64):
  """Softmax over [0, z] is the sigmoid of z."""
  z = jnp.array([[-2.0], [0.5]])
  logits = attributes.two_logits(z)
  np.testing.assert_allclose(
    jax.nn.softmax(logits)[:, 1], jax.nn.sigmoid(z)[:, 0], rtol=1e-12
  )


def _problem(**changes):
  """The tasks, parameters in float64 and a batch with labels missing."""
  config = _config(**changes)
  run = opening.open_run(config)
  found = tasks.make(config, run.problem.spec)
  train_index = jnp.asarray(run.problem.train[0][:8])
  batches = {
    "train": batches_lib.draw(run, run.pool, train_index, None),
    "pool": batches_lib.draw(run, run.pool, jnp.arange(8), None),
  }
  labels = np.array(batches["pool"]["attributes"])
  labels[2:5, 1] = -1
  batches["pool"] = {
    **batches["pool"],
    "attributes": jnp.asarray(labels),
    "primary": jnp.full(8, -1),
  }
  params, stats, extra = jax.jit(found.init)(
    jax.random.key(0), batches["train"]
  )
  wide = jax.tree.map(
    lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x,
    (params, stats, batches),
  )
  return found, *wide, extra


def test_losses_of_a_batch(x64):
  """The primary one on the labelled half, the others wherever known."""
  found, params, stats, batches, extra = _problem()
  assert found.names == NAMES
  value = jax.jit(found.losses)(
    params, stats, extra, batches, jax.random.key(1)
  )
  predicted = jax.jit(found.predict)(params, stats, batches["train"]["image"])
  z = predicted[:, 1]
  np.testing.assert_array_equal(predicted[:, 0], 0)
  y = np.asarray(batches["train"]["primary"])
  primary = -np.log(1 / (1 + np.exp(np.where(y == 1, -z, z))))
  np.testing.assert_allclose(value.primary, primary.mean(), rtol=1e-10)
  assert value.auxiliary.shape == (len(NAMES),)
  images = np.concatenate([batches[n]["image"] for n in ("train", "pool")])
  labels = np.concatenate([batches[n]["attributes"] for n in ("train", "pool")])
  logits = jax.jit(found.attributes)(params, stats, jnp.asarray(images))
  for k in range(len(NAMES)):
    known = labels[:, k] >= 0
    assert known.sum() == (13 if k == 1 else 16)
    signed = np.where(
      labels[known, k] == 1, -logits[known, k], logits[known, k]
    )
    expected = np.log1p(np.exp(signed)).mean()
    np.testing.assert_allclose(value.auxiliary[k], expected, rtol=1e-10)


def test_heads_are_no_shared_parameters(x64):
  _, params, *_ = _problem()
  shared, heads = task_set.split(params)
  assert set(heads) == {"head_primary", "head_attributes"}
  kernel = heads["head_attributes"]["Dense_0"]["kernel"]
  assert kernel.shape == (8, len(NAMES)) and "hidden" in shared
  assert heads["head_primary"]["Dense_0"]["kernel"].shape == (8, 1)


def test_missing_labels_do_not_depend_on_devices():
  """One device has no label of an attribute, another has two."""
  logits = jnp.asarray(np.random.default_rng(0).normal(size=(8, 2)))
  labels = np.ones((8, 2), np.int8)
  labels[:2, 0], labels[3, 0], labels[:, 1] = -1, -1, -1
  logits = logits.astype(jnp.float32)

  def loss(logits, labels, axis_name):
    return attributes.attribute_losses(logits, labels, axis_name).sum()

  alone = jax.value_and_grad(loss)(logits, labels, None)
  each = jax.pmap(
    lambda x, y: jax.value_and_grad(loss)(x, y, parallel.AXIS),
    axis_name=parallel.AXIS,
  )(logits.reshape(4, 2, 2), labels.reshape(4, 2, 2))
  np.testing.assert_allclose(each[0].mean(), alone[0], rtol=1e-6)
  # Of a device's part of the batch; the average over devices has a quarter.
  np.testing.assert_allclose(
    each[1].reshape(8, 2) / 4, alone[1], rtol=1e-6, atol=1e-8
  )
  assert (alone[1][:, 1] == 0).all()


# The rules with sums over devices of their own; weights move at each step, so
# that there is one program to compile.
@pytest.mark.parametrize(
  "weighting",
  [
    pytest.param("uniform", marks=pytest.mark.long),
    "arml",
    pytest.param("relative", marks=pytest.mark.long),
    "gradnorm",
  ],
)
def test_four_devices_train_like_one(weighting):
  changes = {"weighting.name": weighting, "weighting.every": 1}
  if weighting == "relative":
    changes |= {"weighting.name": "arml", "weighting.eta_mode": "relative"}
  final, logs = [], []
  for mode in ("none", "pmap"):
    config = _config(
      parallel=mode,
      **{**changes, "model.dropout": 0.2, "model.batch_norm": True},
    )
    states, values, run, _ = tiny.run_steps(config, 3)
    assert run.plan.num_shards == (4 if mode == "pmap" else 1)
    final.append(parallel.to_host(states, run.plan))
    logs.append(values)
  chex.assert_trees_all_close(*final, rtol=1e-4, atol=1e-5)
  chex.assert_trees_all_close(*logs, rtol=1e-4, atol=1e-6)
  assert {f"weight_{name}" for name in NAMES} <= logs[0][0].keys()
  assert {f"loss_{name}" for name in NAMES} <= logs[0][0].keys()


def test_learns_all_attributes(tmp_path):
  config = _config(
    num_steps=300,
    eval_every=0,
    **{
      "weighting.name": "uniform",
      "optimizer.name": "adam",
      "optimizer.learning_rate": 0.01,
    },
  )
  result = train.train_and_evaluate(config, str(tmp_path))
  assert set(result["attributes"]) == {"7", *NAMES}
  for name in attribute_scores.METRICS:
    each = [scores[name][0] for scores in result["attributes"].values()]
    mean = result["metrics"][f"mean_{name}"][0]
    assert mean == pytest.approx(np.mean(each))
    assert mean > 0.65  # by chance 0.14 and 0.5
    assert result["metrics"][name] == result["attributes"]["7"][name]
  json.dumps(result, allow_nan=False)
  # The command says the same of the primary attribute.
  restored = evaluate.restore(str(tmp_path))
  (row,) = evaluate.on_split(restored, "test")
  assert row["average_precision"] == pytest.approx(
    result["metrics"]["average_precision"][0], abs=1e-6
  )


def test_single_trains_on_the_same_labels():
  """The baseline of a comparison sees the same labelled images."""
  _, _, weighted, _ = tiny.run_steps(_config(), 0)
  _, values, single, _ = tiny.run_steps(_config(method="single"), 3)
  np.testing.assert_array_equal(weighted.problem.train, single.problem.train)
  assert np.isfinite(values[-1]["loss"]).all()


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"attributes": ()},
      "needs a primary attribute and others; the primary ta",
    ),
    ({"attributes": ("*",), "primary": "2"}, "there are 0 other attributes"),
  ],
)
def test_problems_without_attributes(changes, message):
  made = {"primary": "10", **changes}
  with pytest.raises(UserError, match=message):
    tiny.run_steps(_config(**made), 0)
