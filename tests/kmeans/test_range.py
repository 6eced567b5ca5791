"""k-means where float32 is short of digits or range, and what is done then."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kmeans_cases import ANY, by_hand, mixture

from metaaux.kmeans import kmeans, minibatch_kmeans


def pairs_of_clusters(apart, within=12.0):
  """Pairs of clusters of deviation 1, each pair far from the others."""
  rng = np.random.default_rng(0)
  site = apart * np.array([[0.0, 0, 0], [1, 1, 0], [0, 1, 1], [1, 0, 1]])
  middle = (site[:, None] + [[0, 0, 0], [within, 0, 0]]).reshape(8, 3)
  x = middle[np.arange(400) % 8] + rng.normal(size=(400, 3))
  return x.astype(np.float32), middle.astype(np.float32)


@pytest.mark.parametrize("apart", [1e3, 1e4, 1e5, 1e6])
@pytest.mark.parametrize("method", ["lloyd", "batches"])
def test_rows_go_to_their_nearest_centroid(apart, method):
  x, middle = pairs_of_clusters(apart)
  if method == "lloyd":
    got = kmeans(ANY, x, 8, init=middle, num_iters=4)
  else:
    got = minibatch_kmeans(
      jax.random.key(0), x, 8, init=middle, num_steps=3, batch_size=100
    )
  far, nearest = by_hand(x.astype(np.float64), np.float64(got.centroids))
  np.testing.assert_array_equal(got.assignments, nearest)
  np.testing.assert_allclose(got.inertia, far.min(1).sum(), rtol=2e-2)


def test_only_partitions_with_close_centroids_are_looked_at_twice():
  """Two scalings: one sees the pairs, the other does not."""
  x, middle = pairs_of_clusters(1e5)
  scale = np.array([[1.0, 1, 1], [0, 1, 1]], np.float32)
  got = kmeans(ANY, x, 8, init=middle, scale=scale, num_iters=2)
  for s, index, c in zip(scale, got.assignments, got.centroids, strict=True):
    far, _ = by_hand(x.astype(np.float64), np.float64(c), s)
    own = far[np.arange(len(x)), index]
    np.testing.assert_array_less(own, far.min(1) * (1 + 1e-3) + 0.5)


@pytest.mark.parametrize("factor", [1e20, 1e-20, 1e30, 1e-30])
@pytest.mark.parametrize("column", [None, 0])
def test_numbers_of_extreme_size(factor, column):
  """A column may be undone by its scaling; then nothing is lost at all."""
  x = mixture(components=3).astype(np.float32)
  factors = np.full(4, factor, np.float32)
  scale = None
  if column is not None:
    factors = np.where(np.arange(4) == column, factor, 1).astype(np.float32)
    scale = 1 / factors
  key = jax.random.key(0)
  want = kmeans(key, x, 3, restarts=3)
  got = kmeans(key, x * factors, 3, restarts=3, scale=scale)
  np.testing.assert_array_equal(got.assignments, want.assignments)
  np.testing.assert_allclose(
    np.asarray(got.centroids) / factors, want.centroids, rtol=1e-4, atol=1e-5
  )
  if column is not None:
    np.testing.assert_allclose(got.inertia, want.inertia, rtol=1e-4)


@pytest.mark.parametrize("offset", [1e6, 1e9, 1e12])
def test_float64_under_an_offset(offset):
  """What float32 would lose of the rows is kept: the offset goes first."""
  x = np.round(mixture(), 3)
  with jax.enable_x64(True):
    want = kmeans(ANY, x, 4, init=x[:4])
    want = jax.tree.map(np.asarray, want)
  got = kmeans(ANY, x + offset, 4, init=x[:4] + offset)
  np.testing.assert_array_equal(got.assignments, want.assignments)
  np.testing.assert_allclose(got.inertia, want.inertia, rtol=1e-3)
  np.testing.assert_allclose(
    got.centroids, want.centroids + np.float32(offset), rtol=1e-6
  )


def test_rows_that_float32_cannot_tell_apart():
  x = np.array([[0.0], [1e12], [1e12 + 1]])
  with pytest.raises(
    ValueError, match=r"only 2 of its rows .* k=3; set jax_en"
  ):
    kmeans(jax.random.key(0), x, 3)
  assert len(set(kmeans(jax.random.key(0), x, 2).assignments.tolist())) == 2
  # Fewer different rows than clusters to begin with are no fault of float32.
  kmeans(jax.random.key(0), np.repeat(x[:2], 3, axis=0), 3)


@pytest.mark.parametrize("function", [kmeans, minibatch_kmeans])
@pytest.mark.parametrize(
  ("key", "x", "message"),
  [
    (None, np.eye(3, dtype=np.float32), "key=None, but rows are drawn"),
    (0, np.eye(3, dtype=np.float32), "key=0, but rows are drawn"),
    (..., np.eye(3) * 1e200, r"x has numbers up to 1e\+200, beyond float32"),
    (..., np.eye(3).astype(">f4"), r"x is >f4 .*x.astype\('float32'\)"),
  ],
)
def test_inputs_that_cannot_be(function, key, x, message):
  key = jax.random.key(0) if key is ... else key
  with pytest.raises(ValueError, match=message):
    function(key, x, 2)


# Partitions that are done.


def test_a_partition_that_is_done_stays():
  """As if it had run alone: by a tolerance, before nothing moves any more."""
  x = mixture(n=300, components=6).astype(np.float32)
  init = x[np.array([[0, 5, 6, 7], [10, 20, 30, 40]])]
  alone = [kmeans(ANY, x, 4, init=c, tol=0.05) for c in init]
  assert alone[0].num_iters < alone[1].num_iters
  further = kmeans(ANY, x, 4, init=init[0], tol=0)
  assert not np.array_equal(further.centroids, alone[0].centroids)
  both = kmeans(ANY, x, 4, init=init, tol=0.05, scale=jnp.ones((2, 4)))
  for t in range(2):
    assert both.num_iters[t] == alone[t].num_iters
    np.testing.assert_allclose(
      both.centroids[t], alone[t].centroids, rtol=1e-5, atol=1e-6
    )


def test_patience_begins_when_a_batch_brings_nothing():
  """A batch of more than half of the rows counts alone: nothing is smoothed."""
  x = np.full((100, 2), 3.0, np.float32)
  got = minibatch_kmeans(
    jax.random.key(0), x, 1, init=np.zeros((1, 2)), batch_size=60, patience=4
  )
  # The first step moves the centroid to the rows, the second sees it there.
  assert int(got.num_iters) == 2 + 4
  np.testing.assert_allclose(got.centroids, [[3, 3]])
