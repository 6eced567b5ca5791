"""Dropout: rates, keys, devices, and networks that have it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import start

from metaaux import models
from metaaux.models import layers

BASE = {
  "width": 1 / 16,
  "lowering": "native",
  "widths": (4, 6),
  "kernels": (5, 4),
  "padding": "VALID",
  "hidden": 8,
  "batch_norm": False,
  "decoder": "hidden",
  "dropout": 0.0,
  "block_dropout": 0.0,
  "kernel_init": "he_normal",
}


def _network(name="convnet", **changes):
  return models.make(models.ModelOptions(name=name, **BASE | changes), {"a": 3})


def _images(batch=8, side=28):
  draw = np.random.default_rng(0).normal(size=(batch, side, side, 1))
  return jnp.asarray(draw, jnp.float32)


def _logits(network, params, images, *, train=True, key=None):
  return network.apply(params, {}, images, train=train, key=key)[0]["a"]


_jitted = jax.jit(_logits, static_argnums=0)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_rate_and_scale(x64, rate):
  x = jnp.full((100, 90), 3.0)
  dropped = layers.dropout(x, rate, jax.random.key(0), 0)
  assert dropped.dtype == jnp.float64
  zero = dropped == 0
  np.testing.assert_allclose(dropped[~zero], 3 / (1 - rate))
  # Four standard errors of 9000 draws.
  assert abs(zero.mean() - rate) < 4 * (rate * (1 - rate) / 9000) ** 0.5


def test_each_layer_draws_anew():
  x = jnp.ones((20, 30))
  one, again, two = (
    layers.dropout(x, 0.5, jax.random.key(0), layer) for layer in (1, 1, 2)
  )
  np.testing.assert_array_equal(one, again)
  assert not np.array_equal(one, two)


def test_without_rate_or_key_the_array_is_returned():
  x = jnp.ones((2, 3))
  assert layers.dropout(x, 0.0, jax.random.key(0), 1) is x
  assert layers.dropout(x, 0.5, None, 1) is x


def test_rate_zero_leaves_the_program_as_it_was():
  network, images = _network(), _images()
  params, _ = start(network, images)
  with_key, without = (
    jax.make_jaxpr(lambda p, x, k=k: _logits(network, p, x, key=k))(
      params, images
    )
    for k in (jax.random.key(1), None)
  )
  assert str(with_key) == str(without)


@pytest.mark.parametrize(
  ("name", "kind"),
  [("convnet", "dropout"), ("convnet", "block_dropout"), ("vgg16", "dropout")],
)
def test_only_in_training_and_with_a_key(name, kind):
  images = _images(4, 28 if name == "convnet" else 32)
  network, plain = _network(name, **{kind: 0.5}), _network(name)
  params, stats = start(network, images)

  @functools.partial(jax.jit, static_argnums=(0, 1))
  def logits(network, train, key):
    return network.apply(params, stats, images, train=train, key=key)[0]["a"]

  none = logits(plain, True, None)
  np.testing.assert_array_equal(logits(network, True, None), none)
  np.testing.assert_array_equal(
    logits(network, False, jax.random.key(1)), logits(network, False, None)
  )
  one, again, two = (
    logits(network, True, jax.random.key(k)) for k in (1, 1, 2)
  )
  np.testing.assert_array_equal(one, again)
  assert not np.allclose(one, two)
  assert not np.allclose(one, none)


def test_dropout_acts_on_the_flattened_features():
  """Against the head applied to features that the test drops itself."""
  images = _images()
  key = jax.random.key(5)
  network = _network(dropout=0.5, hidden=0)
  params, _ = start(network, images)
  num_features = params["head_a"]["Dense_0"]["kernel"].shape[0]
  features = _features(params, images, num_features)
  dense = params["head_a"]["Dense_0"]
  want = layers.dropout(features, 0.5, key, 0) @ dense["kernel"]
  np.testing.assert_allclose(
    _jitted(network, params, images, key=key), want, rtol=1e-4, atol=1e-5
  )


def _features(params, images, num_features):
  """The flattened map, through a head that is the identity."""
  identity = {
    "kernel": jnp.eye(num_features),
    "bias": jnp.zeros(num_features),
  }
  config = models.ModelOptions(name="convnet", **BASE | {"hidden": 0})
  network = models.make(config, {"a": num_features})
  params = {**params, "head_a": {"Dense_0": identity}}
  return _jitted(network, params, images)


def test_keys_by_example_make_four_devices_one():
  images = _images()
  network = _network(dropout=0.4, block_dropout=0.3)
  params, _ = start(network, images)
  index = jnp.arange(8) + 100

  def run(images, index):
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(
      jax.random.key(3), index
    )
    return _logits(network, params, images, key=keys)

  on_one = jax.jit(run)
  whole = on_one(images, index)
  split = jax.pmap(run)(images.reshape(4, 2, 28, 28, 1), index.reshape(4, 2))
  np.testing.assert_allclose(split.reshape(8, 3), whole, rtol=1e-5, atol=1e-6)
  # Some of them, in a batch as large, for which all is compiled.
  order = np.array([5, 2, 7, 2, 5, 7, 7, 2])
  part = on_one(images[order], index[order])
  np.testing.assert_allclose(part, whole[order], rtol=1e-5, atol=1e-6)


def test_second_derivatives_see_one_mask(x64):
  """The Hessian of a loss with dropout, by two orders of differentiation."""
  network = _network(
    dropout=0.5, block_dropout=0.2, widths=(2,), kernels=(3,), hidden=3
  )
  images = _images(3, 6).astype(jnp.float64)
  params, _ = start(network, images, np.float64)
  direction = jax.tree.map(jnp.ones_like, params)

  def loss(params):
    logits = _logits(network, params, images, key=jax.random.key(1))
    return -jax.nn.log_softmax(logits)[:, 0].mean()

  def along(params):
    return sum(jax.tree.leaves(jax.tree.map(jnp.sum, jax.grad(loss)(params))))

  @jax.jit
  def both(params, direction):
    forward = jax.jvp(jax.grad(loss), (params,), (direction,))[1]
    return jax.grad(along)(params), forward

  reverse, forward = both(params, direction)
  for a, b in zip(
    jax.tree.leaves(reverse), jax.tree.leaves(forward), strict=True
  ):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
