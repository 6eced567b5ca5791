"""The control `frozen`: MAXL's generator as it was initialised."""

import functools

import chex
import jax
import numpy as np
import tiny

from metaaux.methods.maxl import maxl

CHANGES = {"model.batch_norm": True, "generator.optimizer.learning_rate": 0.0}


@functools.cache
def after(method):
  """States after 0 and 3 steps, the batch of tiny.maxl_problem, the stage."""
  states, metrics, _, stage = tiny.host_states(
    tiny.config(method=method, **CHANGES), 3
  )
  return [states[0], states[-1]], metrics, stage


def labels_of(method, batch):
  """Before the first step and after the last one."""
  states, _, stage = after(method)
  targets = jax.jit(stage.targets)
  return [targets(jax.tree.map(lambda x: x[0], s), batch) for s in states]


def test_labels_are_those_that_maxl_starts_from_and_never_change():
  batch = tiny.maxl_problem(tiny.config(), float64=False)[2]
  found = {method: labels_of(method, batch) for method in ("frozen", "maxl")}
  start, end = found["frozen"]
  np.testing.assert_array_equal(start, found["maxl"][0])
  np.testing.assert_array_equal(start, end)
  # A random network says something of an image; see `uniform` for nothing.
  assert np.ptp(np.asarray(start)[np.asarray(batch["primary"]) == 0], 0).max()


def test_trains_the_evaluator_like_a_generator_at_rest():
  (_, frozen), logs, _ = after("frozen")
  (_, resting), other, _ = after("maxl")
  chex.assert_trees_all_close(
    frozen.params, resting.params, rtol=1e-5, atol=1e-6
  )
  chex.assert_trees_all_close(frozen.stats, resting.stats, rtol=1e-5, atol=1e-6)
  for row, known in zip(logs, other, strict=True):
    assert row.keys() < known.keys()
    for name, value in row.items():
      np.testing.assert_allclose(value, known[name], rtol=1e-5, err_msg=name)


def test_reads_no_generator_optimizer():
  """Nothing of the state belongs to an update that never comes."""
  (start, end), *_ = after("frozen")
  assert not hasattr(start, "meta_optimizer")
  chex.assert_trees_all_equal(start.meta_params, end.meta_params)
  known, *_ = after("maxl")
  assert isinstance(known[0], maxl.MaxlState)
  chex.assert_trees_all_equal(start.meta_params, known[0].meta_params)
