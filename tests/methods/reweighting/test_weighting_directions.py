"""Weightings made of gradient products, against closed forms and peers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import toys
from toys import basis, linear

from metaaux.methods.reweighting import cagrad, imtl, mgda, nash_mtl, pcgrad

E1 = np.eye(4)[0]
# Compiled once for all tests of a shape.
shortest = jax.jit(mgda.shortest)
combination = jax.jit(cagrad.combination, static_argnums=1)
equal_projections = jax.jit(imtl.equal_projections)
projected_sum = jax.jit(pcgrad.projected_sum)
bargain = jax.jit(nash_mtl.bargain)


def problem(seed, num_tasks=3, size=8):
  """All gradients [P, T], the primary one first."""
  rng = np.random.default_rng(seed)
  gradients = rng.normal(size=(size, num_tasks + 1))
  return gradients * rng.uniform(0.5, 2, size=(1, num_tasks + 1))


def update(weighting, gradients):
  """Weights after one update of linear losses, and metrics."""
  return toys.update_on(weighting, gradients[:, 0], gradients[:, 1:])


def direction(gradients, weight_K):
  return gradients @ np.concatenate([[1.0], weight_K])


def cosine(a, b):
  return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


# Cosine similarity and OL_AUX.


def test_cosine_similarity(x64):
  gradients = problem(0, num_tasks=5)
  products = gradients[:, 1:].T @ gradients[:, 0]
  assert 0 < np.sum(products > 0) < 5
  weights, _ = update(toys.make("cosine_similarity"), gradients)
  np.testing.assert_array_equal(weights, products > 0)
  weights, _ = update(
    toys.make("cosine_similarity", kind="weighted"), gradients
  )
  want = [max(0, cosine(gradients[:, 0], g)) for g in gradients.T[1:]]
  np.testing.assert_allclose(weights, want, rtol=1e-10, atol=1e-14)


def test_cosine_with_zero_and_tiny_gradients():
  columns = basis((0.0, 0), (1e-7, 0), (1e-4, 0), (1e18, 0))
  weighting = toys.make("cosine_similarity", kind="weighted")
  weights, _ = toys.update_on(weighting, E1, columns)
  np.testing.assert_allclose(weights, [0, 0, 1, 1], rtol=1e-6)
  weights, metrics = toys.update_on(weighting, 0 * E1, columns)
  np.testing.assert_array_equal(weights, 0)
  assert metrics["rejected"] == 0


def test_ol_aux(x64):
  columns = basis(0, (-30.0, 0), 1)
  weights, *_ = toys.run(toys.make("ol_aux"), linear(E1, columns), 3)
  want = [[1.05, 0, 1], [1.1, 0, 1], [1.15, 0, 1]]
  np.testing.assert_allclose(weights, want, atol=1e-14)
  summed, *_ = toys.run(toys.make("ol_aux", horizon=3), linear(E1, columns), 7)
  np.testing.assert_allclose(
    summed[:, 0], [1, 1, 1.15, 1.15, 1.15, 1.3, 1.3], atol=1e-14
  )
  projected, *_ = toys.run(
    toys.make("ol_aux", project=True), linear(E1, columns), 40
  )
  # 1.05, -0.5, 1 on the plane of sum 3.
  np.testing.assert_allclose(projected[0], [1.525, 0, 1.475], atol=1e-12)
  np.testing.assert_allclose(projected[-1], [2.5, 0, 0.5], atol=1e-12)


# MGDA.


@pytest.mark.parametrize("seed", range(6))
def test_mgda_of_two_tasks(seed, x64):
  gradients = problem(seed, num_tasks=1, size=3)
  a, b = gradients.T
  t = np.clip((b @ b - a @ b) / ((a - b) @ (a - b)), 0, 1)
  found = shortest(gradients.T @ gradients)
  np.testing.assert_allclose(found, [t, 1 - t], atol=2e-6)


def test_mgda_of_many_tasks(x64):
  """Every task goes down as far, or further if it has no weight."""
  weighting = toys.make("mgda")
  for seed in range(2):
    gradients = problem(seed, num_tasks=6, size=7) + 0.7
    products = gradients.T @ gradients
    found = np.asarray(shortest(products))
    down = products @ found
    square = found @ down
    np.testing.assert_allclose(down[found > 1e-5], square, rtol=1e-4)
    assert np.all(down > square * (1 - 1e-4))
    weights, metrics = update(weighting, gradients)
    np.testing.assert_allclose(
      weights, found[1:] / max(found[0], 0.1), rtol=1e-6
    )
    unit = np.sqrt(np.trace(products) / 7)
    np.testing.assert_allclose(
      metrics["smallest_norm"], np.sqrt(square) / unit, rtol=1e-6
    )


def test_mgda_without_the_primary_task():
  """The shortest is the short auxiliary gradient: bounded, not infinite."""
  tasks = linear(10 * E1, basis(0))
  for smallest in (1e-3, 0.1):
    weights, _ = toys.update(toys.make("mgda", smallest=smallest), tasks)
    np.testing.assert_allclose(weights, 1 / smallest, rtol=1e-6)


# CAGrad.


def cagrad_by_scipy(gradients, c):
  mean = gradients.mean(1)
  radius = c * np.linalg.norm(mean)

  def value(w):
    return gradients @ w @ mean + radius * np.linalg.norm(gradients @ w)

  num = gradients.shape[1]
  best = scipy.optimize.minimize(
    value,
    np.full(num, 1 / num),
    bounds=[(0, 1)] * num,
    constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    options={"ftol": 1e-14, "maxiter": 500},
  )
  g_w = gradients @ best.x
  return mean + radius * g_w / np.linalg.norm(g_w)


@pytest.mark.parametrize("c", [0.1, 0.5, 2.0])
def test_cagrad_direction_equals_a_peer(c, x64):
  weighting = toys.make("cagrad", c)
  for seed in range(2):
    gradients = problem(seed, num_tasks=4)
    weights, metrics = update(weighting, gradients)
    want = cagrad_by_scipy(gradients, c)
    assert cosine(direction(gradients, weights), want) > 1 - 1e-9
    coefficients = combination(gradients.T @ gradients, c)
    np.testing.assert_allclose(
      gradients @ coefficients, want, atol=1e-4 * np.linalg.norm(want)
    )
    np.testing.assert_allclose(metrics["smallest_weight"], coefficients.min())


def test_cagrad_of_two_tasks_on_a_grid(x64):
  w = np.linspace(0, 1, 200001)
  for seed in range(3):
    gradients = problem(seed, num_tasks=1)
    mean = gradients.mean(1)
    mixed = gradients[:, :1] * w[None] + gradients[:, 1:] * (1 - w)[None]
    radius = 0.5 * np.linalg.norm(mean)
    norms = np.linalg.norm(mixed, axis=0)
    best = np.argmin(mean @ mixed + radius * norms)
    want = 0.5 + radius / norms[best] * np.array([w[best], 1 - w[best]])
    found = combination(gradients.T @ gradients, 0.5)
    np.testing.assert_allclose(found, want, atol=1e-4)


def test_cagrad_without_radius_is_uniform():
  weights, _ = update(toys.make("cagrad", 0.0), problem(0))
  np.testing.assert_allclose(weights, 1, rtol=1e-6)


# IMTL-G.


def test_imtl_projects_equally(x64):
  for seed in range(3):
    gradients = problem(seed)
    found = np.asarray(equal_projections(gradients.T @ gradients))
    norms = np.linalg.norm(gradients, axis=0)
    projections = (gradients @ found) @ gradients / norms
    np.testing.assert_allclose(projections, projections[0], rtol=1e-9)
    # The published formula: first weight 1 - sum of the others.
    D = gradients[:, :1] - gradients[:, 1:]
    U = (gradients / norms)[:, :1] - (gradients / norms)[:, 1:]
    rest = gradients[:, 0] @ U @ np.linalg.inv(D.T @ U)
    want = np.concatenate([[1 - rest.sum()], rest])
    np.testing.assert_allclose(found / found.sum(), want, rtol=1e-9)


def test_imtl_of_two_tasks_is_the_bisector(x64):
  weighting = toys.make("imtl")
  for angle in (0.3, 2.0, np.pi):
    other = 3 * np.array([np.cos(angle), np.sin(angle), 0, 0])
    weights, _ = toys.update_on(weighting, 2 * E1, other[:, None])
    np.testing.assert_allclose(weights, [2 / 3], rtol=1e-6)


def test_imtl_guards():
  weighting = toys.make("imtl")
  # Twice the same direction: together what one would get.
  weights, _ = toys.update_on(weighting, E1, basis((2.0, 1), 1))
  np.testing.assert_allclose(2 * weights[0] + weights[1], 1, rtol=1e-4)
  # No gradient, no weight; no primary gradient, nothing changes.
  weights, _ = toys.update_on(weighting, E1, basis(1, (0.0, 2)))
  np.testing.assert_allclose(weights, [1, 0], atol=1e-6)
  weights, _ = toys.update_on(weighting, 0 * E1, basis(1, 2))
  np.testing.assert_array_equal(weights, 1)
  # A primary gradient between two others wants a negative weight.
  columns = np.array([[1.0, 1.0], [1.0, -1.0], [0.0, 0.0], [0.0, 0.0]])
  products = jnp.array([[1.01, 1, 1], [1, 2, 0], [1, 0, 2.0]])
  assert equal_projections(products)[0] < 0
  primary = np.array([1.0, 0.0, 0.1, 0.0])
  weights, _ = toys.update_on(weighting, primary, columns)
  np.testing.assert_array_equal(weights, 1)


# PCGrad.


def pcgrad_by_vectors(gradients, orders):
  """Algorithm 1 on the vectors themselves."""
  total = 0
  for i, order in enumerate(orders):
    g = gradients[:, i].copy()
    for j in order:
      product = g @ gradients[:, j]
      if j != i and product < 0:
        g -= product / (gradients[:, j] @ gradients[:, j]) * gradients[:, j]
    total = total + g
  return total


def test_pcgrad_equals_the_vector_form(x64):
  distinct = set()
  for seed in range(4):
    gradients = problem(seed, num_tasks=4, size=5)
    key = jax.random.key(seed)
    keys = jax.random.split(jax.random.clone(key), 5)
    orders = [np.asarray(jax.random.permutation(k, 5)) for k in keys]
    distinct |= {tuple(order) for order in orders}
    found = projected_sum(gradients.T @ gradients, key)
    want = pcgrad_by_vectors(gradients, orders)
    np.testing.assert_allclose(gradients @ found, want, rtol=1e-10)
    assert np.all(found >= 1) and np.any(found > 1.05)
  assert len(distinct) > 10


def test_pcgrad_of_two_tasks(x64):
  other = np.array([-1.0, 2.0, 0.0, 0.0])
  weighting = toys.make("pcgrad")
  weights, metrics = toys.update_on(weighting, E1, other[:, None])
  # g_m gains (1/5) g_k, g_k gains 1 g_m: weights 2 and 1.2.
  np.testing.assert_allclose(weights, [0.6], rtol=1e-12)
  assert metrics["conflicts"] == 1
  weights, metrics = toys.update_on(weighting, E1, -other[:, None])
  np.testing.assert_array_equal(weights, 1)
  assert metrics["conflicts"] == 0


# Nash-MTL.


@pytest.mark.parametrize("num_tasks", [1, 3, 9])
def test_nash_solves_its_equation(num_tasks, x64):
  weighting = toys.make("nash_mtl")
  for seed in range(2):
    gradients = problem(seed, num_tasks, size=2 * num_tasks + 2)
    products = gradients.T @ gradients
    found = np.asarray(bargain(products))
    assert np.all(found > 0)
    np.testing.assert_allclose(found * (products @ found), 1, rtol=2e-3)
    weights, _ = update(weighting, gradients)
    np.testing.assert_allclose(weights, found[1:] / found[0], rtol=1e-9)


def test_nash_of_orthogonal_and_opposite_gradients():
  """Orthogonal ones give 1 / ||g||; so do opposite ones, which cancel."""
  weighting = toys.make("nash_mtl")
  for columns in (basis((2.0, 1), (0.5, 2)), basis((-2.0, 0))):
    weights, metrics = toys.update_on(weighting, E1, columns)
    norms = np.linalg.norm(columns, axis=0)
    np.testing.assert_allclose(weights, 1 / norms, rtol=1e-3)
    assert metrics["rejected"] == 0
  weights, _ = toys.update_on(weighting, 0 * E1, basis(1, 2))
  np.testing.assert_array_equal(weights, 1)
