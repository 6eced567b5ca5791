"""K-means at the ends of its ranges: no steps, many rows, many scores."""

import jax
import numpy as np
import pytest

from metaaux.kmeans import kmeans, minibatch_kmeans
from metaaux.kmeans._check import check_chunk

KEY = jax.random.key(0)


@pytest.mark.parametrize(
  "function",
  [
    lambda x, init: kmeans(KEY, x, 2, num_iters=0, init=init),
    lambda x, init: minibatch_kmeans(KEY, x, 2, num_steps=0, init=init),
  ],
  ids=["kmeans", "minibatch"],
)
def test_without_steps_rows_go_to_the_given_centroids(function):
  x = np.float32([[0, 0], [1, 0], [5, 5], [4, 5]])
  init = np.float32([[4, 4], [0, 1]])
  found = function(x, init)
  np.testing.assert_allclose(found.centroids, init, rtol=1e-6)
  np.testing.assert_array_equal(found.assignments, [1, 1, 0, 0])
  np.testing.assert_allclose(found.inertia, 1 + 2 + 2 + 1, rtol=1e-5)
  assert found.num_iters == 0


@pytest.mark.parametrize("row", [0, 1023, 1024, 2047, 2048, 2999])
def test_a_bad_value_is_found_in_any_row(row):
  x = np.ones((3000, 2), np.float32)
  x[row, 1] = np.nan
  with pytest.raises(ValueError, match=rf"x has 1 .* first at \[{row}, 1\]"):
    kmeans(KEY, x, 2)


def test_fewer_rows_at_a_time_where_each_has_more_scores():
  """So that the scores of a chunk stay few."""
  sizes = [check_chunk(None, scores) for scores in (10, 500, 1000, 10**6)]
  assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1] > 0
  assert check_chunk(None, 1000) * 1000 <= 2**20
  assert check_chunk(7, 1000) == 7


def test_starved_centroids_of_each_partition_move_as_if_it_were_alone():
  """To rows of the batch, which all partitions share; 5 clusters, 3 of them."""
  x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
  scale = np.float32([[1, 1], [1, 0.2], [0.1, 1]])
  init = np.concatenate([x[:3], [[1e3, 1e3], [-1e3, 0]]]).astype(np.float32)
  options = dict(num_steps=60, batch_size=16, patience=100)

  def run(scale, init):
    return minibatch_kmeans(
      jax.random.key(0), x, 5, init=init, scale=scale, **options
    )

  together = run(scale, np.stack([init * 1] * 3))
  for t in range(3):
    alone = run(scale[t], init)
    np.testing.assert_allclose(
      together.centroids[t], alone.centroids, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(together.assignments[t], alone.assignments)
  assert np.abs(together.centroids).max() < 10
