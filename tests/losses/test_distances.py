"""One function for squared distances, and who uses it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux import partitions
from metaaux.losses import distances
from metaaux.losses._cmmd import cmmd

prototypical = jax.jit(partitions.prototypical, static_argnums=3)


def in_double(x, y):
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  return ((x[:, None] - y[None]) ** 2).sum(-1)


def far_apart(offset):
  """Pairs of rows a few units apart, each pair far from the others."""
  rng = np.random.default_rng(0)
  middle = 1e4 * rng.normal(size=(6, 3)).repeat(4, 0) + offset
  return (middle + rng.normal(size=(24, 3))).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 3e4])
def test_pairs_in_float32(offset, monkeypatch):
  x = far_apart(offset)
  want = in_double(x, x[:7])
  np.testing.assert_allclose(distances.pairwise(x, x[:7]), want, rtol=1e-6)
  monkeypatch.setattr(distances, "_BLOCK", 100)
  np.testing.assert_allclose(distances.pairwise(x, x[:7]), want, rtol=1e-6)


def test_gradient_of_pairs(x64):
  rng = np.random.default_rng(1)
  x, y, weight = rng.normal(size=(3, 5, 4))
  weight = weight[:, :3] @ weight[:, 1:].T

  def total(x, y):
    return jnp.sum(weight * distances.pairwise(x, y))

  got = jax.jit(jax.grad(total, (0, 1)))(x, y)
  difference = x[:, None] - y[None]
  np.testing.assert_allclose(
    got[0], 2 * np.einsum("nm,nmd->nd", weight, difference)
  )
  np.testing.assert_allclose(
    got[1], -2 * np.einsum("nm,nmd->md", weight, difference)
  )


def test_wrong_pairs():
  x = np.zeros((2, 3), np.float32)
  with pytest.raises(ValueError, match=r"y is int.*\[2, 3\], expected floats"):
    distances.pairwise(x, x.astype(int))
  with pytest.raises(ValueError, match="3 and of 2 columns"):
    distances.pairwise(x, x[:, :2])
  with pytest.raises(ValueError, match=r"x is >f4.*pass x.astype\('float32'\)"):
    distances.pairwise(x.astype(">f4"), x)


def soft_labels(x, labels, num_classes):
  """Softmax of minus the squared distance to the means, in float64."""
  x = np.asarray(x, np.float64)
  means = [x[labels == c].mean(0) for c in range(num_classes)]
  logits = -in_double(x, np.stack(means))
  logits -= logits.max(1, keepdims=True)
  return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_prototypes_far_from_the_origin(offset):
  rng = np.random.default_rng(2)
  x = (rng.normal(size=(40, 2)) + offset).astype(np.float32)
  labels = np.arange(40) % 3
  got = prototypical(x, labels, np.arange(40), 3)
  np.testing.assert_allclose(got, soft_labels(x, labels, 3), atol=3e-3)


def test_prototypes_far_from_each_other():
  x = far_apart(0.0)
  labels = np.arange(24) // 2
  got = prototypical(x, labels, np.arange(24), 12)
  np.testing.assert_allclose(got, soft_labels(x, labels, 12), atol=1e-2)


def test_an_image_without_a_label_is_of_no_class():
  x = jnp.array([[0.0], [1.0], [50.0], [4.0], [90.0]])
  labels, given = jnp.array([0, 0, -1, 1, 2]), jnp.arange(5)
  got = prototypical(x, labels, given, 2)
  want = soft_labels(np.array([[0.0], [1], [50], [4], [90]]), labels, 2)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_widened(dtype):
  """300^2 is too large for float16."""
  x = jnp.asarray(np.arange(12.0).reshape(6, 2) * 30, dtype)
  labels = np.arange(6) % 2
  got = prototypical(x, labels, np.arange(6), 2)
  assert got.dtype == jnp.float32
  want = soft_labels(x.astype(jnp.float32), labels, 2)
  np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("bandwidth", [None, 2.0])
def test_rbf_far_from_the_origin(bandwidth):
  rng = np.random.default_rng(3)
  a, b = (rng.normal(size=(2, 12, 3)) + 1e4).astype(np.float32)
  labels = np.arange(12) % 2

  @jax.jit
  def distance(a, b):
    return cmmd(a, labels, b, labels, 2, "rbf", bandwidth=bandwidth)

  got = distance(a, b)
  with jax.enable_x64(True):
    want = distance(a.astype(np.float64), b.astype(np.float64))
  np.testing.assert_allclose(got, want, rtol=1e-4)
