"""VAT on a network that is written down: what moves, how far, what is held."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux.methods.unlabelled import consistency, vat

B, WIDTH, CLASSES = 6, 5, 3


def look_at(params, images, *, first=None, logits=None):
  """A look at images [B, WIDTH, 1, 1] of a network of one hidden layer."""
  logits = logits or network
  return consistency.Pass(
    logits=logits,
    params=params,
    teacher=(),
    images=images,
    view=(),
    keys=jax.random.split(jax.random.key(1), B),
    first=logits(params, images, 0) if first is None else first,
    half=B // 2,
  )


def network(params, images, number):
  """Its dropout is that of the pass: another number, another network."""
  hidden = jnp.tanh(images.reshape(len(images), -1) @ params["in"])
  return (hidden * (1 + number)) @ params["out"]


@pytest.fixture
def problem(x64):
  rng = np.random.default_rng(0)
  params = {
    "in": jnp.asarray(rng.normal(size=(WIDTH, 4))),
    "out": jnp.asarray(rng.normal(size=(4, CLASSES))),
  }
  return params, jnp.asarray(rng.normal(size=(B, WIDTH, 1, 1)))


@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.5])
def test_images_move_by_the_radius(problem, epsilon):
  params, images = problem
  seen = []

  def logits(params, images, number):
    seen.append(images)
    return network(params, images, number)

  look = look_at(params, images, logits=logits)
  found = vat.adversarial_divergence(look, epsilon)
  moved = (seen[-1] - images).reshape(B, -1)
  np.testing.assert_allclose(jnp.linalg.norm(moved, axis=1), epsilon)
  wanted = vat.divergence(network(params, seen[-1], 0), look.first)
  np.testing.assert_allclose(found, wanted, rtol=1e-12)
  assert (found == 0).all() if epsilon == 0 else (found > 0).all()


def test_a_larger_radius_hurts_more(problem):
  found = [
    vat.adversarial_divergence(look_at(*problem), epsilon)
    for epsilon in (0.01, 0.02)
  ]
  # Near the image the divergence is a square form.
  np.testing.assert_allclose(found[1] / found[0], 4, rtol=0.1)


def test_only_the_moved_prediction_has_a_gradient(problem):
  """The clean one is what it is to come near to, and does not come itself."""
  params, images = problem
  clean = network(params, images, 0)

  def loss(params, first=None):
    look = look_at(params, images, first=first)
    return vat.adversarial_divergence(look, 0.3).sum()

  gradient = jax.jit(jax.grad(loss))
  found = gradient(params)
  wanted = gradient(params, clean)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12), found, wanted
  )
  assert all(jnp.abs(x).max() > 0 for x in jax.tree.leaves(found))


def test_all_passes_are_of_one_network(problem):
  """With the dropout of the first pass: else its noise would be the change."""
  params, images = problem

  def logits(params, images, number):
    assert number == 0
    return network(params, images, number)

  vat.adversarial_divergence(look_at(params, images, logits=logits), 0.5)
