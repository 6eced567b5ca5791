"""Meta-MTL on a real network: reductions to simpler methods, derivatives."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux.errors import UserError
from metaaux.methods.meta_mtl import decoders, episode_official, meta_mtl
from metaaux.methods.meta_mtl import episode as episode_lib
from metaaux.run import batches as batches_lib

FIRST = episode_lib.VARIANTS[0]


@functools.cache
def default(decoder="hidden"):
  """A problem, a state and batches in float64."""
  return tiny.meta_mtl_problem(**{"model.decoder": decoder})


@functools.cache
def run_episode(decoder="hidden"):
  """(alpha, state, t, batches, key) -> an episode; compiled once for all."""
  problem, *_ = default(decoder)

  def run(alpha, *args):
    rule = problem.rule._replace(alpha=alpha)
    return meta_mtl.run_episode(problem._replace(rule=rule), *args)

  return jax.jit(run)


def _losses(problem, state, batches, t):
  """L_t of F and the decoders, and L_0 of F and D_0."""

  def inner(shared, at):
    return decoders.task_loss(
      problem.net, shared, at, t, batches, state.labels, None
    )

  def main(shared, decoder):
    at = state.params._replace(shared=shared, main=decoder)
    return decoders.main_loss(problem.net, at, batches["train"], None)

  return inner, main


@functools.cache
def nested_grad(decoder):
  """(t, F) -> the derivative by JAX of the main loss after the inner step."""
  problem, state, batches = default(decoder)
  start = state.params

  @jax.jit
  def nested(t, shared):
    inner, main = _losses(problem, state, batches, t)

    def after(shared):
      gradient, by_decoder = jax.grad(inner, argnums=(0, 1))(shared, start)
      ahead = jax.tree.map(lambda p, g: p - 0.1 * g, shared, gradient)
      stepped = jax.tree.map(
        lambda p, g: p - 0.1 * g, start.main, by_decoder.main
      )
      return main(ahead, jax.lax.stop_gradient(stepped))[0]

    return jax.grad(after)(shared)

  return nested


@pytest.mark.parametrize("decoder", ["hidden", "linear"])
@pytest.mark.parametrize("t", [0, 2])
def test_second_order_equals_nested_grad(x64, t, decoder):
  _, state, batches = default(decoder)
  start, t = state.params, jnp.int32(t)
  found, _ = run_episode(decoder)(0.1, state, t, batches, jax.random.key(3))
  want = nested_grad(decoder)(t, start.shared)
  chex.assert_trees_all_close(found.outer, want, rtol=1e-9)
  # Only the decoder of the drawn task has moved.
  for name in start.main:
    moved = (
      [
        not np.array_equal(a, b)
        for a, b in (
          (found.params.main[name]["kernel"], start.main[name]["kernel"]),
          *zip(
            found.params.auxiliary[name]["kernel"],
            start.auxiliary[name]["kernel"],
            strict=True,
          ),
        )
      ]
      if isinstance(start.main[name], dict)
      else []
    )
    assert moved == [i == t for i in range(len(moved))]


def test_no_virtual_step_is_the_main_step_of_the_shared_layers(x64):
  problem, state, batches = default()
  _, main = _losses(problem, state, batches, 0)
  gradient = jax.jit(jax.grad(main, has_aux=True))
  want, _ = gradient(state.params.shared, state.params.main)
  for t in (1, 3):
    found, _ = run_episode()(
      0.0, state, jnp.int32(t), batches, jax.random.key(3)
    )
    chex.assert_trees_all_close(found.outer, want, rtol=1e-12)


def test_alternating_is_a_step_on_the_task_then_one_on_the_main_task(x64):
  problem, state, batches = tiny.meta_mtl_problem(
    **{"meta_mtl.variant": "alternating"}
  )
  new, _ = update(problem)(state, batches, jax.random.key(5), jnp.int32(0))
  task_key, *_ = jax.random.split(jax.random.key(5), 3)
  t = jax.random.randint(task_key, (), 1, 4)
  inner, main = _losses(problem, state, batches, t)

  def descend(params, gradient):
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)

  start = state.params
  of_inner = jax.jit(jax.grad(inner, argnums=(0, 1)))
  by_shared, by_decoders = of_inner(start.shared, start)
  shared = descend(start.shared, by_shared)
  auxiliary = descend(start.auxiliary, by_decoders.auxiliary)
  of_main = jax.jit(jax.grad(main, argnums=(0, 1), has_aux=True))
  grads, _ = of_main(shared, start.main)
  want = decoders.Params(
    descend(shared, grads[0]), descend(start.main, grads[1]), auxiliary
  )
  # The optimiser's rate is a float32.
  chex.assert_trees_all_close(new.params, want, rtol=1e-7, atol=1e-9)


def test_how_often_the_main_task_is_drawn():
  share = np.mean([row["main_drawn"] for row in learning(FIRST)[:60]])
  assert 0.1 < share < 0.45  # one of four tasks; binomial, 60 draws


def update(problem):
  """Compiled."""
  return jax.jit(functools.partial(meta_mtl.update, problem))


def _keys(seed, number):
  """As an update splits its key: of the draw, then of each episode."""
  return jax.random.split(jax.random.key(seed), max(3, 1 + number))


def _stepped(problem, state, episodes):
  """F after the outer step by the mean of the episodes' gradients."""
  mean = jax.tree.map(lambda *x: jnp.stack(x).mean(0), *episodes)
  return jax.tree.map(
    lambda p, g: p - problem.config.optimizer.learning_rate * g,
    state.params.shared,
    mean,
  )


def test_always_main_is_the_mean_of_two_episodes(x64):
  problem, state, batches = tiny.meta_mtl_problem(
    **{"meta_mtl.always_main": True}
  )
  step = update(problem)
  new, metrics = step(state, batches, jax.random.key(5), jnp.int32(0))
  for seed in range(10):
    _, other = step(state, batches, jax.random.key(seed), jnp.int32(0))
    assert other["main_drawn"] == 0.5
  task_key, *keys = _keys(5, 2)
  tasks = [0, jax.random.randint(task_key, (), 1, 4)]
  found, after = [], state
  for t, one_key in zip(tasks, keys, strict=True):
    one, after = run_episode()(0.1, after, jnp.int32(t), batches, one_key)
    found.append(one)
  want = _stepped(problem, state, [e.outer for e in found])
  chex.assert_trees_all_close(new.params.shared, want, rtol=1e-7, atol=1e-9)
  chex.assert_trees_all_close(new.params.main, after.params.main)
  np.testing.assert_allclose(metrics["loss"], np.mean([e.value for e in found]))


def test_tasks_of_a_step_are_the_mean_of_one_task_episodes(x64):
  """Algorithm 1: each task has its own batches, and all start from one F."""
  problem, state, batches = tiny.meta_mtl_problem(
    **{"meta_mtl.tasks_per_step": 2}
  )
  sets = [
    {
      name: jax.tree.map(lambda x, i=i: jnp.roll(x, 3 * i, 0), batch)
      for name, batch in batches.items()
    }
    for i in range(2)
  ]
  for own in sets:
    own["train"] = {**own["train"], "image": own["train"]["image"] * 0.9}
  flat = {
    f"{name}/{i}" if i else name: batch
    for i, own in enumerate(sets)
    for name, batch in own.items()
  }
  # Two auxiliary tasks: then no episode can tell that of another.
  for seed in range(1000):
    task_key, *keys = _keys(seed, 2)
    tasks = jax.random.randint(task_key, (2,), 0, 4).tolist()
    if 0 not in tasks and tasks[0] != tasks[1]:
      break
  new, metrics = update(problem)(
    state, flat, jax.random.key(seed), jnp.int32(0)
  )
  alone = [
    run_episode()(0.1, state, jnp.int32(t), own, one_key)[0]
    for t, own, one_key in zip(tasks, sets, keys, strict=True)
  ]
  want = _stepped(problem, state, [e.outer for e in alone])
  chex.assert_trees_all_close(new.params.shared, want, rtol=1e-7, atol=1e-9)
  for t, one in zip(tasks, alone, strict=True):
    chex.assert_trees_all_close(
      jax.tree.map(lambda x, t=t: x[t - 1], new.params.auxiliary),
      jax.tree.map(lambda x, t=t: x[t - 1], one.params.auxiliary),
    )
  np.testing.assert_allclose(metrics["loss"], np.mean([e.value for e in alone]))
  assert metrics["main_drawn"] == 0


def test_tasks_of_a_step_have_batches_of_their_own():
  settings = tiny.config(method="meta_mtl", **{"meta_mtl.tasks_per_step": 2})
  _, metrics, run, stage = tiny.run_steps(settings, 30)
  assert set(stage.streams) == {
    *("train", "inner", "pool", "train/1", "inner/1", "pool/1")
  }
  (inputs,) = batches_lib.inputs_at(run, stage, 0, None).value
  for name in ("train", "inner", "pool"):
    orders = inputs["orders"][name], inputs["orders"][f"{name}/1"]
    assert not np.array_equal(*orders)
  share = np.mean([row["main_drawn"] for row in metrics])
  assert 0.1 < share < 0.45  # one of four tasks; binomial, 60 draws


@functools.cache
def learning(variant):
  """Metrics of 150 steps."""
  settings = tiny.config(
    method="meta_mtl", num_steps=150, **{"meta_mtl.variant": variant}
  )
  return tiny.run_steps(settings, 150)[1]


# Those of the code learn with momentum too, in test_official.py.
@pytest.mark.parametrize(
  "variant",
  [
    pytest.param(
      variant,
      marks=[pytest.mark.long] if variant in episode_official.VARIANTS else [],
    )
    for variant in episode_lib.VARIANTS
  ],
)
def test_every_variant_learns(variant):
  accuracy = [row["accuracy"].mean() for row in learning(variant)]
  assert np.mean(accuracy[-10:]) > 0.75


def test_probe(x64):
  problem, state, batches = default()
  found = jax.jit(lambda s, b: meta_mtl.probe(problem, s, b, 0))(state, batches)
  assert -1 <= found["gradient_cosine_lowest"] <= found["gradient_cosine"] <= 1
  assert found["second_order_ratio"] > 0
  assert 0 <= found["auxiliary_accuracy"] <= 1
  assert found["main_loss_at_theta"] > 0


def test_options_that_exclude_each_other():
  with pytest.raises(UserError, match="always_main=True"):
    tiny.meta_mtl_problem(
      **{"meta_mtl.variant": "alternating", "meta_mtl.always_main": True}
    )
  with pytest.raises(UserError, match=r"tasks_per_step=2 .*'alternating'"):
    tiny.meta_mtl_problem(
      **{"meta_mtl.variant": "alternating", "meta_mtl.tasks_per_step": 2}
    )
  with pytest.raises(UserError, match=r"inner\.learning_rate=0"):
    tiny.meta_mtl_problem(**{"inner.learning_rate": 0.0})


def test_human_tasks_need_human_labels():
  with pytest.raises(UserError, match=r"config\.aux"):
    tiny.meta_mtl_problem(
      **{"partition.labels": "human", "primary": "2", "psi": (3, 3)}
    )
