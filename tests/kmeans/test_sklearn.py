"""k-means beside scikit-learn: same rows, same first centroids."""

import warnings

import jax
import numpy as np
import pytest
from kmeans_cases import ANY, by_hand, mixture
from sklearn.cluster import KMeans

from metaaux.kmeans import kmeans, minibatch_kmeans


def reference(x, init, **options):
  model = KMeans(len(init), init=init, n_init=1, algorithm="lloyd", **options)
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it did not converge
    return model.fit(x)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
  "options",
  [dict(tol=0.0, max_iter=4), dict(tol=0.0, max_iter=300), dict(tol=1e-2)],
)
def test_same_partition_and_inertia(options, seed):
  x = mixture(n=500, d=6, seed=seed).astype(np.float32)
  init = x[:7]
  want = reference(x, init, **options)
  limit = options.get("max_iter", 300)
  got = kmeans(ANY, x, 7, init=init, num_iters=limit, tol=options["tol"])
  np.testing.assert_array_equal(got.assignments, want.labels_)
  np.testing.assert_allclose(got.inertia, want.inertia_, rtol=1e-5)
  np.testing.assert_allclose(got.centroids, want.cluster_centers_, atol=1e-4)
  assert int(got.num_iters) == want.n_iter_


def test_same_where_a_cluster_is_empty():
  x = mixture(n=500, d=6).astype(np.float32)
  init = x[:7].copy()
  init[3] += 1000
  want = reference(x, init, tol=0, max_iter=300)
  got = kmeans(ANY, x, 7, init=init, num_iters=300, tol=0.0)
  np.testing.assert_array_equal(got.assignments, want.labels_)
  np.testing.assert_allclose(got.inertia, want.inertia_, rtol=1e-5)
  assert len(set(want.labels_)) == 7


def test_scaled():
  x = mixture(n=500, d=6).astype(np.float32)
  scale = np.random.default_rng(1).random((3, 6)).astype(np.float32)
  got = kmeans(ANY, x, 7, init=x[:7], scale=scale, tol=0)
  for t in range(3):
    want = reference(x * scale[t], x[:7] * scale[t], tol=0)
    np.testing.assert_array_equal(got.assignments[t], want.labels_)
    np.testing.assert_allclose(got.inertia[t], want.inertia_, rtol=1e-5)


# Mini-batches, which are random: beside the full algorithm.


# What else is known of given centroids is shown below.
@pytest.mark.parametrize(
  "init",
  ["kmeans++", "random", pytest.param("given", marks=pytest.mark.long)],
)
def test_mini_batches_come_near(init):
  x = mixture(n=500, components=4).astype(np.float32)
  want = kmeans(jax.random.key(1), x, 4, restarts=5).inertia
  first = x[:4] if init == "given" else init
  scale = np.stack([np.ones(4), np.zeros(4)])
  got = minibatch_kmeans(
    jax.random.key(2), x, 4, init=first, batch_size=50, scale=scale
  )
  assert 0.999 * want <= got.inertia[0] < 2 * want
  assert float(got.inertia[1]) == 0
  assert 10 <= got.num_iters[0] < 1000
  far, nearest = by_hand(x, np.asarray(got.centroids[0]))
  np.testing.assert_array_equal(got.assignments[0], nearest)
  np.testing.assert_allclose(got.inertia[0], far.min(1).sum(), rtol=1e-5)


def test_a_step_of_all_rows_is_an_iteration(x64):
  x = mixture()
  got = minibatch_kmeans(
    jax.random.key(1), x, 5, init=x[:5], num_steps=1, batch_size=500
  )
  want = kmeans(ANY, x, 5, init=x[:5], num_iters=1)
  np.testing.assert_allclose(got.centroids, want.centroids, rtol=1e-12)


def test_centroids_without_rows_are_moved():
  x = mixture(n=500, components=4).astype(np.float32)
  init = np.concatenate([x[:1], x[:3] + 1000])
  got = minibatch_kmeans(jax.random.key(1), x, 4, init=init, batch_size=100)
  assert len(set(got.assignments.tolist())) == 4
  assert np.max(np.abs(got.centroids)) < 20


def test_no_steps_are_the_first_centroids():
  x = mixture().astype(np.float32)
  key = jax.random.key(1)
  got = minibatch_kmeans(key, x, 5, init=x[:5], num_steps=0)
  np.testing.assert_allclose(got.centroids, x[:5], rtol=1e-5)
