"""Cross-stitch and NDDR networks, and hard sharing, on digits."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux import methods
from metaaux.methods.damtl import hard_sharing, stitched
from metaaux.models import layered
from metaaux.run import batches as batches_lib
from metaaux.run import opening

KEY = jax.random.key(0)


def assembled(method, **changes):
  """Stages, a state over untrained towers, a batch of each task."""
  return _assembled(method, tuple(changes.items()), jax.config.jax_enable_x64)


@functools.cache
def _assembled(method, changes, _):
  changes = dict(changes)
  config = tiny.config(method=method, **{"damtl.start": "random", **changes})
  run = opening.open_run(config)
  stages = methods.make(config, run.problem.spec)
  batches = {
    f"task_{j}": batches_lib.draw(
      run,
      run.pool,
      jnp.asarray(run.problem.positions(f"task_{j}")[0][:10]),
      None,
    )
    for j in range(2)
  }
  previous = None
  for stage in stages:
    previous = jax.jit(stage.init)(KEY, batches["task_0"], previous)
  return stages, previous, batches


def problem_of(stage):
  return stage.predict.args[0]


def separate_units(problem):
  """Units through which nothing passes from one tower to another."""
  if problem.unit == "cross_stitch":
    return tuple({"mix": jnp.eye(2)} for _ in problem.net.widths)
  return tuple(
    {
      "kernel": jnp.einsum("ji,cd->jicd", jnp.eye(2), jnp.eye(c)).reshape(
        2, 2 * c, c
      ),
      "bias": jnp.zeros((2, c)),
    }
    for c in problem.net.widths
  )


@pytest.mark.parametrize("method", ["cross_stitch", "nddr"])
def test_units_of_identity_are_independent_towers(method, x64):
  """K14 and K15, through the whole network and its gradient."""
  stages, state, batches = assembled(method, **{"damtl.unit_norm": False})
  problem = problem_of(stages[-1])
  towers = jax.tree.map(lambda x: x.astype(jnp.float64), state.params)
  images = jnp.stack(
    [batches[name]["image"].astype(jnp.float64) for name in sorted(batches)]
  )

  def mixed(towers):
    return stitched.forward(
      problem,
      towers,
      separate_units(problem),
      state.stats,
      images,
      train=True,
    )[0]

  def alone(towers):
    return [
      layered.apply(problem.net, tower, x)
      for tower, x in zip(towers, images, strict=True)
    ]

  @jax.jit
  def both(towers):
    """Logits of the two, and the gradients of a sum of their squares."""
    of = [
      jax.grad(lambda t, f=f: sum((x**2).sum() for x in f(t)))(towers)
      for f in (mixed, alone)
    ]
    return (mixed(towers), alone(towers)), of

  logits, of = both(towers)
  chex.assert_trees_all_close(*logits, rtol=1e-10)
  chex.assert_trees_all_close(*of, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["cross_stitch", "nddr"])
def test_features_pass_between_towers(method):
  """A task's loss has a gradient for the other's convolutions, not its head."""
  stages, state, batches = assembled(method)
  problem = problem_of(stages[-1])
  images = jnp.stack([batches[name]["image"] for name in sorted(batches)])

  def loss(towers):
    logits, _ = stitched.forward(
      problem, towers, state.units, state.stats, images, train=True
    )
    return (logits[0] ** 2).sum()

  grads = jax.jit(jax.grad(loss))(state.params)
  assert (np.abs(grads[1]["conv_0"]["kernel"]) > 0).any()
  for leaf in jax.tree.leaves(grads[1]["dense_0"]):
    np.testing.assert_array_equal(leaf, 0)


def test_running_statistics_are_of_the_task_and_reach_the_batch():
  """After many batches of the same images, evaluation equals training."""
  stages, state, batches = assembled("nddr")
  problem = problem_of(stages[-1])
  images = jnp.stack([batches[name]["image"] for name in sorted(batches)])

  @jax.jit
  def forward(stats):
    return stitched.forward(
      problem, state.params, state.units, stats, images, train=True
    )

  stats = state.stats
  for _ in range(120):
    logits, stats = forward(stats)
  state = state._replace(stats=stats)
  found = jax.jit(stages[-1].predict)(state, images[1])[:, 6:]
  np.testing.assert_allclose(found, logits[1], rtol=1e-4, atol=1e-5)


def test_stages_and_starts():
  (towers, train), state, _ = assembled("nddr", **{"damtl.tower_steps": 7})
  assert (towers.name, towers.num_steps, train.name) == ("towers", 7, "train")
  assert [s["mean"].shape for s in state.stats] == [(2, 2, 4), (2, 2, 8)]
  config = tiny.config(method="cross_stitch")
  spec = opening.open_run(config).problem.spec
  names = [stage.name for stage in methods.make(config, spec)]
  assert names == ["auxiliary", "towers", "train"]


def test_hard_sharing_has_one_trunk():
  (stage,), state, batches = assembled("hard_sharing")
  problem = problem_of(stage)
  update = jax.jit(stage.updates["update"])
  new, _ = update(state, batches, KEY, jnp.int32(0))
  trees = [hard_sharing.of_task(problem, new.params, j) for j in range(2)]
  assert trees[0]["conv_0"] is trees[1]["conv_0"]
  logits = [tree["dense_2"]["kernel"].shape[1] for tree in trees]
  assert logits == [6, 7]
  # Both tasks move the trunk, each its own logits.
  turned = {**batches["task_1"], "image": batches["task_1"]["image"][::-1]}
  other = {**batches, "task_1": turned}
  again, _ = update(state, other, KEY, jnp.int32(0))
  assert (
    new.params["trunk"]["conv_0"]["kernel"]
    != again.params["trunk"]["conv_0"]["kernel"]
  ).any()


def test_units_have_a_rate_of_their_own():
  """A multiple of the towers', which learn as they did."""
  moved = {}
  for unit_rate in (1.0, 10.0):
    changes = {"damtl.unit_rate": unit_rate, "optimizer.momentum": 0.0}
    stages, state, batches = assembled("cross_stitch", **changes)
    new, _ = jax.jit(stages[-1].updates["update"])(
      state, batches, KEY, jnp.int32(0)
    )
    moved[unit_rate] = [
      jax.tree.map(lambda x, y: x - y, getattr(new, name), getattr(state, name))
      for name in ("units", "params")
    ]
  (units, towers), (fast_units, same_towers) = moved.values()
  chex.assert_trees_all_close(
    fast_units, jax.tree.map(lambda x: 10 * x, units), rtol=1e-3, atol=1e-6
  )
  assert np.abs(jax.tree.leaves(units)[0]).max() > 1e-5
  chex.assert_trees_all_close(same_towers, towers, rtol=1e-5)
