"""Cross-stitch and NDDR units: reductions to independent towers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux.methods.damtl import sharing_units


def towers(count=3, channels=4, seed=0):
  values = np.random.default_rng(seed).normal(size=(count, 2, 5, 5, channels))
  return [jnp.asarray(x) for x in values]


@pytest.mark.parametrize("channels", [None, 4])
def test_identity_leaves_towers_alone(channels, x64):
  """K14, gradients too."""
  a = jnp.eye(3)
  if channels:
    a = jnp.broadcast_to(a[..., None], (3, 3, channels))
  features = towers()
  for found, own in zip(
    sharing_units.cross_stitch(features, a), features, strict=True
  ):
    np.testing.assert_allclose(found, own, rtol=1e-12)
  grads = jax.grad(lambda f: (sharing_units.cross_stitch(f, a)[1] ** 2).sum())(
    features
  )
  np.testing.assert_allclose(grads[1], 2 * features[1], rtol=1e-12)
  assert (grads[0] == 0).all() and (grads[2] == 0).all()


def test_cross_stitch_by_hand(x64):
  features = towers(2, 3)
  a = jnp.array([[0.9, 0.1], [0.3, 0.7]])
  found = sharing_units.cross_stitch(features, a)
  wanted = 0.3 * features[0] + 0.7 * features[1]
  np.testing.assert_allclose(found[1], wanted, rtol=1e-12)


def test_initial_units():
  a = sharing_units.init_cross_stitch(3)
  np.testing.assert_allclose(a.sum(1), 1, rtol=1e-6)
  np.testing.assert_allclose(jnp.diagonal(a), 0.9, rtol=1e-6)
  assert sharing_units.init_cross_stitch(3, 4).shape == (3, 3, 4)
  np.testing.assert_array_equal(sharing_units.init_cross_stitch(1), [[1]])
  assert sharing_units.init_nddr(3, 4).shape == (3, 12, 4)


def test_nddr_of_identities_leaves_towers_alone(x64):
  """K15: own block 1, others 0."""
  kernels = jnp.einsum("ji,cd->jicd", jnp.eye(3), jnp.eye(4)).reshape(3, 12, 4)
  features = towers()
  found = sharing_units.nddr(features, kernels, jnp.zeros((3, 4)))
  for one, own in zip(found, features, strict=True):
    np.testing.assert_allclose(one, own, rtol=1e-12)


def test_initial_nddr_of_equal_towers_changes_nothing(x64):
  """K15: 0.9 and 0.1 of the same."""
  features = towers(1) * 3
  found = sharing_units.nddr(
    features, sharing_units.init_nddr(3, 4), jnp.zeros((3, 4))
  )
  for one in found:
    np.testing.assert_allclose(one, features[0], rtol=1e-6)


def test_nddr_adds_its_bias():
  features = [jnp.zeros((2, 4))] * 3
  biases = jnp.arange(12.0).reshape(3, 4)
  found = sharing_units.nddr(features, sharing_units.init_nddr(3, 4), biases)
  np.testing.assert_array_equal(found[2], [[8, 9, 10, 11]] * 2)


def test_wrong_shapes():
  with pytest.raises(ValueError, match=r"\[3, 3\] or \[3, 3, 4\]"):
    sharing_units.cross_stitch(towers(), jnp.eye(2))
  with pytest.raises(ValueError, match=r"expected \[3, 12, 4\]"):
    sharing_units.nddr(towers(), jnp.ones((3, 4, 4)), jnp.zeros((3, 4)))


def test_running_statistics_move_by_a_tenth(x64):
  """PyTorch's momentum of 0.1, which is the share of the batch."""
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(2.0, 3.0, size=(2, 6, 3, 3, 2, 4)))
  old = {
    name: jnp.asarray(rng.uniform(5, 6, size=(2, 2, 4)))
    for name in ("mean", "var")
  }
  scale, shift = jnp.ones((2, 4)), jnp.zeros((2, 4))
  _, new = sharing_units.batch_norm(x, scale, shift, old, train=True)
  batch = {"mean": x.mean((1, 2, 3)), "var": x.var((1, 2, 3))}
  for name in old:
    wanted = 0.9 * old[name] + 0.1 * batch[name]
    np.testing.assert_allclose(new[name], wanted, rtol=1e-10)
  # Evaluation uses them, and leaves them.
  found, same = sharing_units.batch_norm(x, scale, shift, old, train=False)
  wide = old["mean"][:, None, None, None], old["var"][:, None, None, None]
  wanted = (x - wide[0]) / jnp.sqrt(wide[1] + 1e-5)
  np.testing.assert_allclose(found, wanted, rtol=1e-10)
  assert same is old
