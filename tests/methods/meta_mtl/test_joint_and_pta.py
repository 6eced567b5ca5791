"""Joint training and pseudo-task augmentation beside single-task training."""

import functools

import chex
import jax
import numpy as np
import pytest
import tiny


def _predicting(state):
  return {**state.params.shared, "head_primary": state.params.main}


@functools.cache
def after_five_single_steps():
  return tiny.run_steps(tiny.config(method="single"), 5)[0]


@pytest.mark.parametrize(
  ("method", "changes"),
  [
    ("joint", {"auxiliary_weight": 0.0}),
    ("pta", {"partition.num_tasks": 1}),
  ],
)
def test_reduces_to_the_single_task(method, changes):
  single = after_five_single_steps()
  other, *_ = tiny.run_steps(tiny.config(method=method, **changes), 5)
  found = _predicting(other[0])
  for name, leaf in single[0].params.items():
    chex.assert_trees_all_close(found[name], leaf, rtol=2e-6, atol=1e-7)


def test_other_decoders_of_pta_stay_as_they_were():
  settings = tiny.config(method="pta", **{"partition.num_tasks": 4})
  first, *_, last = tiny.host_states(settings, 5)[0]
  # Of the one seed.
  before, after = (jax.tree.map(lambda x: x[0], s) for s in (first, last))
  chex.assert_trees_all_equal(before.params.auxiliary, after.params.auxiliary)
  kernels = jax.tree.leaves(before.params.auxiliary)
  assert {leaf.shape[0] for leaf in kernels} == {3}
  moved = jax.tree.map(
    lambda a, b: not np.array_equal(a, b),
    _predicting(before),
    _predicting(after),
  )
  assert all(jax.tree.leaves(moved))


def test_decoders_of_a_joint_network_differ():
  states, *_ = tiny.run_steps(tiny.config(method="joint"), 0)
  for leaf in jax.tree.leaves(states[0].params.auxiliary):
    if leaf.ndim > 2:  # biases start alike
      assert not np.array_equal(leaf[0], leaf[1])
