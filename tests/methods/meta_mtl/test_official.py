"""Meta-MTL's official code on a real network, against a simulation of it."""

import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import official_code
import pytest
import tiny

from metaaux.errors import UserError
from metaaux.methods.meta_mtl import decoders, episode_official, meta_mtl

# Exact in float32, which is what the outer optimiser's rate is.
ALPHA, BETA = 0.125, 0.0625


def _settings(variant, **changes):
  return {
    **tiny.OFFICIAL_CODE,
    "inner.learning_rate": ALPHA,
    "optimizer.learning_rate": BETA,
    "optimizer.momentum": tiny.OFFICIAL_CODE["meta_mtl.code_momentum"],
    "optimizer.weight_decay": tiny.OFFICIAL_CODE["meta_mtl.code_weight_decay"],
    "meta_mtl.variant": variant,
    **changes,
  }


def _flat(tree):
  return np.asarray(jax.flatten_util.ravel_pytree(tree)[0])


def _vectors(params):
  """F, and D_0 .. D_T."""
  count = len(jax.tree.leaves(params.auxiliary)[0])
  return _flat(params.shared), [_flat(params.main)] + [
    _flat(jax.tree.map(lambda x, t=t: x[t], params.auxiliary))
    for t in range(count)
  ]


@functools.cache
def _gradients():
  """Functions of flat vectors: of L_t by F and D_t, and of L_0 likewise.

  The variants differ in nothing that these depend on.
  """
  problem, state, batches = tiny.meta_mtl_problem(
    **_settings(episode_official.VARIANTS[0])
  )
  params = state.params
  one = jax.tree.map(lambda x: x[0], params.auxiliary)
  to_shared, to_main, to_one = (
    jax.flatten_util.ravel_pytree(tree)[1]
    for tree in (params.shared, params.main, one)
  )

  @jax.jit
  def of_auxiliary(t, shared, decoder):
    def loss(shared, decoder):
      auxiliary = jax.tree.map(
        lambda x, new: x.at[t - 1].set(new), params.auxiliary, to_one(decoder)
      )
      at = params._replace(auxiliary=auxiliary)
      return decoders.task_loss(
        problem.net, to_shared(shared), at, t, batches, state.labels, None
      )

    return jax.grad(loss, argnums=(0, 1))(shared, decoder)

  def main_loss(shared, main, batch):
    at = params._replace(shared=to_shared(shared), main=to_main(main))
    return decoders.main_loss(problem.net, at, batch, None)[0]

  of_main = jax.jit(jax.grad(main_loss, argnums=(0, 1)))

  def of_task(t):
    if t:
      return functools.partial(of_auxiliary, t)
    return functools.partial(of_main, batch=batches["inner"])

  return of_task, functools.partial(of_main, batch=batches["train"])


@pytest.mark.parametrize("variant", episode_official.VARIANTS)
def test_steps_equal_the_simulation(x64, variant):
  problem, state, batches = tiny.meta_mtl_problem(**_settings(variant))
  rule = problem.rule
  simulation = official_code.Trainer(
    *_vectors(state.params),
    official_code.Settings(
      drops=variant == "code_torch2",
      alpha=ALPHA,
      alpha_d=ALPHA,
      beta=BETA,
      num_steps=rule.num_steps,
      momentum=rule.momentum,
      weight_decay=rule.weight_decay,
      clip_norm=rule.clip_norm,
    ),
  )
  of_task, of_main = _gradients()
  step = jax.jit(lambda s, key, i: meta_mtl.update(problem, s, batches, key, i))
  drawn = []
  for i in range(6):
    task_key, *_ = jax.random.split(jax.random.key(i), 3)
    drawn.append(int(jax.random.randint(task_key, (), 0, 4)))
    state, _ = step(state, jax.random.key(i), jnp.int32(i))
    simulation.episode(drawn[-1], of_task(drawn[-1]), of_main)
  assert 0 in drawn and len(set(drawn)) > 2
  shared, heads = _vectors(state.params)
  wanted = [simulation.shared.value, *simulation.decoders]
  for found, want in zip([shared, *heads], wanted, strict=True):
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)
  assert set(simulation.clipped) == {True, False}


def test_the_main_task_judges_in_evaluation_mode(x64):
  problem, state, batches = tiny.meta_mtl_problem(
    **_settings("code_torch2", **{"model.dropout": 0.5})
  )
  episode = jax.jit(functools.partial(meta_mtl.run_episode, problem))
  found, _ = episode(state, jnp.int32(1), batches, jax.random.key(0))
  at = state.params._replace(shared=found.ahead)
  loss = jax.jit(lambda at, b: decoders.main_loss(problem.net, at, b, None))
  value, accuracy = loss(at, batches["train"])
  np.testing.assert_allclose(found.value, value, rtol=1e-12)
  assert found.extra == accuracy


@pytest.mark.parametrize("variant", episode_official.VARIANTS)
def test_momentum_learns(variant):
  rates = {"inner.learning_rate": 0.02, "optimizer.learning_rate": 0.02}
  settings = tiny.config(
    method="meta_mtl", num_steps=150, **_settings(variant, **rates)
  )
  _, metrics, _, _ = tiny.run_steps(settings, 150)
  accuracy = [row["accuracy"].mean() for row in metrics]
  assert np.mean(accuracy[-10:]) > 0.75


@pytest.mark.parametrize(
  "key", ["code_momentum", "code_weight_decay", "code_clip_norm"]
)
def test_keys_that_other_variants_do_not_read(key):
  changes = {f"meta_mtl.{key}": 0.5, "meta_mtl.variant": "first_order"}
  message = rf"meta_mtl\.{key}=0\.5 has no effect .*'first_order'; set it to 0"
  with pytest.raises(UserError, match=message):
    tiny.meta_mtl_problem(**changes)
