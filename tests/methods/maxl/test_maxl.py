"""MAXL: its updates, its hypergradient by every road, its variants."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux import config as config_lib
from metaaux.errors import UserError
from metaaux.methods.maxl import label_gradient, maxl

STEP = jnp.int32(0)


def relative_error(a, b):
  a, b = (jax.flatten_util.ravel_pytree(t)[0] for t in (a, b))
  return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))


def hypergradient(problem, *args):
  return jax.jit(partial(maxl.hypergradient, problem))(*args)


def meta_step(problem, *args):
  return jax.jit(partial(maxl.meta_step, problem))(*args)


def through_labels(problem, state, batch):
  """The closed form: one JVP of the focal table."""

  def outer_loss(params, meta_params):
    labels = maxl.generate(problem, state, meta_params, batch)
    value = maxl.primary_loss(problem, params, state.stats, batch)
    return value + maxl.entropy_loss(problem, labels, state.mean_label_K)

  closed_form = label_gradient.hypergradient(
    maxl.through_labels(problem, state, batch),
    outer_loss,
    inner_lr=maxl.inner_rate(problem, STEP),
  )
  return jax.jit(closed_form)(state.params, state.meta_params)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("entropy_weight", [0.0, 0.2])
def test_hypergradient_equals_closed_form(x64, batch_norm, entropy_weight):
  settings = tiny.config(
    **{
      "model.batch_norm": batch_norm,
      "maxl.entropy_weight": entropy_weight,
      "auxiliary_weight": 0.7,
    }
  )
  problem, state, batch = tiny.maxl_problem(settings)
  value, grads = hypergradient(problem, state, batch, batch, STEP)
  expected, closed = through_labels(problem, state, batch)
  np.testing.assert_allclose(value, expected, rtol=1e-12)
  assert relative_error(grads, closed) < 1e-9


def test_hypergradient_equals_central_differences(x64):
  settings = tiny.config(**{"model.batch_norm": True})
  problem, state, batch = tiny.maxl_problem(settings)
  _, grads = hypergradient(problem, state, batch, batch, STEP)
  flat, unflatten = jax.flatten_util.ravel_pytree(state.meta_params)
  direction = jax.random.normal(jax.random.key(3), flat.shape, flat.dtype)

  def value_at(shift):
    moved = state._replace(meta_params=unflatten(flat + shift * direction))
    return hypergradient(problem, moved, batch, batch, STEP)[0]

  numeric = (value_at(1e-5) - value_at(-1e-5)) / 2e-5
  exact = jax.flatten_util.ravel_pytree(grads)[0] @ direction
  np.testing.assert_allclose(numeric, exact, rtol=1e-6)


@pytest.mark.parametrize("centred", [False, True])
def test_norms_of_the_two_parts_of_the_hypergradient(x64, centred):
  """Each part is the whole hypergradient of a config that has it alone."""
  changes = {
    "model.batch_norm": True,
    "maxl.centre_hypergradient": centred,
    "maxl.inner_batch": "train",
  }
  problem, state, batch = tiny.maxl_problem(tiny.config(**changes))
  other = jax.tree.map(lambda x: x[::-1], batch)
  other["image"] = 1 - other["image"]
  batches = {"train": other, "meta": batch}
  found = jax.jit(partial(maxl.probe, problem))(state, batches, STEP)
  still = {"inner.learning_rate": 1e-30}  # no virtual step: entropy is left
  for name, more in (
    ("hypergradient_norm", {}),
    ("hypergradient_primary_norm", {"maxl.entropy_weight": 0.0}),
    ("hypergradient_entropy_norm", still),
  ):
    alone = tiny.maxl_problem(tiny.config(**changes, **more))[0]
    _, grads = hypergradient(alone, state, other, batch, STEP)
    flat = jax.flatten_util.ravel_pytree(grads)[0]
    np.testing.assert_allclose(
      found[name], jnp.linalg.norm(flat), rtol=1e-9, err_msg=name
    )
  parts = [found[f"hypergradient_{n}_norm"] for n in ("primary", "entropy")]
  assert max(parts) - min(parts) < found["hypergradient_norm"] < sum(parts)


@pytest.mark.parametrize(
  ("estimator", "num_steps", "tolerance"),
  [
    ("remat", 1, 1e-9),
    # ReLU has kinks within the radius of the difference; on smooth networks
    # tests/hypergrad/test_hypergrad.py holds the error to its order.
    ("finite_difference", 1, 5e-2),
  ],
)
def test_other_estimators_agree(x64, estimator, num_steps, tolerance):
  exact = tiny.config(**{"maxl.entropy_weight": 0.0})
  other = tiny.config(
    **{
      "maxl.entropy_weight": 0.0,
      "inner.estimator": estimator,
      "inner.num_steps": num_steps,
    }
  )
  grads = []
  for settings in (exact, other):
    problem, state, batch = tiny.maxl_problem(settings)
    grads.append(hypergradient(problem, state, batch, batch, STEP)[1])
  assert relative_error(grads[1], grads[0]) < tolerance


def test_zero_inner_rate_gives_zero_hypergradient():
  settings = tiny.config(
    **{"optimizer.learning_rate": 0.0, "maxl.entropy_weight": 0.0}
  )
  problem, state, batch = tiny.maxl_problem(settings, float64=False)
  _, grads = hypergradient(problem, state, batch, batch, STEP)
  assert all(not leaf.any() for leaf in jax.tree.leaves(grads))


def test_one_auxiliary_class_leaves_nothing_to_learn():
  problem, state, batch = tiny.maxl_problem(
    tiny.config(psi=(1, 1)), float64=False
  )
  labels = maxl.generate(problem, state, state.meta_params, batch)
  np.testing.assert_array_equal(labels, jax.nn.one_hot(batch["primary"], 2))
  _, grads = hypergradient(problem, state, batch, batch, STEP)
  for leaf in jax.tree.leaves(grads):
    np.testing.assert_allclose(leaf, 0, atol=1e-9)


@pytest.mark.parametrize(
  ("own", "rates"), [(0.0, [0.1, 0.1, 0.05]), (0.3, [0.3, 0.3, 0.3])]
)
def test_virtual_rate_follows_the_schedule(own, rates):
  schedule = {"schedule": "step", "decay_every": 2, "learning_rate": 0.1}
  changes = {f"optimizer.{key}": value for key, value in schedule.items()}
  settings = tiny.config(**changes, **{"inner.learning_rate": own})
  problem, *_ = tiny.maxl_problem(settings, float64=False)
  found = [maxl.inner_rate(problem, jnp.int32(step)) for step in range(3)]
  np.testing.assert_allclose(found, rates, rtol=1e-6)


def test_generator_normalises_by_the_batch():
  settings = tiny.config(**{"model.batch_norm": True})
  problem, state, batch = tiny.maxl_problem(settings, float64=False)

  def labels(state, batch):
    return maxl.generate(problem, state, state.meta_params, batch)

  whole = labels(state, batch)
  moved = jax.tree.map(lambda x: x + 1, state.meta_stats)
  np.testing.assert_array_equal(
    labels(state._replace(meta_stats=moved), batch), whole
  )
  half = jax.tree.map(lambda x: x[:8], batch)
  assert np.abs(labels(state, half) - whole[:8]).max() > 1e-4


@pytest.mark.parametrize("updates_statistics", [False, True])
def test_meta_step_leaves_the_evaluator_alone(updates_statistics):
  settings = tiny.config(
    **{
      "model.batch_norm": True,
      "maxl.meta_updates_statistics": updates_statistics,
    }
  )
  problem, state, batch = tiny.maxl_problem(settings, float64=False)
  batches = {"train": batch, "meta": batch}
  new, _ = meta_step(problem, state, batches, jax.random.key(1), STEP)
  chex.assert_trees_all_equal(new.params, state.params)
  chex.assert_trees_all_equal(new.optimizer, state.optimizer)
  moved = relative_error(new.stats, state.stats) > 0
  assert moved == updates_statistics
  assert relative_error(new.meta_params, state.meta_params) > 0


def test_train_step_leaves_the_generator_alone():
  problem, state, batch = tiny.maxl_problem(tiny.config(), float64=False)
  batches = {"train": batch, "meta": batch}
  new, metrics = maxl.train_step(
    problem, state, batches, jax.random.key(1), STEP
  )
  chex.assert_trees_all_equal(new.meta_params, state.meta_params)
  total = metrics["primary_loss"] + metrics["auxiliary_loss"]
  np.testing.assert_allclose(metrics["loss"], total, rtol=1e-6)


def test_inner_batch_train_uses_both_batches():
  settings = tiny.config(
    **{"maxl.inner_batch": "train", "maxl.entropy_weight": 0.0}
  )
  problem, state, batch = tiny.maxl_problem(settings, float64=False)
  other = jax.tree.map(lambda x: x[::-1], batch)
  other["image"] = 1 - other["image"]
  batches = {"train": other, "meta": batch}
  new, _ = meta_step(problem, state, batches, jax.random.key(1), STEP)
  _, grads = hypergradient(problem, state, other, batch, STEP)
  rate = settings.generator.optimizer.learning_rate
  expected = jax.tree.map(lambda p, g: p - rate * g, state.meta_params, grads)
  chex.assert_trees_all_close(new.meta_params, expected, rtol=1e-5)


def test_no_entropy_is_entropy_weight_zero():
  final = []
  for changes in (
    {"method": "no_entropy"},
    {"method": "maxl", "maxl.entropy_weight": 0.0},
  ):
    states, *_ = tiny.run_steps(tiny.config(**changes), 3)
    final.append(states)
  chex.assert_trees_all_equal(*final)


def test_code_variant_alternates_epochs():
  settings = tiny.config()
  config_lib.set_variant(settings, "code", steps_per_epoch=2)
  settings.augment.flip = False
  states, metrics, _, stage = tiny.run_steps(settings, 5)
  assert [stage.phase(i) for i in range(5)] == [
    "train",
    "train",
    "meta",
    "meta",
    "train",
  ]
  assert ["meta_loss" in row for row in metrics] == [0, 0, 1, 1, 0]
  assert relative_error(states[0].meta_params, states[0].meta_initial) > 0


def test_centring_removes_what_a_class_shares():
  slope = jax.random.normal(jax.random.key(0), (12, 5))
  primary = jnp.array([0, 1] * 6)
  psi = (2, 3)
  centred = label_gradient.centre(slope, primary, psi)
  shifted = slope + jnp.where(primary == 0, 3.0, -7.0)[:, None]
  np.testing.assert_allclose(
    label_gradient.centre(shifted, primary, psi), centred, atol=1e-5
  )
  inside = np.concatenate([centred[::2, :2].ravel(), centred[1::2, 2:].ravel()])
  np.testing.assert_allclose(np.mean(inside**2), 1, rtol=1e-5)
  for c in range(2):
    np.testing.assert_allclose(centred[c::2].mean(0), 0, atol=1e-6)
  zero = label_gradient.centre(jnp.zeros((4, 5)), jnp.zeros(4, int), psi)
  np.testing.assert_array_equal(zero, 0)


def test_centred_hypergradient_differs_and_trains():
  settings = tiny.config(**{"maxl.centre_hypergradient": True})
  _, metrics, _, _ = tiny.run_steps(settings, 3)
  assert all(np.isfinite(list(row.values())).all() for row in metrics)
  problem, state, batch = tiny.maxl_problem(settings, float64=False)
  _, centred = hypergradient(problem, state, batch, batch, STEP)
  plain = tiny.maxl_problem(tiny.config(), float64=False)[0]
  _, exact = hypergradient(plain, state, batch, batch, STEP)
  assert relative_error(centred, exact) > 0.1


def test_running_mean_decides_the_slope_of_the_entropy(x64):
  settings = tiny.config(**{"maxl.entropy_mean": "running"})
  problem, state, batch = tiny.maxl_problem(settings)
  labels = maxl.generate(problem, state, state.meta_params, batch)
  running = jnp.array([0.1, 0.0, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
  slope = jax.grad(lambda y: maxl.entropy_loss(problem, y, running))(labels)
  log = np.log(np.where(running > 0, running, 1))
  expected = np.tile(0.2 / 16 * (1 + log), (16, 1))
  np.testing.assert_allclose(slope, expected, rtol=1e-12)
  # With the batch's own mean the value is the plain negative entropy.
  mean = labels.mean(0)
  value = maxl.entropy_loss(problem, labels, mean)
  plain = tiny.maxl_problem(tiny.config())[0]
  np.testing.assert_allclose(
    value, maxl.entropy_loss(plain, labels, mean), rtol=1e-12
  )


def test_running_mean_label_follows_slowly():
  settings = tiny.config(**{"maxl.entropy_mean": "running"})
  problem, state, batch = tiny.maxl_problem(settings, float64=False)
  before = jnp.arange(10.0) / 45
  state = state._replace(mean_label_K=before)
  labels = maxl.generate(problem, state, state.meta_params, batch)
  batches = {"train": batch, "meta": batch}
  new, _ = meta_step(problem, state, batches, jax.random.key(1), STEP)
  moved = (new.mean_label_K - before) / (labels.mean(0) - before)
  np.testing.assert_allclose(moved, 0.02, rtol=1e-3)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"maxl.centre_hypergradient": True, "inner.num_steps": 2},
      r"inner\.num_steps=1",
    ),
    (
      {"inner.estimator": "finite_difference", "inner.num_steps": 2},
      "one inner step",
    ),
    ({"inner.estimator": "first_order"}, "identically 0"),
    ({"inner.estimator": "exakt"}, "known: exact"),
  ],
)
def test_options_that_exclude_each_other(changes, message):
  with pytest.raises(UserError, match=message):
    tiny.run_steps(tiny.config(**changes), 0)
