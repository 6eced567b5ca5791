"""Weightings that look at losses or single norms, against formulas by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toys
from toys import basis, linear

E1 = np.eye(4)[0]


def follow(weighting, losses_NxK, primary_N=None, norms=None):
  """Weights after each of N updates on these losses; gradients constant."""
  losses_NxK = jnp.asarray(losses_NxK, float)
  num_updates, num_tasks = losses_NxK.shape
  primary_N = jnp.ones(num_updates) if primary_N is None else primary_N
  norms = np.ones(num_tasks) if norms is None else norms
  columns = basis(*[(n, i) for i, n in enumerate(norms)])

  def step(state, now):
    losses, primary = now
    tasks = linear(E1, columns, primary, losses)
    weight_K, state, metrics = weighting.update(state, tasks, jax.random.key(0))
    return state, (weight_K, metrics)

  _, (weights, metrics) = jax.lax.scan(
    step, weighting.init(num_tasks), (losses_NxK, jnp.asarray(primary_N, float))
  )
  return np.asarray(weights), metrics


def test_uniform_is_the_plain_sum_bit_for_bit():
  params, batch = toys.network_params(), toys.network_batch()
  tasks = toys.network(params, batch)
  weights, *_ = toys.run(toys.make("uniform"), tasks, 5)
  assert weights.dtype == np.float32
  np.testing.assert_array_equal(weights, np.ones((5, 3)))

  def weighted(params):
    loss_K = weights[-1] * tasks.auxiliary_losses(params)
    return tasks.primary_loss(params) + jnp.sum(loss_K)

  def plain(params):
    return tasks.primary_loss(params) + jnp.sum(tasks.auxiliary_losses(params))

  jax.tree.map(
    np.testing.assert_array_equal,
    jax.grad(weighted)(params),
    jax.grad(plain)(params),
  )


def update_from_start(name, tasks):
  weighting = toys.make(name)
  return weighting.update(weighting.init(2), tasks, jax.random.key(0))


def test_weightings_of_losses_differentiate_nothing():
  def fails(params):
    raise AssertionError("this loss should not have been evaluated")

  for name in ("uniform", "rlw"):
    tasks = linear(E1, basis(0, 1))._replace(
      primary_loss=fails, auxiliary_losses=fails
    )
    jax.eval_shape(lambda t=tasks, n=name: update_from_start(n, t))

  @jax.custom_jvp
  def no_gradient(x):
    return x

  no_gradient.defjvp(lambda primals, tangents: fails(None))
  for name in ("adaloss", "uncertainty", "dwa"):
    tasks = linear(E1, basis(0, 1))
    losses = tasks.auxiliary_losses
    tasks = tasks._replace(
      auxiliary_losses=lambda p, f=losses: no_gradient(f(p))
    )
    jax.eval_shape(lambda t=tasks, n=name: update_from_start(n, t))
    with pytest.raises(AssertionError, match="should not"):
      jax.grad(lambda p, t=tasks: jnp.sum(t.auxiliary_losses(p)))(tasks.params)


def test_rlw(x64):
  weighting = toys.make("rlw")
  tasks = linear(E1, basis(0, 1, 2))
  key = jax.random.key(3)
  weight_K, *_ = weighting.update(weighting.init(3), tasks, key)
  z = np.exp(jax.random.normal(jax.random.clone(key), (3,)))
  np.testing.assert_allclose(weight_K, 3 * z / z.sum(), rtol=1e-12)
  weights, *_ = toys.run(weighting, tasks, 4000)
  assert len(np.unique(weights[:, 0])) == 4000
  np.testing.assert_allclose(weights.mean(0), 1, atol=0.05)


def test_adaloss(x64):
  losses = np.array([[0.5, 2.0, -0.25], [1.0, 4.0, -1.5]])
  weights, _ = follow(toys.make("adaloss", shift=[0.0, 0.0, 1.0]), losses)
  want = [[2, 0.5, 1 / 0.75], [1, 0.25, 1e6]]
  np.testing.assert_allclose(weights, want, rtol=1e-5)


def test_adaloss_descends_the_sum_of_logarithms(x64):
  tasks = toys.network(toys.network_params(), toys.network_batch())
  weights, _ = toys.update(toys.make("adaloss", epsilon=0.0), tasks)

  def of_logs(params):
    return jnp.sum(jnp.log(tasks.auxiliary_losses(params)))

  def weighted(params):
    return jnp.sum(weights * tasks.auxiliary_losses(params))

  for got, want in zip(
    jax.tree.leaves(jax.grad(weighted)(tasks.params)),
    jax.tree.leaves(jax.grad(of_logs)(tasks.params)),
    strict=True,
  ):
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_uncertainty_over_the_auxiliary_tasks(x64):
  """One step by hand, then where it settles: in proportion to 1 / L."""
  losses = np.array([2.0, 0.5, 1.0])
  weighting = toys.make("uncertainty", optax.sgd(0.2), start=-0.5)
  weights, _ = follow(weighting, np.tile(losses, (400, 1)))
  s = -0.5 - 0.2 * (0.5 - losses / (2 * np.exp(-0.5)))
  want = 3 * np.exp(-s) / np.exp(-s).sum()
  np.testing.assert_allclose(weights[0], want, rtol=1e-12)
  np.testing.assert_allclose(
    weights[-1], 3 / losses / np.sum(1 / losses), rtol=1e-6
  )


def test_uncertainty_slope_is_that_of_its_objective(x64):
  losses, s = np.array([2.0, 0.5]), np.array([0.3, -0.4])

  def objective(s):
    return jnp.sum(losses / (2 * jnp.exp(s)) + s / 2)

  weighting = toys.make("uncertainty", optax.sgd(0.1))
  state = weighting.init(2)._replace(log_variance=jnp.asarray(s))
  tasks = linear(E1, basis(0, 1), losses=losses)
  _, state, _ = toys.run(weighting, tasks, 1, state)
  want = s - 0.1 * jax.grad(objective)(s)
  np.testing.assert_allclose(state.log_variance, want, rtol=1e-12)


def test_uncertainty_with_the_primary_task(x64):
  """It settles at L_m / L_k: what 1 / (2 L) gives, over the primary weight."""
  losses = np.tile([2.0, 0.5, -0.5], (400, 1))
  weighting = toys.make(
    "uncertainty", optax.sgd(0.2), with_primary=True, shift=[0.0, 0.0, 1.5]
  )
  weights, _ = follow(weighting, losses, 3 * np.ones(400))
  np.testing.assert_allclose(weights[-1], [1.5, 6, 3], rtol=1e-6)


def test_dwa(x64):
  """Three epochs of two updates; weights change where an epoch ends."""
  losses = np.array([[2, 4], [4, 4], [1, 2], [2, 6], [1, 1], [0.5, 0.5]])
  weights, _ = follow(toys.make("dwa", updates_per_epoch=2), losses)
  np.testing.assert_array_equal(weights[:3], 1)
  for last, before, found in (
    ([1.5, 4], [3, 4], weights[3:5]),
    ([0.75, 0.75], [1.5, 4], weights[5:]),
  ):
    e = np.exp(np.divide(last, before) / 2)
    np.testing.assert_allclose(found, np.tile(2 * e / e.sum(), (len(found), 1)))


def test_dwa_with_the_primary_task(x64):
  weighting = toys.make("dwa", with_primary=True, temperature=0.5, shift=1.0)
  weights, _ = follow(weighting, [[1.0, 3.0], [0.0, 5.0]], [4.0, 2.0])
  ratio = np.array([2 / 4, 1 / 2, 6 / 4]) / 0.5
  np.testing.assert_allclose(weights[1], np.exp(ratio[1:] - ratio[0]))


def by_hand(weights, norms, losses, first, rate, gamma, detach):
  """GradNorm's step with the slopes written out."""
  num_tasks = len(weights)
  ratio = (losses / first) / np.mean(losses / first)
  target = np.mean(weights * norms) * ratio**gamma
  sign = np.sign(weights * norms - target)
  slope = sign * norms
  if not detach:
    slope = slope - norms / num_tasks * np.sum(sign * ratio**gamma)
  moved = np.maximum(weights - rate * slope, 0)
  return num_tasks * moved / moved.sum()


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("gamma", [0.0, 1.0, 1.5])
def test_gradnorm(detach, gamma, x64):
  norms = np.array([1.0, 3.0, 0.5])
  losses = np.array([[2.0, 1.0, 3.0], [1.0, 0.9, 2.9], [0.5, 0.8, 2.0]])
  weighting = toys.make("gradnorm", gamma=gamma, detach_target=detach)
  found, metrics = follow(weighting, losses, norms=norms)
  weights = np.ones(3)
  for n, now in enumerate(losses):
    ratio = now / losses[0] / np.mean(now / losses[0])
    gap = weights * norms - np.mean(weights * norms) * ratio**gamma
    np.testing.assert_allclose(metrics["imbalance"][n], np.abs(gap).sum())
    weights = by_hand(weights, norms, now, losses[0], 0.05, gamma, detach)
    np.testing.assert_allclose(found[n], weights, rtol=1e-12)


def test_gradnorm_makes_norms_equal():
  norms = np.array([1.0, 2.0, 0.5])
  weighting = toys.make("gradnorm", 0.002)
  weights, _ = follow(weighting, np.ones((4000, 3)), norms=norms)
  np.testing.assert_allclose(
    weights[-1], 3 / norms / np.sum(1 / norms), rtol=0.02
  )


def test_gradnorm_shifts_negative_losses(x64):
  losses = np.array([[-0.5, 2.0], [-0.6, 1.0]])
  shifted, _ = follow(toys.make("gradnorm", shift=[1.0, 0.0]), losses)
  plain, _ = follow(toys.make("gradnorm"), losses + np.array([[1.0, 0.0]]))
  np.testing.assert_allclose(shifted, plain, rtol=1e-12)
  assert not np.allclose(shifted[1], 1)


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("dwa", {"updates_per_epoch": 0}, "updates_per_epoch=0"),
    ("dwa", {"temperature": 0.0}, "temperature=0.0"),
    ("ol_aux", {"horizon": 0}, "horizon=0"),
    ("cosine_similarity", {"kind": "cos"}, "kind='cos'.*weighted"),
    ("cagrad", {"c": -1.0}, "c=-1.0"),
    ("mgda", {"smallest": 0.0}, "smallest=0.0"),
    ("auto_lambda", {"inner_lr": 0.0}, "inner_lr=0.0"),
  ],
)
def test_wrong_options(name, options, message):
  with pytest.raises(ValueError, match=message):
    toys.make(name, **options)
