"""k-means against known answers; traps of ties, chunks and empty clusters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kmeans_cases import ANY, by_hand, mixture
from sklearn.metrics import adjusted_rand_score

from metaaux.kmeans import kmeans


def col(*numbers):
  return jnp.array(numbers, jnp.result_type(float))[:, None]


@pytest.mark.parametrize(
  ("num_iters", "centroids", "inertia"),
  [(0, (0, 1), 145), (1, (0, 20 / 3), 158 / 9), (2, (0.5, 9.5), 1)],
)
def test_iterations_of_four_points(num_iters, centroids, inertia, x64):
  x = col(0, 1, 9, 10)
  got = kmeans(ANY, x, 2, init=col(0, 1), num_iters=num_iters, tol=0.0)
  np.testing.assert_allclose(got.centroids, col(*centroids), rtol=1e-14)
  np.testing.assert_allclose(got.inertia, inertia, rtol=1e-14)
  assert int(got.num_iters) == num_iters


def test_stops_when_nothing_moves(x64):
  got = kmeans(ANY, col(0, 1, 9, 10), 2, init=col(0, 1), tol=0.0)
  assert int(got.num_iters) == 3
  np.testing.assert_array_equal(got.assignments, [0, 0, 1, 1])


@pytest.mark.parametrize(("moved", "num_iters"), [(8.0, 3), (8.5, 2)])
def test_tolerance_is_in_units_of_the_mean_variance(moved, num_iters, x64):
  # The variance is 20.5; centroids move by 32.1, then by .25 + 8.03, then not.
  x = col(0, 1, 9, 10)
  got = kmeans(ANY, x, 2, init=col(0, 1), tol=moved / 20.5)
  assert int(got.num_iters) == num_iters


def test_one_cluster_is_the_mean(x64):
  x = mixture()
  got = kmeans(jax.random.key(1), x, 1)
  np.testing.assert_allclose(got.centroids[0], x.mean(0), rtol=1e-12)
  np.testing.assert_allclose(got.inertia, 200 * x.var(0).sum(), rtol=1e-12)


@pytest.mark.parametrize("init", ["kmeans++", "random"])
def test_as_many_clusters_as_rows(init):
  x = mixture(30)
  got = kmeans(jax.random.key(1), x, 30, init=init)
  assert sorted(got.assignments.tolist()) == list(range(30))
  np.testing.assert_allclose(got.inertia, 0, atol=1e-8)


def test_one_row():
  got = kmeans(jax.random.key(1), jnp.array([[3.0, 4.0]]), 1)
  np.testing.assert_array_equal(got.centroids, [[3, 4]])
  assert float(got.inertia) == 0 and got.assignments.tolist() == [0]


@pytest.mark.parametrize("init", ["kmeans++", "random"])
@pytest.mark.parametrize("tol", [0.0, 1e-4])
def test_fewer_distinct_rows_than_clusters(init, tol):
  x = np.repeat(mixture(5), 10, axis=0)
  got = kmeans(jax.random.key(1), x, 8, init=init, tol=tol)
  assert len(set(got.assignments.tolist())) == 5
  np.testing.assert_allclose(got.inertia, 0, atol=1e-8)
  assert np.all(np.isfinite(got.centroids)) and int(got.num_iters) < 10


def test_plus_plus_spreads_where_random_rows_do_not():
  # One row of a hundred is far: k-means++ all but always takes it.
  x = jnp.concatenate([jnp.zeros((99, 2)), jnp.full((1, 2), 100.0)])
  x += jnp.arange(100.0)[:, None] * 1e-3
  scale = jnp.ones((20, 2))
  for init, least, most in (("kmeans++", 20, 20), ("random", 0, 4)):
    key = jax.random.key(1)
    first = kmeans(key, x, 2, init=init, scale=scale, num_iters=0)
    taken = int(jnp.sum(jnp.any(first.centroids > 50, axis=(1, 2))))
    assert least <= taken <= most


@pytest.mark.parametrize("init", ["random", "kmeans++"])
def test_draws_have_the_right_frequencies(init):
  # In chunks that overlap; 2000 draws of two of five rows.
  x = np.array([0.0, 1, 2, 4, 9])
  key, scale = jax.random.key(2), jnp.ones((2000, 1))
  got = kmeans(key, col(*x), 2, init=init, scale=scale, num_iters=0, chunk=2)
  pairs = np.searchsorted(x, np.asarray(got.centroids[:, :, 0]))
  counts = np.zeros((5, 5))
  np.add.at(counts, tuple(pairs.T), 1)
  if init == "random":
    counts, want = counts + counts.T, (1 - np.eye(5)) / 10
  else:
    square = (x[:, None] - x[None]) ** 2
    want = square / square.sum(1, keepdims=True) / 5
  error = np.sqrt(want / 2000)
  np.testing.assert_array_less(abs(counts / 2000 - want), 4 * error + 1e-9)


def test_blobs_are_found_with_restarts():
  middle = np.repeat([[0, 0], [10, 0], [0, 10]], 100, axis=0)
  labels = np.repeat(range(3), 100)
  for seed in range(3):
    x = middle + np.random.default_rng(seed).normal(size=(300, 2))
    got = kmeans(jax.random.key(seed), x, 3, restarts=10)
    assert adjusted_rand_score(labels, got.assignments) == 1


def test_restarts_keep_the_best():
  x = mixture(components=8)
  one, five = (
    kmeans(jax.random.key(3), x, 8, init="random", restarts=r, num_iters=5)
    for r in (1, 5)
  )
  assert five.inertia < one.inertia
  far, nearest = by_hand(x, np.asarray(five.centroids))
  np.testing.assert_array_equal(five.assignments, nearest)
  np.testing.assert_allclose(five.inertia, far.min(1).sum(), rtol=1e-5)


# Empty clusters.


@pytest.mark.parametrize(
  ("rows", "init", "centroids", "inertia"),
  [
    # The farthest row goes to the first empty cluster; rows 0 and 2 are
    # equally far, and the lower one goes to the second.
    ((0, 1, 2, 10), (1, 100, 200), (1.5, 10, 0), 0.5),
    ((0, 1, 9), (0.5, 20, 30), (1, 9, 0), 0),
    # The last row of a cluster leaves it: its centroid stays.
    ((0, 0, 5), (8, 0, 100), (8, 0, 5), 0),
    # As many are empty as rows are left.
    ((4, 4), (4, 100), (4, 100), 0),
  ],
)
def test_empty_clusters_get_the_farthest_rows(rows, init, centroids, inertia):
  got = kmeans(ANY, col(*rows), len(init), init=col(*init), num_iters=1, tol=0)
  np.testing.assert_allclose(got.centroids, col(*centroids), atol=1e-6)
  np.testing.assert_allclose(got.inertia, inertia, atol=1e-6)


def test_only_partitions_with_empty_clusters_are_reseeded(x64):
  x = mixture()
  good, bad = x[:4], np.concatenate([x[:2], x[2:4] + 1000])
  scale = np.ones((2, 4))
  both = kmeans(ANY, x, 4, init=np.stack([good, bad]), scale=scale, num_iters=3)
  for t, init in enumerate((good, bad)):
    alone = kmeans(ANY, x, 4, init=init, num_iters=3)
    np.testing.assert_array_equal(both.assignments[t], alone.assignments)
  assert len(set(both.assignments[1].tolist())) == 4


# Chunks, precision, ties.


# Of both ways to begin, the one that keeps more.
@pytest.mark.parametrize(
  "init", ["kmeans++", pytest.param("random", marks=pytest.mark.long)]
)
def test_memory_is_for_chunks_not_for_copies(init):
  n, d, t = 10**6, 256, 4
  x = jax.ShapeDtypeStruct((n, d), jnp.float32)
  scale = jnp.ones((t, d))
  run = jax.jit(lambda key, x: kmeans(key, x, 50, init=init, scale=scale))
  memory = run.lower(jax.random.key(0), x).compile().memory_analysis()
  # A few numbers of each row and partition, where a copy of x has 64.
  assert memory.temp_size_in_bytes < 6 * 4 * t * n


# Of chunks that overlap and of one that is larger than all.
@pytest.mark.parametrize(
  "chunk",
  [
    64,
    1024,
    *(pytest.param(n, marks=pytest.mark.long) for n in (1, 199)),
  ],
)
def test_chunks_do_not_matter(chunk, x64):
  x = mixture()
  init = np.concatenate([x[:4], x[4:6] + 500])
  got = kmeans(ANY, x, 6, init=init, num_iters=4, chunk=chunk)
  want = kmeans(ANY, x, 6, init=init, num_iters=4, chunk=200)
  np.testing.assert_array_equal(got.assignments, want.assignments)
  np.testing.assert_allclose(got.inertia, want.inertia, rtol=1e-12)
  np.testing.assert_allclose(got.centroids, want.centroids, rtol=1e-12)


def test_ties_go_to_the_lowest_index():
  x = col(0, 1, 2, 3, 4, 5, 9)
  init = col(4, 0, 4, 2)
  got = kmeans(ANY, x, 4, init=init, num_iters=0)
  np.testing.assert_array_equal(got.assignments, [1, 1, 3, 0, 0, 0, 0])


def test_rows_far_from_the_origin():
  x = (mixture() + 1e4).astype(np.float32)
  got = kmeans(ANY, x, 4, init=x[:4], num_iters=10)
  c = np.asarray(got.centroids, np.float64)
  far, nearest = by_hand(x.astype(np.float64), c)
  assert np.mean(nearest == got.assignments) > 0.99
  np.testing.assert_allclose(got.inertia, far.min(1).sum(), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
  x = jnp.asarray(mixture(), dtype)
  got = kmeans(ANY, x, 4, init=x[:4])
  want = kmeans(ANY, x.astype(jnp.float32), 4, init=x[:4])
  assert got.centroids.dtype == got.inertia.dtype == jnp.float32
  np.testing.assert_array_equal(got.assignments, want.assignments)


def test_float64_stays(x64):
  got = kmeans(ANY, mixture(), 4, init=mixture()[:4])
  assert got.centroids.dtype == got.inertia.dtype == jnp.float64
  assert got.assignments.dtype == got.num_iters.dtype == jnp.int32


def test_constant_columns_change_nothing():
  x = mixture()
  wide = np.concatenate([x, np.full((200, 2), [0.1, -7e3])], axis=1)
  got = kmeans(ANY, wide, 4, init=wide[:4])
  want = kmeans(ANY, x, 4, init=x[:4])
  np.testing.assert_array_equal(got.assignments, want.assignments)
  np.testing.assert_allclose(got.centroids[:, 4:], wide[:4, 4:], rtol=1e-6)


def test_rows_that_are_all_the_same():
  got = kmeans(jax.random.key(1), np.full((20, 3), 0.1), 4, restarts=2)
  assert set(got.assignments.tolist()) == {0}
  np.testing.assert_allclose(got.inertia, 0, atol=1e-12)


def test_of_equally_near_centroids_the_lowest_has_a_row():
  x, centroids = col(1, 5, 5, 5, 5, 5, 5), col(5, 1, 1, 5)
  got = kmeans(ANY, x, 4, init=centroids, num_iters=0)
  assert got.assignments.tolist() == [1, 0, 0, 0, 0, 0, 0]
