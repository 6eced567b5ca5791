"""Losses, gradients and their products: three routes, four devices, memory."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from jax.flatten_util import ravel_pytree

from metaaux.methods.reweighting import Tasks, _gradients, arml, gram

WEIGHTS = np.array([0.3, 1.7, 1.0])


def explicit_slope(weight_K):
  primary, columns = toys.network_gradients()
  return -2 * columns.T @ (primary - columns @ weight_K)


def tasks_with(forward_mode=True, dtype=None):
  params = toys.network_params()
  batch = toys.network_batch()
  params, batch = jax.tree.map(
    lambda x: x.astype(dtype or x.dtype), (params, batch)
  )
  return toys.network(params, batch, forward_mode=forward_mode)


@pytest.mark.parametrize("forward_mode", [True, False])
def test_slope_of_the_mismatch(forward_mode, x64):
  """One JVP, explicit gradients and differences give one slope."""
  tasks = tasks_with(forward_mode)
  primary, columns = toys.network_gradients()

  def mismatch(weight_K):
    return np.sum((primary - columns @ weight_K) ** 2)

  value, slope = jax.jit(lambda w: arml.weight_gradient(tasks, w))(WEIGHTS)
  np.testing.assert_allclose(value, mismatch(WEIGHTS), rtol=1e-12)
  np.testing.assert_allclose(slope, explicit_slope(WEIGHTS), rtol=1e-11)
  differences = [
    (mismatch(WEIGHTS + d) - mismatch(WEIGHTS - d)) / 2e-6
    for d in 1e-6 * np.eye(3)
  ]
  np.testing.assert_allclose(slope, differences, rtol=1e-6)


def test_slope_in_float32():
  tasks = tasks_with()
  _, slope = jax.jit(lambda w: arml.weight_gradient(tasks, w))(WEIGHTS)
  assert slope.dtype == jnp.float32
  np.testing.assert_allclose(slope, explicit_slope(WEIGHTS), rtol=1e-5)


@pytest.mark.parametrize("forward_mode", [True, False])
@pytest.mark.parametrize(
  "num_tasks", [pytest.param(1, marks=pytest.mark.long), 3, 7]
)
def test_gram(forward_mode, num_tasks, x64):
  """Three tasks are unrolled, as one is; seven are in a loop."""
  tasks = toys.network(
    toys.network_params(num_tasks=num_tasks),
    toys.network_batch(num_tasks=num_tasks),
    forward_mode=forward_mode,
  )
  got = jax.jit(lambda: gram(tasks))()
  primary, columns = toys.network_gradients(num_tasks)
  explicit = columns.T @ columns, columns.T @ primary, primary @ primary
  for x, want in zip(got, explicit, strict=True):
    np.testing.assert_allclose(x, want, rtol=1e-11, atol=1e-13)
  np.testing.assert_allclose(got.auxiliary, got.auxiliary.T, rtol=1e-14)
  everything = np.concatenate([primary[:, None], columns], axis=1)
  np.testing.assert_allclose(
    got.of_all, everything.T @ everything, rtol=1e-11, atol=1e-13
  )


@pytest.mark.parametrize("forward_mode", [True, False])
def test_products_with_any_direction_and_norms(forward_mode, x64):
  tasks = tasks_with(forward_mode)
  _, columns = toys.network_gradients()
  direction = toys.network_params(seed=5)
  flat, _ = ravel_pytree(direction)
  got = jax.jit(lambda: _gradients.inner_products(tasks, direction))()
  np.testing.assert_allclose(got, columns.T @ flat, rtol=1e-11)
  loss, square = jax.jit(lambda: _gradients.squared_norms(tasks))()
  np.testing.assert_allclose(square, (columns**2).sum(0), rtol=1e-11)
  np.testing.assert_allclose(
    loss, tasks.auxiliary_losses(tasks.params), rtol=1e-14
  )


def test_functions_with_only_a_reverse_rule():
  @jax.custom_vjp
  def double(x):
    return 2 * x

  double.defvjp(lambda x: (2 * x, None), lambda _, g: (2 * g,))

  def make(forward_mode):
    base = toys.linear(toys.basis(0)[:, 0], toys.basis(0, (3.0, 1)))
    return base._replace(
      auxiliary_losses=lambda params: base.auxiliary_losses(
        jax.tree.map(double, params)
      ),
      forward_mode=forward_mode,
    )

  with pytest.raises(TypeError, match="custom_vjp"):
    gram(make(True))
  got = gram(make(False))
  np.testing.assert_allclose(got.auxiliary, np.diag([4.0, 36.0]))
  np.testing.assert_allclose(got.cross, [2.0, 0.0])


def test_products_of_half_precision_gradients_are_single():
  """The sum of 5001 ones is no bfloat16, and may even stop at 256."""
  params = jnp.zeros(5001, jnp.bfloat16)
  tasks = Tasks(params, jnp.sum, lambda x: jnp.stack([jnp.sum(x), -x[0]]))
  got = gram(tasks._replace(forward_mode=False))
  assert {x.dtype for x in got} == {jnp.dtype("float32")}
  np.testing.assert_array_equal(got.primary, 5001)
  np.testing.assert_array_equal(got.auxiliary, [[5001, -1], [-1, 1]])
  _, square = _gradients.squared_norms(tasks)
  np.testing.assert_array_equal(square, [5001, 1])


@pytest.mark.parametrize("axis_name", [None, "devices"])
def test_one_evaluation_of_all_losses_gives_the_same_sum(axis_name, x64):
  params, weight_K = toys.network_params(), jnp.array([0.5, -1.0, 2.0])

  def both(batch, axis_name=None):
    tasks = toys.network(params, batch, axis_name)
    at_once = tasks._replace(
      all_losses=lambda p: (tasks.primary_loss(p), tasks.auxiliary_losses(p))
    )
    return [_gradients.sum_gradient(t, weight_K) for t in (tasks, at_once)]

  batch = toys.network_batch()
  got = (
    toys.on_pmap(lambda part: both(part, axis_name), batch)
    if axis_name
    else jax.jit(both)(batch)
  )
  primary, columns = toys.network_gradients()
  for tree in got:
    flat, _ = ravel_pytree(tree)
    np.testing.assert_allclose(flat, primary + columns @ weight_K, atol=1e-12)


def test_all_losses_must_be_as_many_as_the_weights():
  tasks = toys.random_linear(num_tasks=4)
  wrong = tasks._replace(
    all_losses=lambda p: (tasks.primary_loss(p), jnp.zeros(3))
  )
  weighting = arml.make()
  with pytest.raises(ValueError, match=r"\[3\].*init\(4\)"):
    weighting.update(weighting.init(4), wrong, jax.random.key(0))


def test_one_gradient_in_memory_at_a_time():
  """16 gradients of 4 MB; the reverse route keeps them all."""
  size, num_tasks = 1 << 20, 16
  scale_K = jnp.arange(1.0, num_tasks + 1)

  def needed(forward_mode):
    def products(params):
      return gram(
        Tasks(
          params,
          lambda x: jnp.sum(x**2),
          lambda x: scale_K * jnp.sum(jnp.sin(x)),
          forward_mode=forward_mode,
        )
      )

    compiled = jax.jit(products).lower(jnp.ones(size)).compile()
    return compiled.memory_analysis().temp_size_in_bytes / (4 * size)

  assert needed(True) < 8
  assert needed(False) > num_tasks


# Within shard_map each route has rules of its own for what is replicated.
@pytest.mark.parametrize(
  ("runner", "num_tasks", "forward_mode"),
  [
    *itertools.product([toys.on_shard_map], [3, 6], [True, False]),
    (toys.on_pmap, 3, True),
    *(
      pytest.param(toys.on_pmap, *case, marks=pytest.mark.long)
      for case in [(3, False), (6, True), (6, False)]
    ),
  ],
)
def test_four_devices_equal_one(runner, forward_mode, num_tasks, x64):
  params = toys.network_params(num_tasks=num_tasks)
  batch = toys.network_batch(num_tasks=num_tasks)
  weight_K = jnp.linspace(0.5, 1.5, num_tasks)

  def everything(batch, axis_name=None):
    tasks = toys.network(params, batch, axis_name, forward_mode=forward_mode)
    return (
      tuple(gram(tasks)),
      arml.weight_gradient(tasks, weight_K),
      _gradients.squared_norms(tasks),
      _gradients.primary_loss(tasks),
      _gradients.auxiliary_losses(tasks),
    )

  want = jax.jit(everything)(batch)
  got = runner(lambda batch: everything(batch, "devices"), batch)
  for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    np.testing.assert_allclose(x, y, rtol=1e-10)


def test_mean_of_the_devices_products_is_larger(x64):
  """What the test above would catch."""
  params, batch = toys.network_params(), toys.network_batch()
  parts = jax.tree.map(lambda x: x.reshape(4, -1, *x.shape[1:]), batch)
  biased = jax.jit(
    lambda: jnp.mean(
      jax.vmap(lambda b: gram(toys.network(params, b)).auxiliary)(parts), axis=0
    )
  )()
  _, columns = toys.network_gradients()
  right = columns.T @ columns
  assert np.all(np.diag(biased) > 1.05 * np.diag(right))
