"""The spectral embedding on shapes whose clusters are known."""

import numpy as np
import pytest
from sklearn import cluster, datasets, metrics

from metaaux.errors import UserError
from metaaux.methods.embeddings import spectral


def clusters(x, k):
  # k-means++ of one run may miss; many runs on few points are quick.
  return cluster.KMeans(k, n_init=10, random_state=0).fit(x).labels_


@pytest.mark.parametrize("n", [400, 600])  # by all and by leading vectors
def test_two_moons_fall_apart_though_k_means_cuts_them(n):
  x, labels = datasets.make_moons(n, noise=0.05, random_state=0)
  found = spectral.spectral(x, dim=2, neighbours=10)
  assert metrics.adjusted_rand_score(labels, clusters(found, 2)) == 1
  assert metrics.adjusted_rand_score(labels, clusters(x, 2)) < 0.6


def test_blobs_are_recovered():
  x, labels = datasets.make_blobs(
    300, 5, centers=4, cluster_std=0.5, random_state=1
  )
  found = spectral.spectral(x, dim=4)
  assert metrics.adjusted_rand_score(labels, clusters(found, 4)) == 1


@pytest.mark.parametrize("n", [300, 700])
def test_rows_are_of_length_one_and_calls_agree(n):
  x = np.random.default_rng(0).standard_normal((n, 8))
  found = spectral.spectral(x, dim=5)
  assert found.shape == (n, 5) and found.dtype == np.float32
  np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
  np.testing.assert_array_equal(found, spectral.spectral(x, dim=5))


def test_sparse_and_dense_eigenvectors_agree(monkeypatch):
  x = np.random.default_rng(0).standard_normal((300, 8))
  dense = spectral.spectral(x, dim=5)
  monkeypatch.setattr(spectral, "_DENSE", 10)
  np.testing.assert_allclose(spectral.spectral(x, dim=5), dense, atol=1e-4)


def test_graph_is_symmetric_and_its_leading_eigenvalue_is_one():
  x = np.random.default_rng(0).standard_normal((60, 3))
  graph = spectral._neighbours(x, 5)
  assert set(np.unique(graph.toarray())) == {0.0, 0.5, 1.0}
  assert abs(graph - graph.T).sum() == 0
  values = np.linalg.eigvalsh(spectral._normalised(graph).toarray())
  assert values[-1] == pytest.approx(1)


def test_too_few_images():
  with pytest.raises(UserError, match=r"embedding\.neighbours=15.*12"):
    spectral.spectral(np.zeros((12, 2)), dim=3)
