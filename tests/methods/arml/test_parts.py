"""ARML's parts that a run shows late: noise, images held out, a last layer."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux.methods import task_set
from metaaux.methods.arml import arml
from metaaux.methods.arml import rules as weight_rules
from metaaux.run import batches as batches_lib
from metaaux.run import opening


def assembled(**changes):
  """The fixed parts, a state and a batch of each stream, two of the primary."""
  changes = {"semi_supervised.tasks": ("rotation",), **changes}
  config = tiny.config(method="arml", gamma=0.0, **changes)
  run = opening.open_run(config)
  problem = arml.assemble(config, run.problem.spec)
  train = run.problem.train[0]
  index = {
    "train": train[:8],
    "held_out": train[8:20],
    "pool": np.arange(20, 32),
  }
  batches = {
    name: batches_lib.draw(run, run.pool, jnp.asarray(rows), None)
    for name, rows in index.items()
  }
  init = jax.jit(functools.partial(arml.init_state, problem))
  return problem, init(jax.random.key(0), batches["train"], None), batches


def test_noise_has_the_temperature_of_the_posterior():
  """1 / N for losses that are means over N examples, here 1000."""
  problem, state, batches = assembled(**{"weighting.algorithm": "two_stage"})
  key, step = jax.random.key(3), jnp.int32(0)
  rate = problem.config.optimizer.learning_rate

  @jax.jit
  def gap(state, batches):
    """What the noise adds to a step of gradient descent, in its units."""
    noisy, _ = arml.langevin_update(
      problem, state, batches, key, step, due=False
    )
    grads, _, _ = task_set.gradient(
      problem.tasks,
      state,
      batches,
      key,
      state.weighting.weight_K,
      axis_name=None,
    )
    plain = jax.tree.map(lambda x, g: x - rate * g, state.params, grads)
    both = (task_set.split(x)[0] for x in (noisy.params, plain))
    flat = [jax.flatten_util.ravel_pytree(x)[0] for x in both]
    return (flat[0] - flat[1]) / (2 * rate) ** 0.5

  found = np.asarray(gap(state, batches))
  # Four standard errors of the deviation of so many draws.
  error = 4 / (2 * found.size) ** 0.5
  assert error < 0.2
  assert found.std() == pytest.approx((1 / 1000) ** 0.5, rel=error)


def test_a_rule_that_learns_from_held_out_images_looks_at_those(x64):
  problem, state, batches = assembled(**{"weighting.name": "auto_lambda"})
  state, batches = tiny.in_float64((state, batches))
  key = jax.random.key(3)

  @jax.jit
  def losses(state, batches):
    tasks = weight_rules.tasks_at(
      problem.rule, problem.tasks, state, batches, key, None
    )
    point = tasks.params
    other = {**batches, "train": batches["held_out"]}
    wanted = [
      problem.tasks.losses(state.params, state.stats, state.extra, each, key)
      for each in (other, batches)
    ]
    found = tasks.held_out_loss(point), tasks.primary_loss(point)
    return found, tuple(each.primary for each in wanted)

  found, wanted = losses(state, batches)
  np.testing.assert_allclose(found, wanted, rtol=1e-12)
  assert abs(wanted[0] - wanted[1]) > 1e-3


def test_last_layer_of_networks():
  shared = {
    name: {"kernel": jnp.ones(shape)}
    for name, shape in (
      ("Conv_2", (3, 3, 4, 4)),
      ("Conv_10", (3, 3, 4, 8)),
      ("shortcut", (1, 1, 4, 4)),
      ("hidden", (8, 8)),
    )
  }
  kernel, put = weight_rules.last_layer(shared)
  assert kernel.shape == (3, 3, 4, 8)
  changed = put(0 * kernel)
  assert (changed["Conv_10"]["kernel"] == 0).all()
  chex.assert_trees_all_equal(
    {**changed, "Conv_10": None}, {**shared, "Conv_10": None}
  )
