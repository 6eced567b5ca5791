"""Projections onto the scaled simplex: known answers, optimality, traps."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux import simplex

project = jax.jit(simplex.project)
shift_clamp = jax.jit(simplex.shift_clamp)

# Each row: a point, its projection onto {x >= 0, sum x = K}.
KNOWN = [
  ([3.0, -0.4], [2.0, 0.0]),
  ([5.0, 0.0, 0.0], [3.0, 0.0, 0.0]),
  ([2.0, 1.0, -3.0], [2.0, 1.0, 0.0]),
  ([1.5, 1.5, -2.0], [1.5, 1.5, 0.0]),
  ([2.0, 2.0, 2.0], [1.0, 1.0, 1.0]),
  ([0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]),
  ([-7.0], [1.0]),
  ([0.25, 0.75], [0.75, 1.25]),
]


@pytest.mark.parametrize(("v", "want"), KNOWN)
def test_known_projections(v, want, x64):
  got = simplex.project(jnp.array(v), total=len(v))
  np.testing.assert_allclose(got, want, atol=1e-15)


@pytest.mark.parametrize(("v", "want"), KNOWN)
def test_known_projections_in_float32(v, want):
  got = simplex.project(jnp.array(v), total=len(v))
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_large_entries_in_float32():
  """The form without the shift by the maximum gives entries near 3.3e8."""
  got = simplex.project(jnp.array([1e9, 1e9 - 64, 0.0]), total=3.0)
  np.testing.assert_array_equal(got, [3, 0, 0])


@pytest.mark.parametrize("v", [-3e20, -1.3, 0.0, 0.7, 1e8])
def test_one_entry_is_exactly_the_total(v):
  for total in (1.0, 0.3):
    got = simplex.project(jnp.array([v]), total=total)
    np.testing.assert_array_equal(got, np.float32([total]))


def by_enumeration(v, total):
  """Nearest of the candidates that all possible supports give."""
  best, nearest = np.inf, None
  for size in range(1, len(v) + 1):
    for support in itertools.combinations(range(len(v)), size):
      x = np.zeros(len(v))
      chosen = list(support)
      x[chosen] = v[chosen] - (v[chosen].sum() - total) / size
      if x.min() >= -1e-12 and ((x - v) ** 2).sum() < best - 1e-12:
        best, nearest = ((x - v) ** 2).sum(), x
  return nearest


def random_points(num=40, size=6):
  """Points whose entries are often equal, at several scales."""
  rng = np.random.default_rng(0)
  scale = np.array([0.1, 1.0, 3.0, 30.0])[np.arange(num) % 4]
  return np.round(scale[:, None] * rng.normal(size=(num, size)), 1)


def test_nearest_point_by_enumeration(x64):
  for total in (1.0, 6.0):
    for v in random_points():
      got = project(v, total)
      np.testing.assert_allclose(got, by_enumeration(v, total), atol=1e-12)


def test_optimality_conditions(x64):
  for size in (2, 5, 39, 400):
    points = random_points(num=8, size=size)
    projected = np.asarray(project(points, float(size)))
    for v, x in zip(points, projected, strict=True):
      np.testing.assert_allclose(x.sum(), size, rtol=1e-13)
      assert x.min() >= 0
      threshold = (v - x)[x > 0]
      np.testing.assert_allclose(threshold, threshold[0], atol=1e-11)
      assert np.all(v[x == 0] <= threshold[0] + 1e-11)


def test_invariances(x64):
  rng = np.random.default_rng(1)
  for v in random_points():
    x = project(v, 6.0)
    np.testing.assert_allclose(project(x, 6.0), x, atol=1e-14)
    shifted = project(v + 3.7, 6.0)
    np.testing.assert_allclose(shifted, x, atol=1e-12)
    order = rng.permutation(len(v))
    permuted = project(v[order], 6.0)
    np.testing.assert_array_equal(permuted, x[order])
    scaled = project(2.5 * v, 2.5 * 6.0)
    np.testing.assert_allclose(scaled, 2.5 * x, atol=1e-12)


@pytest.mark.parametrize("function", [simplex.project, simplex.shift_clamp])
def test_leading_axes_jit_and_vmap(function):
  points = jnp.asarray(random_points(), jnp.float32).reshape(5, 8, 6)
  one = jax.jit(function)
  want = np.stack([[one(v, 6.0) for v in row] for row in points])
  np.testing.assert_allclose(function(points, 6.0), want, atol=1e-5)
  got = jax.jit(jax.vmap(lambda v: function(v, 6.0)))(points)
  np.testing.assert_allclose(got, want, atol=1e-5)
  # A traced total, one a row.
  got = jax.jit(jax.vmap(function))(points[:, 0], jnp.arange(1.0, 6.0))
  want = [one(points[i, 0], i + 1.0) for i in range(5)]
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_derivative_is_a_projection_on_the_support(x64):
  v = jnp.array([3.0, 1.0, 2.5, -4.0, -3.9])
  derivative = jax.jit(jax.jacobian(simplex.project, argnums=(0, 1)))
  jacobian, slope = derivative(v, 5.0)
  active = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
  want = np.diag(active) - np.outer(active, active) / 3
  np.testing.assert_allclose(jacobian, want, atol=1e-14)
  np.testing.assert_allclose(slope, active / 3, atol=1e-14)


def test_derivative_equals_differences(x64):
  weight = jnp.array([0.3, -1.0, 2.0, 0.7, 0.1, -0.4])
  point = jnp.array([1.9, 0.3, -4.0, 1.1, 2.6, 0.9])
  for function in (simplex.project, simplex.shift_clamp):

    def value(v, function=function):
      return jnp.sum(weight * function(v, 6.0) ** 2)

    steps = 1e-6 * np.eye(6)
    at = jax.jit(value)
    want = [(at(point + d) - at(point - d)) / 2e-6 for d in steps]
    slope = jax.jit(jax.grad(value))(point)
    np.testing.assert_allclose(slope, want, atol=1e-7)


def test_derivative_is_finite_at_ties_and_corners():
  derivative = jax.jit(jax.jacobian(simplex.project))
  for v in ([1.0, 1.0, 1.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]):
    jacobian = derivative(jnp.array(v), 3.0)
    assert np.all(np.isfinite(jacobian))
    np.testing.assert_allclose(jacobian.sum(0), 0, atol=1e-6)


def test_a_nan_shows_everywhere_and_minus_infinity_is_no_weight():
  got = simplex.project(jnp.array([1.0, jnp.nan, 2.0]), 3.0)
  assert np.all(np.isnan(got))
  got = simplex.project(jnp.array([1.0, -jnp.inf, 2.0]), 3.0)
  np.testing.assert_allclose(got, [1, 0, 2], atol=1e-6)


@pytest.mark.parametrize(
  ("v", "want"),
  [([3.0, -0.4], [2.7, 0.0]), ([2.0, 1.0, -3.0], [3.0, 2.0, 0.0])],
)
def test_shift_clamp_may_exceed_the_total(v, want, x64):
  got = simplex.shift_clamp(jnp.array(v), total=len(v))
  np.testing.assert_allclose(got, want, atol=1e-14)


def test_shift_clamp_equals_the_projection_while_nothing_is_negative(x64):
  for v in random_points():
    shifted = v + (6 - v.sum()) / 6
    same = np.allclose(
      shift_clamp(v, 6.0),
      project(v, 6.0),
      atol=1e-12,
    )
    assert same == (shifted.min() >= 0)


@pytest.mark.parametrize(
  ("given", "widened"),
  [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")],
)
@pytest.mark.parametrize("function", [simplex.project, simplex.shift_clamp])
def test_dtypes(function, given, widened, x64):
  got = function(jnp.array([3.0, -0.5], dtype=given), 2.0)
  assert got.dtype == jnp.dtype(widened)


@pytest.mark.parametrize("function", [simplex.project, simplex.shift_clamp])
@pytest.mark.parametrize(
  ("v", "total", "message"),
  [
    (np.zeros(3, int), 1.0, r"v is int64\[3\]"),
    (np.float32(2), 1.0, r"v is float32\[\]"),
    (np.zeros((2, 0), np.float32), 1.0, r"v is float32\[2, 0\]"),
    (np.zeros(3, np.float32), 0.0, "total=0.0"),
    (np.zeros(3, np.float32), -2, "total=-2"),
    (np.zeros(3, np.float32), float("nan"), "total=nan"),
    (np.zeros(3, np.float32), np.ones(3, np.float32), r"float32\[3\]"),
  ],
)
def test_wrong_arguments(function, v, total, message):
  with pytest.raises(ValueError, match=message):
    function(v, total)


def test_the_sum_is_one_unless_another_is_given():
  v = jnp.array([0.5, 2.0, -1.0])
  for function in (simplex.project, simplex.shift_clamp):
    np.testing.assert_array_equal(function(v), function(v, 1.0))
  assert simplex.project(v).sum() == 1
