"""MAXL: its updates, its hypergradient by every road, its variants."""

import functools
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
from metaaux.run import opening

STEP = jnp.int32(0)
# Of all problems in float64, so that they share what is compiled.
BASE = {"auxiliary_weight": 0.7}


def relative_error(a, b):
  a, b = (jax.flatten_util.ravel_pytree(t)[0] for t in (a, b))
  return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))


@functools.cache
def spec():
  return opening.open_run(tiny.config()).problem.spec


@functools.cache
def start(batch_norm=False, float64=False):
  """A state and a batch, which only the networks decide on."""
  settings = tiny.config(**{"model.batch_norm": batch_norm})
  with jax.enable_x64(float64):
    return tiny.maxl_problem(settings, float64=float64)[1:]


@functools.cache
def problem_of(**changes):
  return maxl.assemble(tiny.config(**changes), spec())


@functools.cache
def compiled(function, **changes):
  """Of a problem; compiled once for all tests."""
  return jax.jit(partial(function, problem_of(**changes)))


hypergradient = partial(compiled, maxl.hypergradient)


def generate(state, batch):
  """The labels; options of the problem have no say in them."""
  return compiled(maxl.generate)(state, state.meta_params, batch)


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


# Each option is on and off once; the other two combine what these have.
@pytest.mark.parametrize(
  ("entropy_weight", "batch_norm"),
  [
    (0.0, False),
    (0.2, True),
    pytest.param(0.0, True, marks=pytest.mark.long),
    pytest.param(0.2, False, marks=pytest.mark.long),
  ],
)
def test_hypergradient_equals_closed_form(x64, batch_norm, entropy_weight):
  changes = {
    **BASE,
    "model.batch_norm": batch_norm,
    "maxl.entropy_weight": entropy_weight,
  }
  state, batch = start(batch_norm, float64=True)
  value, grads = hypergradient(**changes)(state, batch, batch, STEP)
  expected, closed = through_labels(problem_of(**changes), state, batch)
  np.testing.assert_allclose(value, expected, rtol=1e-12)
  assert relative_error(grads, closed) < 1e-9


def test_hypergradient_equals_central_differences(x64):
  changes = {**BASE, "model.batch_norm": True, "maxl.entropy_weight": 0.2}
  state, batch = start(batch_norm=True, float64=True)
  at = hypergradient(**changes)
  _, grads = at(state, batch, batch, STEP)
  flat, unflatten = jax.flatten_util.ravel_pytree(state.meta_params)
  direction = jax.random.normal(jax.random.key(3), flat.shape, flat.dtype)

  def value_at(shift):
    moved = state._replace(meta_params=unflatten(flat + shift * direction))
    return at(moved, batch, batch, STEP)[0]

  numeric = (value_at(1e-5) - value_at(-1e-5)) / 2e-5
  exact = jax.flatten_util.ravel_pytree(grads)[0] @ direction
  np.testing.assert_allclose(numeric, exact, rtol=1e-6)


# The parts are told apart alike, whatever makes the whole.
@pytest.mark.parametrize(
  "centred", [False, pytest.param(True, marks=pytest.mark.long)]
)
def test_norms_of_the_two_parts_of_the_hypergradient(x64, centred):
  """Each part is the whole hypergradient of a config that has it alone."""
  changes = {**BASE, "model.batch_norm": True, "maxl.entropy_weight": 0.2}
  if centred:
    changes["maxl.centre_hypergradient"] = True
  state, batch = start(batch_norm=True, float64=True)
  other = jax.tree.map(lambda x: x[::-1], batch)
  other["image"] = 1 - other["image"]
  batches = {"train": other, "meta": batch}
  probe = compiled(maxl.probe, **changes, **{"maxl.inner_batch": "train"})
  found = probe(state, batches, STEP)
  still = {"inner.learning_rate": 1e-30}  # no virtual step: entropy is left
  for name, more in (
    ("hypergradient_norm", {}),
    ("hypergradient_primary_norm", {"maxl.entropy_weight": 0.0}),
    ("hypergradient_entropy_norm", still),
  ):
    alone = hypergradient(**{**changes, **more})
    _, grads = alone(state, other, batch, STEP)
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
  exact = {**BASE, "model.batch_norm": False, "maxl.entropy_weight": 0.0}
  other = {
    **exact,
    "inner.estimator": estimator,
    "inner.num_steps": num_steps,
  }
  state, batch = start(float64=True)
  grads = [
    hypergradient(**changes)(state, batch, batch, STEP)[1]
    for changes in (exact, other)
  ]
  assert relative_error(grads[1], grads[0]) < tolerance


def test_zero_inner_rate_gives_zero_hypergradient():
  at = hypergradient(
    **{"optimizer.learning_rate": 0.0, "maxl.entropy_weight": 0.0}
  )
  state, batch = start()
  _, grads = at(state, batch, batch, STEP)
  assert all(not leaf.any() for leaf in jax.tree.leaves(grads))


def test_one_auxiliary_class_leaves_nothing_to_learn():
  problem, state, batch = tiny.maxl_problem(
    tiny.config(psi=(1, 1)), float64=False
  )
  labels_of = jax.jit(partial(maxl.generate, problem))
  labels = labels_of(state, state.meta_params, batch)
  np.testing.assert_array_equal(labels, jax.nn.one_hot(batch["primary"], 2))
  at = jax.jit(partial(maxl.hypergradient, problem))
  _, grads = at(state, batch, batch, STEP)
  for leaf in jax.tree.leaves(grads):
    np.testing.assert_allclose(leaf, 0, atol=1e-9)


@pytest.mark.parametrize(
  ("own", "rates"), [(0.0, [0.1, 0.1, 0.05]), (0.3, [0.3, 0.3, 0.3])]
)
def test_virtual_rate_follows_the_schedule(own, rates):
  schedule = {"schedule": "step", "decay_every": 2, "learning_rate": 0.1}
  changes = {f"optimizer.{key}": value for key, value in schedule.items()}
  problem = problem_of(**changes, **{"inner.learning_rate": own})
  found = [maxl.inner_rate(problem, jnp.int32(step)) for step in range(3)]
  np.testing.assert_allclose(found, rates, rtol=1e-6)


def test_generator_normalises_by_the_batch():
  problem = problem_of(**{"model.batch_norm": True})
  state, batch = start(batch_norm=True)

  @jax.jit
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
  meta_step = compiled(
    maxl.meta_step,
    **{
      "model.batch_norm": True,
      "maxl.meta_updates_statistics": updates_statistics,
    },
  )
  state, batch = start(batch_norm=True)
  batches = {"train": batch, "meta": batch}
  new, _ = meta_step(state, batches, jax.random.key(1), STEP)
  chex.assert_trees_all_equal(new.params, state.params)
  chex.assert_trees_all_equal(new.optimizer, state.optimizer)
  moved = relative_error(new.stats, state.stats) > 0
  assert moved == updates_statistics
  assert relative_error(new.meta_params, state.meta_params) > 0


def test_train_step_leaves_the_generator_alone():
  state, batch = start()
  batches = {"train": batch, "meta": batch}
  train_step = compiled(maxl.train_step)
  new, metrics = train_step(state, batches, jax.random.key(1), STEP)
  chex.assert_trees_all_equal(new.meta_params, state.meta_params)
  total = metrics["primary_loss"] + metrics["auxiliary_loss"]
  np.testing.assert_allclose(metrics["loss"], total, rtol=1e-6)


def test_inner_batch_train_uses_both_batches(x64):
  changes = {**BASE, "model.batch_norm": False, "maxl.entropy_weight": 0.0}
  state, batch = start(float64=True)
  other = jax.tree.map(lambda x: x[::-1], batch)
  other["image"] = 1 - other["image"]
  batches = {"train": other, "meta": batch}
  on_both = {**changes, "maxl.inner_batch": "train"}
  meta_step = compiled(maxl.meta_step, **on_both)
  new, _ = meta_step(state, batches, jax.random.key(1), STEP)
  _, grads = hypergradient(**changes)(state, other, batch, STEP)
  rate = problem_of(**on_both).config.generator.optimizer.learning_rate
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
  centre = jax.jit(label_gradient.centre, static_argnums=2)
  centred = centre(slope, primary, psi)
  shifted = slope + jnp.where(primary == 0, 3.0, -7.0)[:, None]
  np.testing.assert_allclose(centre(shifted, primary, psi), centred, atol=1e-5)
  inside = np.concatenate([centred[::2, :2].ravel(), centred[1::2, 2:].ravel()])
  np.testing.assert_allclose(np.mean(inside**2), 1, rtol=1e-5)
  for c in range(2):
    np.testing.assert_allclose(centred[c::2].mean(0), 0, atol=1e-6)
  zero = centre(jnp.zeros((12, 5)), jnp.zeros(12, int), psi)
  np.testing.assert_array_equal(zero, 0)


def test_centred_hypergradient_trains():
  settings = tiny.config(**{"maxl.centre_hypergradient": True})
  _, metrics, _, _ = tiny.run_steps(settings, 3)
  assert all(np.isfinite(list(row.values())).all() for row in metrics)


def test_centred_hypergradient_differs(x64):
  changes = {**BASE, "model.batch_norm": True, "maxl.entropy_weight": 0.2}
  centred = {**changes, "maxl.centre_hypergradient": True}
  state, batch = start(batch_norm=True, float64=True)
  found, exact = (
    hypergradient(**each)(state, batch, batch, STEP)[1]
    for each in (centred, changes)
  )
  assert relative_error(found, exact) > 0.1


def test_running_mean_decides_the_slope_of_the_entropy(x64):
  problem = problem_of(**{"maxl.entropy_mean": "running"})
  labels = generate(*start(float64=True))
  running = jnp.array([0.1, 0.0, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
  slope = jax.grad(lambda y: maxl.entropy_loss(problem, y, running))(labels)
  log = np.log(np.where(running > 0, running, 1))
  expected = np.tile(0.2 / 16 * (1 + log), (16, 1))
  np.testing.assert_allclose(slope, expected, rtol=1e-12)
  # With the batch's own mean the value is the plain negative entropy.
  mean = labels.mean(0)
  value = maxl.entropy_loss(problem, labels, mean)
  plain = problem_of()
  np.testing.assert_allclose(
    value, maxl.entropy_loss(plain, labels, mean), rtol=1e-12
  )


def test_running_mean_label_follows_slowly():
  state, batch = start()
  before = jnp.arange(10.0) / 45
  state = state._replace(mean_label_K=before)
  labels = generate(state, batch)
  batches = {"train": batch, "meta": batch}
  meta_step = compiled(maxl.meta_step, **{"maxl.entropy_mean": "running"})
  new, _ = meta_step(state, batches, jax.random.key(1), STEP)
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
