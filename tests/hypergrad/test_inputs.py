"""Hypergradients in half precision, at zero, and of inputs that cannot be."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaaux import hypergrad
from metaaux.hypergrad import hypergradient, inner_update


def half_problem(dtype, length):
  rng = np.random.default_rng(0)
  theta = rng.normal(size=300) * length / np.sqrt(300)
  theta = jnp.asarray(theta, dtype)
  x = jnp.asarray(rng.normal(size=(300, 4)) / np.sqrt(300), jnp.float32)

  def inner(theta, phi, _):
    return jnp.sum(jnp.sin(theta.astype(jnp.float32) @ x + phi))

  def outer(theta, phi, _):
    return jnp.sum((theta.astype(jnp.float32) @ x - 1.0) ** 2)

  return theta, jnp.array([0.3, -0.2, 0.5, 0.1]), inner, outer


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("length", [1.0, 30.0])
def test_differences_that_the_parameters_resolve(dtype, length):
  theta, phi, inner, outer = half_problem(dtype, length)
  want = jax.jit(hypergradient(inner, outer, inner_lr=0.1))(
    theta.astype(jnp.float32), phi, None, None
  )[1]
  difference = hypergradient(
    inner, outer, inner_lr=0.1, estimator="finite_difference"
  )
  got = jax.jit(difference)(theta, phi, None, None)[1]
  error = jnp.linalg.norm(got - want) / jnp.linalg.norm(want)
  assert error < (0.01 if dtype == "float32" else 0.2)


def test_a_given_radius_counts(x64):
  """The error of a cubic is the square of the radius."""
  for radius in (0.1, 0.2):
    f = hypergradient(
      lambda theta, phi, _: phi * theta**4,
      lambda theta, phi, _: theta,
      inner_lr=1.0,
      estimator="finite_difference",
      difference_radius=radius,
    )
    _, grad = f(jnp.array(1.0), jnp.array(1.0), None, None)
    np.testing.assert_allclose(grad, -4 - 4 * radius**2, rtol=1e-9)


def test_norm_of_a_zero_tree():
  """The norm is 0 and not 1, its inverse finite, the slopes, too."""
  zero = {"a": jnp.zeros(3), "b": jnp.zeros(())}
  norm, inverse = hypergrad._norm(zero)
  assert norm == 0 and np.isfinite(inverse)
  slope = jax.grad(lambda tree: hypergrad._norm(tree)[0])(zero)
  jax.tree.map(lambda x: np.testing.assert_array_equal(x, 0), slope)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_differences_where_the_outer_gradient_is_zero(dtype):
  """Nothing is indirect there, and the inner loss has a curvature."""
  f = hypergradient(
    lambda theta, phi, _: jnp.sum(jnp.exp(theta) * phi),
    lambda theta, phi, _: jnp.sum(phi),
    inner_lr=1.0,
    estimator="finite_difference",
  )
  theta = jnp.ones(3, dtype)
  _, grad = f(theta, jnp.array([1.0, 2, 3], dtype), None, None)
  np.testing.assert_array_equal(grad.astype(jnp.float32), 1)


@pytest.mark.parametrize(("g", "eps_root"), [(1.0, 1e-8), (1e-4, 1e-8), (1, 1)])
def test_what_adam_leaves_of_the_inner_gradient(g, eps_root, x64):
  """The derivative that the docstring names."""
  f = hypergradient(
    lambda theta, phi, _: phi * theta,
    lambda theta, phi, _: theta,
    inner_optimizer=optax.adam(1.0, eps=0.0, eps_root=eps_root),
  )
  _, grad = jax.jit(f)(jnp.array(0.0), jnp.array(float(g)), None, None)
  want = -eps_root / (g**2 + eps_root) ** 1.5
  np.testing.assert_allclose(grad, want, rtol=1e-6)


def loss(params, meta, _):
  return jnp.sum((params["w"] - meta) ** 2)


PARAMS = {"w": np.ones(3, np.float32), "step": np.int32(4)}
META = np.ones(3, np.float32)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"num_steps": np.int64(1)}, r"num_steps=np.int64\(1\) .*Python int"),
    ({"num_steps": True}, "num_steps=True must be an integer"),
    ({"num_steps": jnp.array(1)}, "num_steps=Array.* pass a Python int"),
    ({"neumann_terms": 1.5}, "neumann_terms=1.5 must be an integer"),
    (
      {"difference_radius": 0},
      "difference_radius=0 is not a finite number > 0",
    ),
    ({"difference_radius": float("nan")}, "difference_radius=nan is not"),
  ],
)
def test_options_that_cannot_be(options, message):
  with pytest.raises(ValueError, match=message):
    hypergradient(loss, loss, **{"inner_lr": 0.1} | options)


@pytest.mark.parametrize("estimator", hypergrad.ESTIMATORS)
@pytest.mark.parametrize(
  ("params", "meta", "message"),
  [
    (PARAMS, META, r"params\['step'\] is int32\[\], which has no gradient"),
    ({"w": META}, META.astype(int), r"meta_params is int.*\[3\], which has no"),
    (
      {"w": META.astype(">f4")},
      META,
      r"params\['w'\] is >f4 .*astype\('float32'\)",
    ),
  ],
)
def test_leaves_without_a_gradient(estimator, params, meta, message):
  f = hypergradient(loss, loss, inner_lr=0.1, estimator=estimator)
  with pytest.raises(ValueError, match=message):
    f(params, meta, None, None)


def test_inner_steps_check_alike():
  with pytest.raises(ValueError, match=r"params\['step'\] is int32"):
    inner_update(loss, inner_lr=0.1)(PARAMS, META, None)
