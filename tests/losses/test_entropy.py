"""Entropies and statistics of soft labels against known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux import losses

PSI = (2, 2, 1)
CIFAR_PSI = (5,) * 20


def uniform(labels, psi):
  mask = np.asarray(losses.class_mask(np.asarray(labels), psi))
  return mask / mask.sum(-1, keepdims=True)


def collapsed(labels, psi):
  starts = np.concatenate([[0], np.cumsum(psi)])
  return np.eye(sum(psi))[starts[np.asarray(labels)]]


Y5, Y20 = [0, 0, 1, 1, 2], list(range(20))
F7 = np.array(
  [
    [0.5, 0.5, 0, 0, 0],
    [0, 0, 1, 0, 0],
    [0.1, 0.9, 0, 0, 0],
    [0, 0, 0, 0, 1],
  ]
)


@pytest.mark.parametrize(
  ("probs", "negative"),
  [
    (uniform(Y5, PSI), -1.609438),
    (collapsed(Y5, PSI), -1.054920),
    (uniform(Y20, CIFAR_PSI), -4.605170),
    (collapsed(Y20, CIFAR_PSI), -2.995732),
    (F7, -1.3451529),
  ],
)
def test_entropy_of_the_mean_label(probs, negative, x64):
  np.testing.assert_allclose(
    losses.negative_entropy(probs.mean(0)), negative, atol=6e-7
  )
  np.testing.assert_allclose(
    losses.marginal_entropy(probs), -negative, atol=6e-7
  )
  gradient = jax.grad(losses.marginal_entropy)(jnp.asarray(probs))
  used = probs.mean(0) > 0
  want = np.where(used, -(1 + np.log(np.where(used, probs.mean(0), 1))), 0)
  np.testing.assert_allclose(
    gradient, np.broadcast_to(want / len(probs), probs.shape), atol=1e-12
  )


def test_entropy_of_each_label():
  rows = [[0.5, 0.5, 0, 0], [1, 0, 0, 0], [0.25] * 4]
  got = losses.sample_entropy(np.array(rows, np.float32))
  np.testing.assert_allclose(got, np.log(2) / 3 + np.log(4) / 3, rtol=1e-6)


@pytest.mark.parametrize(
  ("probs", "labels", "psi", "sample", "information", "usage"),
  [
    # Balanced one-hot labels: all that can be said, every column in use.
    (np.eye(5)[[0, 1, 2, 3, 4, 4]], [0, 0, 1, 1, 2, 2], PSI, 0, 1, 1),
    (uniform(Y20, CIFAR_PSI), Y20, CIFAR_PSI, np.log(5), 0, 0.2),
    (collapsed(Y5, PSI), Y5, PSI, 0, 0, 0.6),
    (np.eye(3), [0, 1, 2], (1, 1, 1), 0, 0, 1),
  ],
)
def test_label_statistics(probs, labels, psi, sample, information, usage):
  got = losses.label_statistics(probs, labels, psi)
  assert all(type(value) is float for value in got.values())
  pi = np.bincount(labels) / len(labels)
  most = np.sum(pi * np.log(psi))
  want = {
    "sample_entropy": sample,
    "marginal_entropy": sample + information * most - np.sum(pi * np.log(pi)),
    "information": information * most,
    "information_fraction": information,
    "uniform_entropy": most,
    "label_usage": usage,
  }
  assert got == pytest.approx(want, abs=1e-12)


def test_a_rarely_chosen_column_is_not_in_use():
  # A fair share is 10 of the 20 examples; one of them is a tenth, not more.
  for count, usage in ((1, 0.5), (2, 1.0)):
    chosen = np.array([0] * (20 - count) + [1] * count)
    got = losses.label_statistics(np.eye(2)[chosen], [0] * 20, (2,))
    assert got["label_usage"] == usage


@pytest.mark.parametrize(
  ("probs", "labels", "message"),
  [
    (np.ones((4, 3)), [0] * 4, r"float64\[4, 3\].*int64\[4\].*\[n, 5\]"),
    (np.ones((4, 5)), [0] * 3, r"float64\[4, 5\].*int64\[3\]"),
    (np.ones((0, 5)), np.zeros(0, int), "n > 0"),
    (np.ones((2, 5)), [0, 3], "from 0 to 3, but psi has 3"),
    (np.ones((2, 5)), [-1, 0], "from -1 to 0"),
  ],
)
def test_wrong_arguments_of_label_statistics(probs, labels, message):
  with pytest.raises(ValueError, match=message):
    losses.label_statistics(probs, labels, PSI)


def test_entropy_of_rare_labels_has_its_slope():
  """log y + 1, for probabilities of any size; 0 where there is none."""
  probs = jnp.array([1.0, 1e-3, 1e-9, 1e-20, 1e-30, 0.0])
  slope = jax.grad(losses.negative_entropy)(probs)
  want = np.log(np.asarray(probs[:-1], np.float64)) + 1
  np.testing.assert_allclose(slope, [*want, 0], rtol=1e-5)
  value = losses.negative_entropy(probs)
  np.testing.assert_allclose(value, probs[:-1] @ (want - 1), rtol=1e-5)
