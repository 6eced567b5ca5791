"""What must hold for every weighting: one table, all of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from toys import basis

from metaaux.methods.reweighting import WEIGHTINGS

# All but those whose weights are given; see `test_given_weights`.
NAMES = sorted(WEIGHTINGS.keys() - {"fixed"})
# Name and options, sum K and >= 0 as promised.
ON_SIMPLEX = [
  ("arml", {}),
  ("arml", {"eta": 1.0, "eta_mode": "relative"}),
  ("arml", {"eta": 5.0}),
  ("qp_ema", {}),
  ("uniform", {}),
  ("gradnorm", {"learning_rate": 1.0}),
  ("ol_aux", {"learning_rate": 5.0, "project": True}),
  ("uncertainty", {}),
  ("dwa", {}),
  ("rlw", {}),
]
NOT_NEGATIVE = [
  ("arml", {"projection": "shift_clamp", "eta": 5.0}),
  ("ol_aux", {"learning_rate": 5.0}),
  *[(name, {}) for name in ("adaloss", "cosine_similarity", "mgda", "cagrad")],
  *[(name, {}) for name in ("pcgrad", "nash_mtl")],
]
# The order in which gradients meet is drawn; so are all of RLW's weights.
RANDOM = ("pcgrad", "rlw")
# They have no look at the losses.
BLIND = ("uniform", "rlw")
# They have no look at the primary task, unless they are asked to.
AUXILIARY_ONLY = (*BLIND, "adaloss", "dwa", "gradnorm", "uncertainty")
# Functions of the gradients' directions or proportions.
WITHOUT_SCALE = (
  "cagrad",
  "cosine_similarity",
  "imtl",
  "mgda",
  "nash_mtl",
  "pcgrad",
  "qp_ema",
)


def label(case):
  return case if isinstance(case, str) else "-".join(map(str, case))


@functools.cache
def train(name, options=(), num_steps=12, num_tasks=3, seed=0):
  """Weights along a short training [n, K], and metrics."""
  weighting = toys.make(name, **dict(options))
  params = toys.network_params(num_tasks=num_tasks)

  def step(carry, xs):
    params, state = carry
    key, batch = xs
    tasks = toys.network(params, batch)
    weight_K, state, metrics = weighting.update(state, tasks, key)

    def loss(params):
      weighted = jnp.sum(weight_K * tasks.auxiliary_losses(params))
      return tasks.primary_loss(params) + weighted

    params = jax.tree.map(
      lambda x, g: x - 0.005 * g, params, jax.grad(loss)(params)
    )
    return (params, state), (weight_K, metrics)

  batches = [
    toys.network_batch(seed=n, num_tasks=num_tasks) for n in range(num_steps)
  ]
  batches = jax.tree.map(lambda *x: jnp.stack(x), *batches)
  keys = jax.random.split(jax.random.key(seed), num_steps)
  carry = (params, weighting.init(num_tasks))
  _, result = jax.jit(lambda *x: jax.lax.scan(step, *x))(carry, (keys, batches))
  return jax.tree.map(np.asarray, result)


@pytest.mark.parametrize("name", NAMES)
def test_training_in_a_scan(name):
  weights, metrics = train(name)
  assert weights.shape == (12, 3) and weights.dtype == np.float32
  assert np.isfinite(weights).all()
  for values in metrics.values():
    assert values.shape == (12,) and np.isfinite(values).all()
  np.testing.assert_array_equal(metrics["rejected"], 0)
  assert (np.ptp(weights, axis=0).max() > 0) == (name != "uniform")


@pytest.mark.parametrize("case", ON_SIMPLEX, ids=label)
def test_on_the_simplex(case):
  name, options = case
  weights, _ = train(name, tuple(options.items()))
  assert weights.min() >= 0
  np.testing.assert_allclose(weights.sum(1), 3, rtol=1e-5)


@pytest.mark.parametrize("case", NOT_NEGATIVE, ids=label)
def test_not_negative_but_no_fixed_sum(case):
  name, options = case
  weights, _ = train(name, tuple(options.items()))
  assert weights.min() >= 0
  assert np.abs(weights.sum(1) - 3).max() > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_starts_where_it_says(name):
  state = toys.make(name).init(3)
  want = np.full(3, 0.1 if name == "auto_lambda" else 1, np.float32)
  np.testing.assert_array_equal(state.weight_K, want)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in RANDOM])
def test_order_of_tasks(name, x64):
  tasks = toys.network(
    toys.network_params(num_tasks=4), toys.network_batch(num_tasks=4)
  )
  weighting = toys.make(name)
  keys = jax.random.split(jax.random.key(0), 3)

  @jax.jit
  def along(order):
    now = tasks._replace(
      auxiliary_losses=lambda params: tasks.auxiliary_losses(params)[order]
    )
    step = toys.step_of(weighting, now)
    return jax.lax.scan(step, weighting.init(4), keys)[1][0]

  order = np.array([2, 0, 3, 1])
  weights, permuted = np.asarray(along(np.arange(4))), along(order)
  tolerance = 1e-5 if name in ("qp_ema", "mgda", "cagrad") else 1e-10
  np.testing.assert_allclose(permuted, weights[:, order], rtol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_one_task(name):
  loop = jax.vmap(toys.on_linear(toys.make(name), 4), in_axes=(None, 0))
  signs = np.array([1.0, -1.0])[:, None, None]
  weights, metrics = loop(np.ones(4), signs * basis((2.0, 1)))
  assert np.isfinite(weights).all()
  np.testing.assert_array_equal(metrics["rejected"], 0)
  if name in [on for on, _ in ON_SIMPLEX if on != "ol_aux"]:
    np.testing.assert_allclose(weights, 1, rtol=1e-6)


@functools.cache
def on_three_problems(name):
  """Four updates on each, compiled once for the tests that use it."""
  return jax.jit(jax.vmap(toys.on_linear(toys.make(name), 4)))


@pytest.mark.parametrize("name", NAMES)
def test_zero_gradients(name):
  """Of an auxiliary task, of the primary task too, of all."""
  primary = np.array([1.0, 0.0, 0.0])[:, None] * np.eye(4)[0]
  columns = np.array([1.0, 1.0, 0.0])[:, None, None]
  columns = columns * basis((-1.0, 0), 1, (0.0, 2))
  weights, metrics = on_three_problems(name)(primary, columns)
  assert np.isfinite(weights).all()
  np.testing.assert_array_equal(metrics["rejected"], 0)
  for values in metrics.values():
    assert np.isfinite(values).all()


@functools.cache
def on_multiples(name, options):
  """An update where the losses, the primary one first, have been multiplied."""
  weighting = toys.make(name, **dict(options))
  tasks = toys.random_linear(num_tasks=3)

  def update(state, factor):
    now = tasks._replace(
      primary_loss=lambda params: factor[0] * tasks.primary_loss(params),
      auxiliary_losses=lambda p: factor[1:] * tasks.auxiliary_losses(p),
    )
    return weighting.update(state, now, jax.random.key(0))

  return jax.jit(update), weighting.init(3)


@pytest.mark.parametrize(
  ("name", "options", "where"),
  [
    *[(n, {}, "auxiliary") for n in NAMES if n not in BLIND],
    *[(n, {}, "primary") for n in NAMES if n not in AUXILIARY_ONLY],
    ("uncertainty", {"with_primary": True}, "primary"),
    ("dwa", {"with_primary": True}, "primary"),
    ("cosine_similarity", {"kind": "weighted"}, "auxiliary"),
  ],
)
def test_a_nan_changes_nothing(name, options, where):
  update, start = on_multiples(name, tuple(options.items()))
  _, state, _ = update(start, np.ones(4))
  spoiled = np.ones(4)
  spoiled[0 if where == "primary" else 2] = np.nan
  weights, same, metrics = update(state, spoiled)
  np.testing.assert_array_equal(metrics["rejected"], 1)
  np.testing.assert_array_equal(weights, state.weight_K)
  jax.tree.map(np.testing.assert_array_equal, same, state)


@pytest.mark.parametrize("name", WITHOUT_SCALE)
def test_common_scale(name):
  rng = np.random.default_rng(0)
  scale = np.array([1, 1e-6, 1e6])[:, None]
  primary = scale * rng.normal(size=4)[None]
  columns = scale[..., None] * rng.normal(size=(4, 3))[None]
  weights, _ = on_three_problems(name)(primary, columns)
  # After one update.
  want, *others = np.asarray(weights)[:, 0]
  for found in others:
    np.testing.assert_allclose(found, want, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_vmap_over_seeds_no_jit_and_no_derivative(name):
  weighting = toys.make(name)
  batch = toys.network_batch()

  def one(params, seed):
    tasks = toys.network(params, batch)
    key = jax.random.fold_in(jax.random.key(0), seed)
    found = weighting.update(weighting.init(3), tasks, key)[:2]
    return jnp.sum(found[0] * jnp.arange(3.0)), found

  starts = jax.tree.map(
    lambda x: jnp.stack([x, 1.3 * x]), toys.network_params()
  )
  slope, together = jax.jit(jax.vmap(jax.grad(one, has_aux=True)))(
    starts, jnp.arange(2)
  )
  # Weights are constants under differentiation.
  jax.tree.map(lambda x: np.testing.assert_array_equal(x, 0), slope)
  _, alone = one(jax.tree.map(lambda x: x[1], starts), jnp.int32(1))
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x[1], y, rtol=2e-3, atol=1e-5),
    together,
    alone,
  )


@pytest.mark.parametrize("name", NAMES)
def test_four_devices_equal_one(name, x64):
  weighting = toys.make(name)
  params, batch = toys.network_params(), toys.network_batch()

  def three_updates(batch, axis_name=None):
    def step(state, now):
      n, key = now
      moved = jax.tree.map(lambda x: x * (1 + 0.1 * n), params)
      tasks = toys.network(moved, batch, axis_name)
      _, state, metrics = weighting.update(state, tasks, key)
      return state, metrics

    keys = jax.random.split(jax.random.key(0), 3)
    return jax.lax.scan(step, weighting.init(3), (jnp.arange(3), keys))

  want = jax.jit(three_updates)(batch)
  got = toys.on_pmap(lambda batch: three_updates(batch, "devices"), batch)
  for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-12)


def test_wrong_number_of_losses():
  tasks = toys.random_linear(num_tasks=3)
  for name in ("arml", "adaloss", "mgda"):
    weighting = toys.make(name)
    with pytest.raises(ValueError, match=r"float32\[3\].*init\(2\)"):
      weighting.update(weighting.init(2), tasks, jax.random.key(0))
  scalar = tasks._replace(auxiliary_losses=tasks.primary_loss)
  with pytest.raises(ValueError, match=r"float32\[\].*init\(1\)"):
    weighting.update(weighting.init(1), scalar, jax.random.key(0))


@pytest.mark.parametrize("num_tasks", [0, -1, 2.0])
def test_wrong_number_of_tasks(num_tasks):
  with pytest.raises(ValueError, match=f"num_tasks={num_tasks}"):
    toys.make("arml").init(num_tasks)


def test_given_weights():
  weighting = toys.make("fixed", (0.5, 0.0, 2.5))
  state = weighting.init(3)
  tasks = toys.random_linear(num_tasks=3)
  weight_K, state, metrics = weighting.update(state, tasks, jax.random.key(0))
  np.testing.assert_array_equal(weight_K, [0.5, 0, 2.5])
  assert metrics["rejected"] == 0
  with pytest.raises(ValueError, match="for 4 tasks; give one each"):
    weighting.init(4)
  with pytest.raises(ValueError, match="finite and >= 0"):
    toys.make("fixed", (1.0, -1.0))
