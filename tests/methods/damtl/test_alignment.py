"""Alignment of hidden layers: closed forms, and where gradients go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux.losses._cmmd import cmmd
from metaaux.methods.damtl import alignment
from metaaux.methods.damtl.alignment import Side
from metaaux.models import layered
from metaaux.models.layered import Staged

NET = Staged((4,), (5,), "native", "he_normal")
IMAGES = np.random.default_rng(0).normal(size=(6, 4, 4, 1))
LABELS = np.array([0, 1, 1, 2, 0, 1])


def network(seed):
  return layered.init(NET, jax.random.key(seed), IMAGES, 3)


def side(params, images=IMAGES, labels=LABELS):
  features = layered.features(NET, params, jnp.asarray(images))
  return Side(params, layered.classify(NET, params, features)[1], labels)


def compared(task, auxiliary, pairing, big=None, **options):
  other = alignment.auxiliary_side(NET, auxiliary, task, IMAGES, big, pairing)
  return alignment.discrepancy(NET, other, task, 3, "linear", **options)


def test_crossfed_affine_layers_have_a_closed_form(x64):
  """K9: sum_q |(K_aux - K_j)^T o_q + b_aux - b_j|^2, o_q the class means."""
  own, other = network(0), network(1)
  task = side(own)
  found = compared(task, other, "crossfed", layer="affine")
  gap = jax.tree.map(jnp.subtract, other["dense_0"], own["dense_0"])
  means = [np.asarray(task.inputs[0])[q == LABELS].mean(0) for q in range(3)]
  wanted = sum(
    ((m @ gap["kernel"] + gap["bias"]) ** 2).sum() for m in np.asarray(means)
  )
  np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_paired_compares_both_networks_on_the_same_images(x64):
  own, other = network(0), network(1)
  hidden = [alignment.hidden(side(p), 0, "relu") for p in (own, other)]
  wanted = cmmd(hidden[0], LABELS, hidden[1], LABELS, 3)
  np.testing.assert_allclose(
    compared(side(own), other, "paired"), wanted, rtol=1e-12
  )
  assert compared(side(own), own, "paired") == 0
  by_class = alignment.distances(NET, other, own, IMAGES, LABELS, 3, None)
  np.testing.assert_allclose(by_class.sum(), wanted, rtol=1e-12)


def test_twosample_counts_classes_of_both_sides_only(x64):
  """A class that the big task's batch lacks, and one that the task lacks."""
  own, other = network(0), network(1)
  big = {"image": IMAGES[:3] + 1, "auxiliary": jnp.array([1, 2, 1])}
  labels = jnp.array([0, 1, 1, 0, 0, 1])
  task = side(own, labels=labels)
  found = compared(task, other, "twosample", big)
  features = alignment.hidden(side(other, big["image"]), 0, "relu")
  gap = features[jnp.array([0, 2])].mean(0) - alignment.hidden(task, 0, "relu")[
    labels == 1
  ].mean(0)
  np.testing.assert_allclose(found, (gap**2).sum(), rtol=1e-12)


@pytest.mark.parametrize("constant", [False, True])
def test_constant_inputs_stop_the_gradient_of_convolutions(constant):
  other = network(1)

  def loss(params):
    task = side(params)
    if constant:
      task = alignment.without_gradient(task)
    return compared(task, other, "crossfed")

  grads = jax.jit(jax.grad(loss))(network(0))
  assert (np.abs(grads["dense_0"]["kernel"]) > 0).any()
  assert (np.abs(grads["conv_0"]["kernel"]) > 0).any() != constant
