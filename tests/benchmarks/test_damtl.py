"""The benchmark of DAMTL: its steps are those of training."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import damtl


def test_what_is_timed_is_what_its_name_says():
  found = {}
  for name in (damtl.BASELINE, "damtl", "without alignment"):
    bench = damtl.make(*damtl.CONTESTANTS[name], 0.05, batch=4, side=8)
    state = jax.tree.map(jnp.copy, bench.state)
    new, metrics = bench.step(
      state, bench.batches, jax.random.key(1), jnp.int32(0)
    )
    assert np.isfinite(metrics["loss"])
    assert any(
      (a != b).any()
      for a, b in zip(
        jax.tree.leaves(new.params),
        jax.tree.leaves(bench.state.params),
        strict=True,
      )
    )
    found[name] = len(jax.tree.leaves(new.masks)), set(metrics)
  masks, metrics = found.pop(damtl.BASELINE)
  assert masks == 0 and "discrepancy" not in metrics
  assert {count for count, _ in found.values()} == {6}
  for name, (_, metrics) in found.items():
    assert ("discrepancy" in metrics) == (name != "without alignment")
