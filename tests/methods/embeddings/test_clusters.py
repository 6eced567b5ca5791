"""Clusterings as batches are drawn from them."""

import jax
import numpy as np

from metaaux.methods.embeddings import clusters as clusters_lib


def some():
  """Images 1, 3, 4 and 7 of 9 in clusters 2, 0, 2 and 2 of 4."""
  found, where = np.array([2, 0, 2, 2]), np.array([1, 3, 4, 7])
  return clusters_lib.arranged(found, where, 9, 4)


def test_arrangement():
  clusters = some()
  assert clusters.assignments.tolist() == [-1, 2, -1, 0, 2, -1, -1, 2, -1]
  assert clusters.order.tolist() == [3, 1, 4, 7, 0, 0, 0, 0, 0]
  assert clusters.sizes.tolist() == [1, 0, 3, 0]
  assert clusters.starts.tolist() == [0, 1, 1, 4]
  assert clusters.used[: clusters.num_used].tolist() == [0, 2]
  wanted = clusters_lib.shapes(9, 4)
  for values, shape in zip(clusters, wanted, strict=True):
    assert (values.shape, values.dtype) == (shape.shape, shape.dtype)


def test_draws_are_uniform_over_clusters_and_within_them():
  draw = jax.jit(clusters_lib.draw, static_argnums=2)
  drawn = np.asarray(draw(some(), jax.random.key(0), 6000))
  counts = np.bincount(drawn, minlength=9)
  np.testing.assert_allclose(counts[[1, 4, 7]], 1000, atol=120)
  np.testing.assert_allclose(counts[3], 3000, atol=200)
  assert counts.sum() == counts[[1, 3, 4, 7]].sum()
