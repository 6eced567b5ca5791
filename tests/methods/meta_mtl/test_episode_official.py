"""The episode of the official code against a simulation of that code."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import official_code
import pytest

from metaaux.methods import optim
from metaaux.methods.meta_mtl import episode_official
from metaaux.methods.meta_mtl.decoders import Params
from metaaux.methods.meta_mtl.episode import Rule
from metaaux.methods.optim import OptimizerOptions

# Exact in float32, which is what the outer optimiser's rate is.
ALPHA, ALPHA_D, BETA = 0.125, 0.0625, 0.03125
OFFICIAL = {"momentum": 0.9, "weight_decay": 0.05, "clip_norm": 1.0}
# Task 3 late, so that its decoder goes without a gradient for some episodes.
DRAWN = (1, 0, 2, 2, 0, 0, 1, 3, 1, 0, 3, 2)


class Toy(NamedTuple):
  """Predictions d x F; targets of each task and, last, of the outer batch."""

  x: np.ndarray  # [T + 2, 6, 2, 3]
  y: np.ndarray  # [T + 2, 6]
  shared: np.ndarray  # [3]
  decoders: np.ndarray  # [T + 1, 2]

  def gradients(self, i, shared, decoder):
    """Of half the mean square error on batch i, by F and by the decoder."""
    error = np.einsum("d,ndf,f->n", decoder, self.x[i], shared) - self.y[i]
    by_shared = np.einsum("n,d,ndf->f", error, decoder, self.x[i])
    by_decoder = np.einsum("n,ndf,f->d", error, self.x[i], shared)
    return by_shared / len(error), by_decoder / len(error)

  def loss(self, i, shared, decoder):
    x, y = (jnp.asarray(each)[i] for each in (self.x, self.y))
    found = jnp.einsum("d,ndf,f->n", decoder, x, shared)
    return 0.5 * jnp.mean((found - y) ** 2)


def _toy(num_tasks=3):
  draw = np.random.default_rng(0).normal
  return Toy(
    draw(size=(num_tasks + 2, 6, 2, 3)),
    draw(size=(num_tasks + 2, 6)),
    draw(size=3),
    draw(size=(num_tasks + 1, 2)),
  )


def _make(toy, variant, num_steps, **sgd):
  """A function that takes an episode, and what it starts from."""
  rule = Rule(variant, ALPHA, ALPHA_D, num_steps, **sgd)
  # The main gradient comes clipped.
  wanted = {"learning_rate": BETA, **sgd, "clip_norm": 0.0}
  outer = optim.make(OptimizerOptions("sgd", **wanted), 100)
  params = Params(
    jnp.asarray(toy.shared),
    jnp.asarray(toy.decoders[0]),
    jnp.asarray(toy.decoders[1:]),
  )

  @jax.jit
  def step(params, code, optimizer, t):
    def task_loss(shared, at):
      decoders = jnp.concatenate([at.main[None], at.auxiliary])
      return toy.loss(t, shared, decoders[t])

    def main_loss(shared, main):
      return toy.loss(len(toy.x) - 1, shared, main), ()

    one, code = episode_official.episode(
      task_loss, main_loss, params, t, code, rule
    )
    shared, code = episode_official.first_outer_step(
      params.shared, one.inner, one.outer, code, rule
    )
    shared, optimizer = outer.update(one.outer, optimizer, shared, 0)
    return one.params._replace(shared=shared), code, optimizer

  start = params, episode_official.init(params, rule), outer.init(params.shared)
  return step, start


def _run(variant, num_steps, **sgd):
  """State and simulation after each episode."""
  toy = _toy()
  step, state = _make(toy, variant, num_steps, **sgd)
  settings = official_code.Settings(
    variant == "code_torch2", ALPHA, ALPHA_D, BETA, num_steps, **sgd
  )
  simulation = official_code.Trainer(toy.shared, toy.decoders, settings)
  for t in DRAWN:
    state = step(*state, jnp.int32(t))
    simulation.episode(
      t,
      lambda shared, decoder, t=t: toy.gradients(t, shared, decoder),
      lambda shared, decoder: toy.gradients(-1, shared, decoder),
    )
    yield state, simulation


def _assert_equal(found, wanted):
  for one, other in zip(found, wanted, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("num_steps", [1, 3])
@pytest.mark.parametrize("sgd", [OFFICIAL, {}], ids=["official", "plain"])
@pytest.mark.parametrize("variant", episode_official.VARIANTS)
def test_equals_the_simulation(x64, variant, sgd, num_steps):
  for (params, *_), simulation in _run(variant, num_steps, **sgd):
    _assert_equal(
      [params.shared, params.main, *params.auxiliary],
      [simulation.shared.value, *simulation.decoders],
    )
  # Some gradients were clipped and some were not.
  assert set(simulation.clipped) == ({True, False} if sgd else {False})


@pytest.mark.parametrize("variant", episode_official.VARIANTS)
def test_momentum_outlives_the_weights(x64, variant):
  *_, ((_, code, optimizer), simulation) = _run(variant, 3, **OFFICIAL)
  buffers = [
    *jax.tree.leaves(code.scratch.shared),
    *jax.tree.leaves(code.scratch.main),
    *jax.tree.leaves(code.scratch.auxiliary)[0],
    *jax.tree.leaves(code.first),
    *jax.tree.leaves(optimizer),
  ]
  wanted = [
    *simulation.inner_shared.buffers,
    *simulation.inner_decoders.buffers,
    *simulation.first.buffers,
    *simulation.second.buffers,
  ]
  _assert_equal(buffers, wanted)
  assert all(np.abs(buffer).max() > 0 for buffer in buffers)


def _moved(before, after):
  """Which of D_0 .. D_T changed."""
  return [not np.array_equal(before[0].main, after[0].main)] + [
    not np.array_equal(*pair)
    for pair in zip(before[0].auxiliary, after[0].auxiliary, strict=True)
  ]


def test_which_decoders_move(x64):
  """PyTorch 1 keeps the gradients of zero of tasks that were drawn before."""
  found = {}
  for variant in episode_official.VARIANTS:
    step, state = _make(_toy(), variant, 1, momentum=0.9, weight_decay=0.05)
    found[variant] = []
    for t in (1, 2, 1):
      before, state = state, step(*state, jnp.int32(t))
      found[variant].append(_moved(before, state))
  assert found["code_torch2"] == [
    [False, True, False, False],
    [False, False, True, False],
    [False, True, False, False],
  ]
  # D_0 has a gradient from the first episode on, the main loss's at F*.
  assert found["code_torch1"] == [
    [False, True, False, False],
    [True, True, True, False],
    [True, True, True, False],
  ]


@pytest.mark.parametrize("num_steps", [1, 3])
def test_steady_state_of_torch1(x64, num_steps):
  """Under a constant main gradient F moves by (alpha + beta) / (1 - momentum).

  With the official values that is a rate of 0.02, not 0.002.
  """
  rate, momentum = 0.001, 0.9
  rule = Rule("code_torch1", rate, rate, num_steps, momentum=momentum)
  params = Params(jnp.zeros(()), jnp.zeros(()), jnp.zeros((1,)))

  @jax.jit
  def step(params, code, buffer):
    one, code = episode_official.episode(
      lambda shared, at: 0.5 * (shared - 5.0) ** 2,
      lambda shared, main: (shared, ()),
      params,
      jnp.int32(1),
      code,
      rule,
    )
    shared, code = episode_official.first_outer_step(
      params.shared, one.inner, one.outer, code, rule
    )
    buffer = momentum * buffer + one.outer
    shared = shared - rate * buffer
    return one.params._replace(shared=shared), code, buffer

  state, path = (
    (params, episode_official.init(params, rule), jnp.zeros(())),
    [0.0],
  )
  for _ in range(200):
    state = step(*state)
    path.append(float(state[0].shared))
  n = np.arange(1, 201)
  np.testing.assert_allclose(
    np.diff(path), -2 * rate * (1 - momentum**n) / (1 - momentum), rtol=1e-12
  )
  np.testing.assert_allclose(path[-2] - path[-1], 0.02, rtol=1e-8)


def test_left_over_gradients_count_in_the_norm(x64):
  """By hand: L_1 = 3 F + 4 d_1, L_0 = 2 F + d_0, clipped at 1, one step."""
  rule = Rule("code_torch2", 0.5, 0.5, clip_norm=1.0)
  params = Params(jnp.zeros(()), jnp.zeros(()), jnp.zeros((1,)))

  def take(t):
    def task_loss(shared, at):
      if t == 0:
        return 3.0 * shared + 4.0 * at.main
      return 3.0 * shared + 4.0 * at.auxiliary[0]

    found, _ = jax.jit(
      lambda params, code: episode_official.episode(
        task_loss,
        lambda shared, main: (2.0 * shared + main, ()),
        params,
        jnp.int32(t),
        code,
        rule,
      )
    )(params, episode_official.init(params, rule))
    return found

  # The inner gradient is (0.6, 0.8), of which 0.8 is left over.
  found = take(1)
  np.testing.assert_allclose(found.inner, 0.6, rtol=1e-12)
  np.testing.assert_allclose(found.params.auxiliary, [-0.4], rtol=1e-12)
  want = 2 / np.sqrt(2**2 + 1**2 + 0.8**2)
  np.testing.assert_allclose(found.outer, want, rtol=1e-12)
  # With the main task drawn, it is added to the gradient of the same decoder.
  want = 2 / np.sqrt(2**2 + (1 + 0.8) ** 2)
  np.testing.assert_allclose(take(0).outer, want, rtol=1e-12)
