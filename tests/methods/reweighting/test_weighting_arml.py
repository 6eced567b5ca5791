"""ARML on problems with known weights: its steps, its solver, its traps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from toys import basis, linear

from metaaux import simplex
from metaaux.methods.reweighting import arml, qp_ema

E1 = np.eye(4)[0]
E2 = np.eye(4)[1]

# Name, g_m, columns of G, the best weights, J there.
KNOWN = {
  "one of two": (E1, basis(0, 1), [1.5, 0.5], 0.5),
  "opposite": (E1, basis(0, (-1, 0)), [1.5, 0.5], 0),
  "orthonormal": (E1, basis(0, 1, 2), [5 / 3, 2 / 3, 2 / 3], 4 / 3),
  "at a corner": (3 * E1, basis(0, 1), [2, 0], 1),
  "harmful": (-E1, basis(0, 1), [0.5, 1.5], 4.5),
  "zero beside the right one": (E1, basis(0, (0, 1)), [1, 1], 0),
  "zero beside a wrong one": (E1, basis(1, (0, 1)), [0, 2], 1),
  "zero beside both": (E1, basis(0, 1, (0, 2)), [1, 0, 2], 0),
  "opposite and orthogonal": (E1, basis(0, (-1, 0), 1), [2, 1, 0], 0),
  "duplicates": (E1, basis(0, 0), [1, 1], 1),
  "no primary gradient": (0 * E1, basis(0, (2, 1)), [1.6, 0.4], 3.2),
  "unequal scale": (E1, basis(0, (0.1, 0)), [8 / 9, 10 / 9], 0),
}


def mismatch(primary, columns, weight_K):
  return np.sum((primary - columns @ np.asarray(weight_K)) ** 2)


@pytest.mark.parametrize("case", KNOWN)
@pytest.mark.parametrize(
  ("weighting", "num_updates"),
  [
    (arml.make(0.05), 6000),
    (arml.make(0.9, eta_mode="relative"), 1500),
    (qp_ema.make(ridge=1e-9), 1),
  ],
)
def test_known_weights(case, weighting, num_updates, x64):
  primary, columns, want, value = KNOWN[case]
  weights, _ = toys.on_linear(weighting, num_updates)(primary, columns)
  weights = np.asarray(weights)
  np.testing.assert_allclose(weights[-1], want, atol=1e-5)
  found = mismatch(primary, columns, weights[-1])
  np.testing.assert_allclose(found, value, atol=1e-5)
  np.testing.assert_allclose(weights.sum(1), len(want), rtol=1e-12)
  assert weights.min() >= 0


def test_trajectories(x64):
  """Linear convergence at the rates 0.9 and 0.8; a step ahead nobody sees."""
  steps = np.arange(1, 9)
  for second, rate in ((1, 0.9), ((-1, 0), 0.8)):
    tasks = linear(E1, basis(0, second))
    weights, _, metrics = toys.run(arml.make(0.05), tasks, 8)
    np.testing.assert_allclose(weights[:, 0], 1.5 - 0.5 * rate**steps)
    before = np.concatenate([np.ones((1, 2)), weights[:-1]])
    want = [mismatch(E1, basis(0, second), w) for w in before]
    np.testing.assert_allclose(metrics["mismatch"], want, atol=1e-14)


def test_one_task_weighs_exactly_one():
  tasks = linear(1e4 * E1, basis((-3e3, 0)))
  for options in ({}, {"projection": "shift_clamp"}, {"eta_mode": "relative"}):
    weights, *_ = toys.run(arml.make(0.05, **options), tasks, 20)
    np.testing.assert_array_equal(weights, 1)
  weights, *_ = toys.run(qp_ema.make(), tasks, 3)
  np.testing.assert_array_equal(weights, 1)


def test_orthonormal_gradients_project_the_products(x64):
  rng = np.random.default_rng(0)
  columns = np.linalg.qr(rng.normal(size=(9, 5)))[0]
  primary = 2 * rng.normal(size=9)
  want = simplex.project(columns.T @ primary, total=5)
  assert np.min(want) == 0
  for weighting, updates in ((arml.make(0.1), 400), (qp_ema.make(), 1)):
    weights, *_ = toys.run(weighting, linear(primary, columns), updates)
    np.testing.assert_allclose(weights[-1], want, atol=1e-5)


def test_duplicates_stay_equal():
  for weighting in (arml.make(0.05), qp_ema.make()):
    weights, *_ = toys.run(weighting, linear(E1, basis(0, 0)), 100)
    np.testing.assert_allclose(weights, 1, atol=1e-6)


def test_ties_are_the_most_uniform(x64):
  """Three equal tasks get equal weights, whatever they had before."""
  tasks = linear(E1, basis(0, 0, 0, 1))
  weighting = qp_ema.make()
  start = weighting.init(4)._replace(weight_K=jnp.array([3.0, 0.0, 1.0, 0.0]))
  weights, *_ = toys.run(weighting, tasks, 1, start)
  # 3 equal weights a: argmin (1 - 3 a)^2 + (4 - 3 a)^2.
  np.testing.assert_allclose(weights[0], [5 / 6, 5 / 6, 5 / 6, 1.5], atol=1e-5)


def test_exact_oracle_for_two_tasks(x64):
  rng = np.random.default_rng(0)
  solve = jax.jit(lambda H, b: qp_ema.solve(H, b, jnp.ones(2), 0.0)[0])
  ends = 0
  for _ in range(20):
    primary, columns = rng.normal(size=6), rng.normal(size=(6, 2))
    u = columns[:, 0] - columns[:, 1]
    d = np.clip((primary - columns.sum(1)) @ u / (u @ u), -1, 1)
    ends += abs(d) == 1
    found = solve(columns.T @ columns, columns.T @ primary)
    np.testing.assert_allclose(found, [1 + d, 1 - d], atol=2e-6)
  assert 0 < ends < 20


def test_39_tasks_are_optimal_and_few_steps_are_enough(x64):
  """KKT: the slope is equal on the support and no lower off it."""
  rng = np.random.default_rng(0)
  scales = np.geomspace(0.2, 2, 39)
  columns = rng.normal(size=(60, 39)) * scales[None]
  primary = columns @ np.maximum(rng.normal(size=39), 0) / 10
  H, b = columns.T @ columns, columns.T @ primary
  solve = jax.jit(lambda H, b: qp_ema.solve(H, b, jnp.ones(39), 0.0))
  found, steps, eigenvalue = solve(H, b)
  slope = 2 * (H @ found - b)
  on = np.asarray(found) > 0
  assert 2 < on.sum() < 39
  lowest = slope[on].mean()
  np.testing.assert_allclose(slope[on], lowest, atol=0.01)
  assert np.all(slope[~on] > lowest - 0.01)
  assert steps < 1000
  np.testing.assert_allclose(eigenvalue, np.linalg.eigvalsh(H)[-1])


def test_order_of_tasks(x64):
  rng = np.random.default_rng(2)
  primary, columns = rng.normal(size=6), rng.normal(size=(6, 5))
  order = rng.permutation(5)
  for weighting in (arml.make(0.02), arml.make(0.5, eta_mode="relative")):
    loop = toys.on_linear(weighting, 60)
    weights, _ = loop(primary, columns)
    permuted, _ = loop(primary, columns[:, order])
    np.testing.assert_allclose(permuted, weights[:, order], atol=1e-12)


def test_common_scale_of_gradients(x64):
  rng = np.random.default_rng(3)
  primary, columns = rng.normal(size=6), rng.normal(size=(6, 3))
  for eta, mode in ((0.05, "absolute"), (0.5, "relative")):
    paths = []
    for c in (1.0, 7.0):
      scaled = eta / c**2 if mode == "absolute" else eta
      weighting = arml.make(scaled, eta_mode=mode)
      paths.append(toys.on_linear(weighting, 40)(c * primary, c * columns)[0])
    np.testing.assert_allclose(*paths, atol=1e-12)


def test_relative_mode_converges_where_absolute_oscillates():
  primary, columns = 100 * E1, 100 * basis(0, 1)
  absolute, *_ = toys.run(arml.make(0.05), linear(primary, columns), 50)
  relative, *_ = toys.run(
    arml.make(1.0, eta_mode="relative"), linear(primary, columns), 50
  )
  np.testing.assert_allclose(relative[-1], [1.5, 0.5], atol=1e-5)
  assert np.abs(absolute[-1] - [1.5, 0.5]).max() > 0.4


def test_zero_weights_can_grow_again():
  weighting = arml.make(0.05)
  start = weighting.init(2)._replace(weight_K=jnp.array([0.0, 2.0]))
  weights, *_ = toys.run(weighting, linear(E1, basis(0, 1)), 100, start)
  np.testing.assert_allclose(weights[-1], [1.5, 0.5], atol=1e-4)


def test_shift_clamp_settles_elsewhere(x64):
  """1.15 / 0.55 where the optimum is 2; the sum exceeds the number of tasks."""
  weighting = arml.make(0.05, projection="shift_clamp")
  weights, *_ = toys.run(weighting, linear(3 * E1, basis(0, 1)), 400)
  np.testing.assert_allclose(weights[-1], [1.15 / 0.55, 0], atol=1e-12)
  # While nothing is clamped the two are the same.
  tasks = linear(E1, basis(0, 1))
  same = [
    toys.run(arml.make(0.05, projection=p), tasks, 50)[0]
    for p in arml.PROJECTIONS
  ]
  np.testing.assert_allclose(*same, atol=1e-13)


@pytest.mark.parametrize(
  ("weighting", "tolerance"),
  [(arml.make(0.002), 0.02), (qp_ema.make(0.999), 0.02)],
)
def test_noise_of_the_gradients_pushes_a_task_down(weighting, tolerance):
  """(1 + d, 1 - d) with d = 1 / (2 (1 + s)), s the noise's total variance."""
  size, variance = 8, 1.0
  columns = basis(0, 1, size=size)
  primary = np.eye(size)[0]

  def step(state, key):
    noise_key, update_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, columns.shape)
    noisy = columns + jnp.sqrt(variance / size) * noise
    tasks = linear(primary, noisy)
    weight_K, state, _ = weighting.update(state, tasks, update_key)
    return state, weight_K

  keys = jax.random.split(jax.random.key(0), 12000)
  _, weights = jax.jit(lambda *x: jax.lax.scan(step, *x))(
    weighting.init(2), keys
  )
  np.testing.assert_allclose(
    np.mean(weights[4000:], axis=0), [1.25, 0.75], atol=tolerance
  )


def test_average_is_corrected_for_its_start(x64):
  """Constant gradients: the first answer is the last one, for any decay."""
  rng = np.random.default_rng(4)
  primary, columns = rng.normal(size=6), rng.normal(size=(6, 3))
  tasks = linear(primary, columns)
  exact, *_ = toys.run(qp_ema.make(0.0), tasks, 1)
  weights, state, metrics = toys.run(qp_ema.make(0.95), tasks, 4)
  np.testing.assert_allclose(weights - exact, 0, atol=1e-5)
  unbiased = state.H / (1 - 0.95**4)
  np.testing.assert_allclose(unbiased, columns.T @ columns, rtol=1e-12)
  largest = np.linalg.eigvalsh(columns.T @ columns)[-1]
  np.testing.assert_allclose(metrics["largest_eigenvalue"], largest)


def test_average_forgets(x64):
  before = linear(E1, basis(0, 1))
  after = linear(E2, basis(0, 1))
  weighting = qp_ema.make(0.5)
  _, state, _ = toys.run(weighting, before, 1)
  weights, *_ = toys.run(weighting, after, 1, state)
  # b = (1/3, 2/3): a third of what was, two thirds of what is.
  np.testing.assert_allclose(weights[0], [5 / 6, 7 / 6], atol=1e-5)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: arml.make(0.0), "eta=0.0"),
    (lambda: arml.make(float("nan")), "eta=nan"),
    (lambda: arml.make(1.5, eta_mode="relative"), "eta=1.5.*<= 1"),
    (lambda: arml.make(eta_mode="auto"), "eta_mode='auto'.*absolute, relative"),
    (lambda: arml.make(projection="none"), "projection='none'.*shift_clamp"),
    (lambda: qp_ema.make(1.0), "decay=1.0"),
    (lambda: qp_ema.make(ridge=-1.0), "ridge=-1.0"),
  ],
)
def test_wrong_options(call, message):
  with pytest.raises(ValueError, match=message):
    call()
