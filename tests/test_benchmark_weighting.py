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


def test_the_forward_pass_is_shared(benches):
  """A step that moves the weights has 2.9 times the operations, not 4."""
  for bench in benches.values():
    plain, reweigh = (
      one.cost_analysis()["flops"] for one in (bench.plain, bench.reweigh)
    )
    assert reweigh < 3.2 * plain
