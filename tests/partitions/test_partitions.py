"""Auxiliary label sets: what they are made of, and what is said of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from metaaux import partitions
from metaaux.errors import UserError

prototypical = jax.jit(partitions.prototypical, static_argnums=3)


def key():
  return jax.random.key(0)


def blobs():
  """Three blobs of 100 points, unit variance."""
  rng = np.random.default_rng(0)
  centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
  labels = np.repeat(np.arange(3), 100)
  points = centres[labels] + rng.standard_normal((300, 2))
  return jnp.asarray(points, jnp.float32), labels


def test_scales_of_each_mode():
  uniform = np.asarray(partitions.scales(key(), 9, 4, "uniform"))
  assert (uniform[0] == 1).all()
  assert ((uniform[1:] > 0) & (uniform[1:] < 1)).all()
  assert len(np.unique(uniform[1:])) == 27
  half = np.asarray(partitions.scales(key(), 9, 4, "half"))
  assert set(np.unique(half)) == {0.0, 1.0}
  assert (half.sum(axis=1) == 4).all()
  assert len(np.unique(half, axis=0)) > 1
  assert (np.asarray(partitions.scales(key(), 9, 4, "none")) == 1).all()


def test_scaled_partitions_weigh_a_dimension_by_half_on_average():
  draws = np.asarray(partitions.scales(key(), 500, 11, "uniform"))[1:]
  assert abs((draws**2).mean() - 1 / 3) < 0.02


@pytest.mark.parametrize(
  ("call", "words"),
  [
    (lambda x: partitions.scales(key(), 2, 1, "whole"), "'whole'"),
    (lambda x: partitions.scales(key(), 1, 1, "half"), "half"),
    (lambda x: partitions.kmeans_partitions(key(), x, 301, 2), "k=301"),
    (lambda x: partitions.kmeans_partitions(key(), x, 0, 2), "k=0"),
    (
      lambda x: partitions.kmeans_partitions(key(), x, 2, 0),
      "num_partitions=0",
    ),
    (lambda x: partitions.kmeans_partitions(key(), x[0], 2, 2), "[n, d]"),
  ],
)
def test_wrong_options_are_named(call, words):
  with pytest.raises(UserError) as error:
    call(blobs()[0])
  assert words in str(error.value)


def test_kmeans_partitions_find_blobs_and_repeat():
  points, labels = blobs()
  found = partitions.kmeans_partitions(key(), points, 3, 4, restarts=5)
  assert found.shape == (4, 300) and found.dtype == jnp.int32
  assert adjusted_rand_score(labels, np.asarray(found[0])) == 1
  again = partitions.kmeans_partitions(key(), points, 3, 4, restarts=5)
  assert (found == again).all()


def test_half_of_two_dimensions_sees_two_blobs_as_one():
  points, labels = blobs()
  found = np.asarray(
    partitions.kmeans_partitions(key(), points, 2, 6, "half", restarts=3)
  )
  agreements = np.array(
    [[adjusted_rand_score(labels == c, row) for c in (1, 2)] for row in found]
  )
  assert (agreements.max(axis=1) > 0.97).all()
  assert set(agreements.argmax(axis=1)) == {0, 1}  # some see x, others y


def test_random_partitions_are_uniform():
  found = partitions.random_partitions(key(), 6000, 3, 2)
  assert found.shape == (2, 6000) and found.dtype == jnp.int32
  sizes = np.stack([np.bincount(row) for row in np.asarray(found)])
  assert (abs(sizes - 2000) < 150).all()
  assert (found[0] != found[1]).any()


def test_permuted_keeps_histograms_and_loses_content():
  rows = jnp.asarray(np.repeat([[0, 0, 0, 0, 1, 1, 2, 3]], 2, 0).repeat(50, 1))
  found = np.asarray(partitions.permuted(key(), rows))
  assert found.dtype == rows.dtype
  for before, after in zip(np.asarray(rows), found, strict=True):
    assert (np.bincount(before) == np.bincount(after)).all()
    assert abs(adjusted_rand_score(before, after)) < 0.05
  assert (found[0] != found[1]).any()


def test_human_repeats_the_labels():
  found = partitions.human(jnp.array([2, 0, 1]), 2)
  assert found.tolist() == [[2, 0, 1], [2, 0, 1]]


def test_prototypes_are_means_of_what_is_labelled():
  points = jnp.array([[0.0, 0.0], [2.0, 0.0], [5.0, 0.0], [1.0, 1.0]])
  labels = jnp.array([0, 0, 1, 1])
  found = prototypical(points, labels, jnp.array([0, 1, 2]), 3)
  distances = np.array([[1.0, 25.0], [1.0, 9.0], [16.0, 0.0], [1.0, 17.0]])
  expected = np.exp(-distances)
  expected /= expected.sum(axis=1, keepdims=True)
  np.testing.assert_allclose(found[:, :2], expected, rtol=1e-5)
  assert (np.asarray(found[:, 2]) == 0).all()  # no example, no prototype
  allowed = jnp.array([[False, True, True]] * 4)
  masked = prototypical(points, labels, jnp.array([0, 1, 2]), 3, allowed)
  assert masked.tolist() == [[0, 1, 0]] * 4
