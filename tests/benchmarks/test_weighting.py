"""The benchmark of task weights: what it runs is what it says."""

import jax
import numpy as np
import pytest

from benchmarks import weighting


@pytest.fixture(scope="module")
def benches():
  return {k: weighting.make(k, "convnet", batch=8, side=8) for k in (2, 12)}


@pytest.mark.parametrize("num_tasks", [2, 12])
def test_both_ways_of_moving_the_weights_agree(benches, num_tasks):
  bench = benches[num_tasks]
  kept = weighting.keeping_gradients(bench)
  moved = kept(bench.state, bench.batches, jax.random.key(1))
  state = jax.tree.map(lambda x: x.copy(), bench.state)
  new, metrics = bench.reweigh(
    state, bench.batches, jax.random.key(1), np.int32(0)
  )
  weights = np.asarray(new.weighting.weight_K)
  free = weights > 0
  # Before the projection, which takes the same off all that stay positive.
  gaps = (np.asarray(moved) - weights)[free]
  np.testing.assert_allclose(gaps, gaps[0], atol=1e-5)
  np.testing.assert_allclose(weights.sum(), num_tasks, rtol=1e-5)
  assert metrics["mismatch"] > 0


def test_memory_does_not_grow_with_the_number_of_tasks(benches):
  few, many = (
    benches[k].reweigh.memory_analysis().temp_size_in_bytes for k in (2, 12)
  )
  assert many < 1.05 * few


def test_no_pass_is_made_twice(benches):
  """A step that moves the weights has 2.25 times the operations.

  Beside the three passes of training: one reverse, and one forward along it.
  """
  for bench in benches.values():
    plain, reweigh = (
      one.cost_analysis()["flops"] for one in (bench.plain, bench.reweigh)
    )
    assert reweigh < 2.6 * plain


def test_uniform_weights_descend_the_plain_sum(benches):
  bench = benches[2]
  tasks, config = bench.problem.tasks, bench.problem.config.optimizer
  state = bench.state

  def total(params):
    found = tasks.losses(
      params, state.stats, state.extra, bench.batches, jax.random.key(1)
    )
    return found.primary + found.auxiliary[0] + found.auxiliary[1]

  grads = jax.jit(jax.grad(total))(state.params)
  wanted = jax.tree.map(
    lambda x, g: x - config.learning_rate * (g + config.weight_decay * x),
    state.params,
    grads,
  )
  copy = jax.tree.map(lambda x: x.copy(), state)
  new, _ = bench.plain(copy, bench.batches, jax.random.key(1), np.int32(0))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    new.params,
    wanted,
  )


@pytest.mark.parametrize(
  ("seldom", "always", "met"),
  [
    ([11.0, 10.0], [24.0, 25.0], True),
    ([12.0, 11.5], [24.0, 25.0], False),
    ([10.5, 10.5], [25.0, 26.0], False),
  ],
)
def test_each_target_counts(seldom, always, met):
  found = {0: [10.0, 10.0], weighting.BLOCK: seldom, 1: always}
  assert weighting.targets_met(found) is met
