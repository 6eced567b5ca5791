"""Minimisation on the simplex against enumeration of all supports."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from toys import basis, linear

from metaaux.methods.reweighting import _solvers, cagrad, mgda, qp_ema

LENGTHS = np.array([2e3, 1.0, 2.0, 3.0])
INVERSE = 1 / LENGTHS**2
solve = jax.jit(_solvers.minimise)
shortest = jax.jit(mgda.shortest)
combination = jax.jit(cagrad.combination, static_argnums=1)


def by_enumeration(A, b, total):
  """The least value over the stationary points of all faces."""
  best = np.inf
  for size in range(1, len(b) + 1):
    for face in itertools.combinations(range(len(b)), size):
      face = list(face)
      system = np.zeros((size + 1, size + 1))
      system[:size, :size] = A[np.ix_(face, face)]
      system[size, :size], system[:size, size] = 1, -1
      right = np.append(b[face], total)
      found = np.linalg.lstsq(system, right, rcond=1e-15)[0][:size]
      if found.min() >= 0 and np.isclose(found.sum(), total):
        best = min(best, value(A[np.ix_(face, face)], b[face], found))
  return best


def value(A, b, w):
  return w @ A @ w - 2 * b @ w


def excess(A, b, w, best):
  """How far a value is above the best, relative to what adds up to it."""
  size = w @ np.abs(A) @ w + 2 * np.abs(b) @ w
  return (value(A, b, w) - best) / (size + np.finfo(float).tiny)


def random_problem(rng, kind):
  num = rng.integers(1, 7)
  columns = rng.normal(size=(rng.integers(2, 9), num))
  columns *= 10.0 ** rng.uniform(-3, 3, num)
  if kind == "duplicates":
    columns[:, 0] = columns[:, -1]
  if kind == "one direction":
    columns = columns[:, :1] * rng.uniform(0.1, 1, num)[None]
  primary = rng.normal(size=len(columns)) * 10.0 ** rng.uniform(-2, 2)
  # As the solver gets it.
  A = jnp.asarray(columns.T @ columns), jnp.asarray(columns.T @ primary)
  return tuple(np.asarray(x, np.float64) for x in A)


@pytest.mark.parametrize("kind", ["unlike", "duplicates", "one direction"])
@pytest.mark.parametrize("wide", [False, True])
def test_random_problems(kind, wide):
  rng = np.random.default_rng(0)
  with jax.enable_x64(wide):
    for n in range(12):
      A, b = random_problem(rng, kind)
      b = b * (n % 3 > 0)
      got = solve(jnp.asarray(A), jnp.asarray(b), jnp.ones(len(b)), 2.0)
      weights = np.asarray(got.weight_K, np.float64)
      assert got.optimal and weights.min() >= 0
      np.testing.assert_allclose(weights.sum(), 2, rtol=1e-6)
      above = excess(A, b, weights, by_enumeration(A, b, 2.0))
      assert above < (1e-11 if wide else 3e-6)


@pytest.mark.parametrize("wide", [False, True])
def test_lengths_that_differ_by_orders_of_magnitude(wide):
  """Of orthogonal gradients, weights go with 1 / length^2."""
  with jax.enable_x64(wide):
    products = jnp.diag(jnp.asarray(LENGTHS**2))
    tolerance = 1e-5 if not wide else 1e-9
    weights = shortest(products)
    want = INVERSE / INVERSE.sum()
    np.testing.assert_allclose(weights, want, rtol=tolerance)
    weights = jax.jit(
      lambda H: qp_ema.solve(H, jnp.zeros(4), jnp.ones(4), 0.0)[0]
    )(products)
    np.testing.assert_allclose(weights, 4 * want, rtol=tolerance)


@pytest.mark.parametrize("name", ["mgda", "qp_ema"])
def test_such_lengths_in_use(name):
  columns = basis(*[(length, n) for n, length in enumerate(LENGTHS)], size=5)
  primary = np.eye(5)[4] * (1.0 if name == "mgda" else 0.0)
  weights, metrics = toys.update(toys.make(name), linear(primary, columns))
  assert metrics["rejected"] == 0
  scale = weights[1]
  np.testing.assert_allclose(weights, scale * INVERSE, rtol=1e-4)


def test_cagrad_of_such_lengths(x64):
  """At w slopes are equal where it is positive and no lower elsewhere."""
  rng = np.random.default_rng(1)
  for columns in (np.diag(LENGTHS), rng.normal(size=(6, 4)) * LENGTHS[None]):
    products = columns.T @ columns
    mixed = combination(products, 0.5) - 0.25
    w = np.asarray(mixed / mixed.sum())
    mean = np.full(4, 0.25)
    radius = 0.5 * np.sqrt(mean @ products @ mean)
    slope = products @ mean + radius * products @ w / np.sqrt(w @ products @ w)
    np.testing.assert_allclose(slope[w > 1e-9], w @ slope, rtol=1e-6)
    assert np.all(slope > (w @ slope) * (1 - 1e-6))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("spread", [0, 1])
def test_39_tasks_of_condition_1e6(wide, spread):
  rng = np.random.default_rng(2)
  left = np.linalg.qr(rng.normal(size=(60, 39)))[0]
  right = np.linalg.qr(rng.normal(size=(39, 39)))[0]
  columns = left * np.geomspace(1, 1e-3, 39)[None] @ right
  columns *= 10.0 ** (spread * rng.uniform(-1, 1, 39))
  primary = columns @ np.maximum(rng.normal(size=39), 0)
  with jax.enable_x64(wide):
    A = np.asarray(jnp.asarray(columns.T @ columns), np.float64)
    b = np.asarray(jnp.asarray(columns.T @ primary), np.float64)
    got = solve(jnp.asarray(A), jnp.asarray(b), jnp.ones(39), 39.0)
    w = np.asarray(got.weight_K, np.float64)
  # What single precision takes depends on its roundings: 193 with JAX 0.8.0.
  assert got.optimal and got.steps < (100 if wide else 300)
  slope, inverse = A @ w - b, (w > 0) / np.diag(A)
  level = (slope * inverse).sum() / inverse.sum()
  missed = (slope - level) / (np.abs(A) @ w + np.abs(b) + np.abs(level))
  tolerance = 1e-10 if wide else 2e-3
  assert np.all(np.abs(missed[w > 0]) < tolerance)
  assert np.all(missed > -tolerance)


@pytest.mark.parametrize("zeros", [[0], [1, 2], [0, 1, 2]])
def test_zero_gradients_share_what_nobody_pays_for(zeros):
  lengths = np.array([5.0, 0.3, 40.0])
  lengths[zeros] = 0
  weights = shortest(np.diag(lengths**2))
  want = np.isin(range(3), zeros) / len(zeros)
  np.testing.assert_allclose(weights, want, atol=1e-6)


def test_one_task():
  for square, slope in ((4.0, 0.0), (0.0, 0.0), (1e-12, 7.0), (1e12, -1.0)):
    got = solve(jnp.array([[square]]), jnp.array([slope]), jnp.ones(1), 3.0)
    assert got.optimal and got.weight_K == 3


def test_what_is_not_optimal_is_rejected():
  """A matrix with a negative eigenvalue has no such minimum."""
  products = jnp.array([[1.0, -3.0], [-3.0, 1.0]])
  got = solve(products, jnp.zeros(2), jnp.array([0.9, 0.1]), 1.0)
  assert got.optimal or np.isnan(got.weight_K).all()
  got = solve(products * jnp.nan, jnp.zeros(2), jnp.ones(2), 1.0)
  assert not got.optimal and np.isnan(got.weight_K).all()


@pytest.mark.parametrize(
  ("module", "name"), [(mgda, "mgda"), (cagrad, "cagrad"), (qp_ema, "qp_ema")]
)
def test_without_an_optimum_the_weights_stay(module, name, monkeypatch):
  monkeypatch.setattr(_solvers, "_ACCEPTED", -1)
  weighting = module.make()
  state = weighting.init(3)
  state = state._replace(weight_K=jnp.array([0.5, 2.0, 0.5]))
  tasks = toys.random_linear(num_tasks=3)
  weights, metrics = toys.update(weighting, tasks, state)
  assert metrics["rejected"] == 1
  np.testing.assert_array_equal(weights, [0.5, 2, 0.5])


def test_under_vmap():
  rng = np.random.default_rng(3)
  columns = rng.normal(size=(5, 8, 4)) * LENGTHS
  products = jnp.asarray(np.einsum("npi,npj->nij", columns, columns))
  together = jax.jit(jax.vmap(mgda.shortest))(products)
  alone = jax.lax.map(mgda.shortest, products)
  np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-6)
