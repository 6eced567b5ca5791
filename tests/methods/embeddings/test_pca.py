"""Principal components: variances, rank, whitening."""

import numpy as np
import pytest

from metaaux.methods.embeddings import pca


def data(rank=3, n=200, dim=6):
  rng = np.random.default_rng(0)
  factors = rng.standard_normal((n, rank)) * np.arange(rank, 0, -1)
  return factors @ np.linalg.qr(rng.standard_normal((dim, rank)))[0].T + 7


def test_coordinates_have_the_largest_variances_in_order():
  found = pca.pca(data(), 2)
  assert found.shape == (200, 2) and found.dtype == np.float32
  expected = np.linalg.eigvalsh(np.cov(data().T))[::-1][:2]
  np.testing.assert_allclose(found.var(axis=0, ddof=1), expected, rtol=1e-5)
  np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
  np.testing.assert_array_equal(found, pca.pca(data(), 2))


@pytest.mark.parametrize("whiten", [False, True])
def test_no_more_components_than_the_rank(whiten):
  found = pca.pca(data(), 5, whiten)
  assert found.shape == (200, 3) and np.isfinite(found).all()


def test_distances_survive_all_components():
  x, found = data(), pca.pca(data(), 6)
  np.testing.assert_allclose(
    np.linalg.norm(found[0] - found[1:], axis=1),
    np.linalg.norm(x[0] - x[1:], axis=1),
    rtol=1e-5,
  )


def test_whitening_damps_small_variances():
  x = data() * np.sqrt(1e-5)
  plain, white = pca.pca(x, 3), pca.pca(x, 3, whiten=True)
  variance = plain.var(axis=0, ddof=1)
  np.testing.assert_allclose(
    white.var(axis=0, ddof=1), variance / (variance + 1e-5), rtol=1e-4
  )


def test_fewer_images_than_components_and_equal_images():
  assert pca.pca(data()[:3], 6).shape == (3, 2)
  assert np.isfinite(pca.pca(np.ones((4, 3)), 2, whiten=True)).all()


def test_pixels_are_in_the_unit_interval():
  found = pca.pixels(np.array([[[[0], [255]]], [[[51], [0]]]], np.uint8))
  np.testing.assert_allclose(found, [[0, 1], [0.2, 0]], rtol=1e-6)
  assert found.dtype == np.float32
  same = pca.pixels(np.array([[[[0.5]]]], np.float32))
  assert same.tolist() == [[0.5]]


def test_unit_rows_leave_zeros():
  rows = pca.unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
  assert rows.tolist() == [[0.6, 0.8], [0.0, 0.0]]
