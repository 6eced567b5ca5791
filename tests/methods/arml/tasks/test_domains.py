"""Domains as tasks, and the pairs of FADA."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux import losses, parallel
from metaaux.errors import UserError
from metaaux.methods import task_set
from metaaux.methods.arml import tasks as tasks_lib
from metaaux.methods.arml.tasks import domains
from metaaux.methods.unlabelled import consistency
from metaaux.run import batches as batches_lib
from metaaux.run import opening


def setting(method="arml", **changes):
  config = tiny.config(
    **{**tiny.of_domains(), "method": method, "gamma": 0.0, **changes}
  )
  run = opening.open_run(config)
  tasks = tasks_lib.make(config, run.problem.spec)
  batches = {
    name: batches_lib.draw(
      run, run.pool, jnp.asarray(run.problem.positions(name)[0][:8]), None
    )
    for name in tasks.streams
  }
  params, stats, extra = jax.jit(tasks.init)(
    jax.random.key(0), batches["train"]
  )
  return tasks, params, stats, extra, batches


def test_a_loss_of_each_domain():
  tasks, params, stats, extra, batches = setting()
  assert tasks.names == ("plain", "transposed")
  found = jax.jit(tasks.losses)(
    params, stats, extra, batches, jax.random.key(1)
  )
  predict = jax.jit(tasks.predict)

  def wanted(name):
    logits = predict(params, stats, batches[name]["image"])
    return losses.softmax_cross_entropy(logits, batches[name]["primary"]).mean()

  np.testing.assert_allclose(found.primary, wanted("train"), rtol=1e-5)
  np.testing.assert_allclose(
    found.auxiliary, [wanted("domain_0"), wanted("domain_1")], rtol=1e-5
  )
  assert found.other == 0


def gradient_of(found, primary_weight):
  """(batches, weight_K) -> gradient and running statistics."""
  tasks, params, stats, extra, _ = found

  @jax.jit
  def gradient(batches, weight_K):
    return task_set.gradient(
      tasks,
      consistency.State(params, stats, None, extra),
      batches,
      jax.random.key(1),
      weight_K,
      primary_weight=primary_weight,
      axis_name=None,
    )[:2]

  return gradient


def test_equal_weights_are_the_plain_sum():
  found = setting()
  tasks, params, stats, extra, batches = found

  @jax.jit
  @jax.grad
  def wanted(params):
    values = tasks.losses(params, stats, extra, batches, jax.random.key(1))
    return values.primary + values.auxiliary[0] + values.auxiliary[1]

  grads, _ = gradient_of(found, 1.0)(batches, jnp.ones(2))
  chex.assert_trees_all_close(grads, wanted(params), rtol=1e-5)


def test_the_baseline_does_not_see_the_target():
  """Neither its labels nor, through batch norm, its images."""
  changes = {"primary_weight": 0.0, "model.batch_norm": True}
  found = setting(**changes)
  batches = found[-1]
  train = batches["train"]
  other = {**train, "image": -train["image"], "primary": 9 - train["primary"]}
  gradient, weight_K = gradient_of(found, 0.0), jnp.array([1.0, 2.0])
  results = [
    gradient({**batches, "train": batch}, weight_K) for batch in (train, other)
  ]
  chex.assert_trees_all_equal(*results)
  # The head has a gradient of the sources alone.
  alone, _ = gradient(batches, jnp.zeros(2))
  for leaf in jax.tree.leaves(alone):
    np.testing.assert_array_equal(leaf, 0)
  # Joint training has both in its statistics.
  joint = setting(**{**changes, "primary_weight": 1.0})
  gradient = gradient_of(joint, 1.0)
  one, two = (
    gradient({**batches, "train": batch}, weight_K)[1]
    for batch in (train, other)
  )
  assert not np.array_equal(*(jax.tree.leaves(x)[0] for x in (one, two)))


def test_the_baseline_on_four_devices():
  final = []
  for mode in ("none", "pmap"):
    changes = tiny.of_domains() | {
      "method": "arml",
      "primary_weight": 0.0,
      "parallel": mode,
      "model.batch_norm": True,
      "weighting.every": 1,
    }
    # One step: what equal pixels leave to the last bit, the largest of a
    # pooling, may be another one on four devices from the second on.
    states, _, run, _ = tiny.run_steps(tiny.config(**changes), 1)
    final.append(parallel.to_host(states, run.plan))
  chex.assert_trees_all_close(*final, rtol=1e-5, atol=1e-6)


def test_sizes_of_batches():
  tasks, *_ = setting(**{"domains.batch_size": 12})
  assert {k: s.batch_size for k, s in tasks.streams.items()} == {
    "train": 0,
    "domain_0": 12,
    "domain_1": 12,
  }


def _pairs(seed=0, hidden=5, width=3):
  rng = np.random.default_rng(seed)
  return {
    "first": jnp.asarray(rng.normal(size=(2 * width, hidden))),
    "first_bias": jnp.asarray(rng.normal(size=hidden)),
    "second": jnp.asarray(rng.normal(size=(hidden, 4))),
    "second_bias": jnp.asarray(rng.normal(size=4)),
  }


def _cross_entropy(pairs, a, b, group):
  """Of one pair, in NumPy."""
  pairs = jax.tree.map(np.asarray, pairs)
  x = np.concatenate([a, b])
  hidden = np.maximum(x @ pairs["first"] + pairs["first_bias"], 0)
  logits = hidden @ pairs["second"] + pairs["second_bias"]
  return np.log(np.exp(logits).sum()) - logits[group]


def test_pairs_by_hand(x64):
  """Two sources and the target, two images each; C = 3."""
  rng = np.random.default_rng(1)
  target, one, two = rng.normal(size=(3, 2, 3))
  labels = [np.array([0, 1]), np.array([0, 2]), np.array([0, 1])]
  pairs = _pairs()
  told, confused = jax.jit(domains.pair_losses, static_argnums=3)(
    pairs,
    [jnp.asarray(x) for x in (target, one, two)],
    [jnp.asarray(y) for y in labels],
    3,
  )
  # (first, second, group, weight): same class within 0, across 1, else 2, 3.
  rows = [
    (one[0], two[0], 0, 2),
    (one[1], two[1], 2, 1),
    (one[0], target[0], 1, 2),
    (one[1], target[1], 3, 1),
    (two[0], one[0], 0, 2),
    (two[1], one[1], 2, 1),
    (two[0], target[0], 1, 2),
    (two[1], target[1], 1, 2),
  ]
  wanted = np.mean([w * _cross_entropy(pairs, a, b, g) for a, b, g, w in rows])
  np.testing.assert_allclose(told, wanted, rtol=1e-12)
  across = [
    w * _cross_entropy(pairs, a, b, g - 1) for a, b, g, w in rows if g % 2
  ]
  np.testing.assert_allclose(confused, np.mean(across), rtol=1e-12)


def test_discriminator_and_features_learn_from_their_own_term(x64):
  rng = np.random.default_rng(1)
  features = [jnp.asarray(x) for x in rng.normal(size=(3, 4, 3))]
  labels = [jnp.asarray(y) for y in rng.integers(0, 2, (3, 4))]

  @jax.jit
  def both(pairs, features):
    return [
      jax.grad(
        lambda pairs, f, i=i: domains.pair_losses(pairs, f, labels, 2)[i],
        (0, 1),
      )(pairs, features)
      for i in range(2)
    ]

  (told_pairs, told_features), (confused_pairs, confused_features) = both(
    _pairs(), features
  )
  for leaf in jax.tree.leaves((told_features, confused_pairs)):
    np.testing.assert_array_equal(leaf, 0)
  for leaf in jax.tree.leaves((told_pairs["first"], confused_features)):
    assert (leaf != 0).any()


def test_without_its_weight_fada_trains_like_joint_training():
  final = []
  for method in ("arml", "fada"):
    changes = tiny.of_domains() | {
      "method": method,
      "weighting.name": "uniform",
      "domains.adversarial_weight": 0.0,
    }
    states, *_ = tiny.run_steps(tiny.config(**changes), 3)
    final.append(dict(states[0].params))
  final[1].pop("head_pairs")
  chex.assert_trees_all_equal(*final)


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    (
      {"target_domain": "", "dataset": "digits", "labels_per_class": 40},
      "config.target_domain",
    ),
    ({"method": "fada", "domains.batch_size": 12}, "batch_size=16, or 0"),
    ({"method": "fada", "setting": "semi_supervised"}, "setting='domains'"),
  ],
)
def test_wrong_options(changes, match):
  changes = {"train_split": "train", "test_split": "test", **changes}
  if "method" in changes:
    changes |= {"train_split": "all", "test_split": "all"}
  with pytest.raises(UserError, match=match):
    setting(**changes)
