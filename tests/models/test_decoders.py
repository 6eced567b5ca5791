"""Networks of Gui et al. 2020: sizes, decoders, initial values, dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from networks import start

from metaaux import models

BASE = {
  "name": "convnet",
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
PAPER = {"widths": (32, 64), "hidden": 128}
CODE = {
  "widths": (64, 128),
  "kernels": (3, 3),
  "padding": "SAME",
  "hidden": 0,
}
OMNIGLOT = {"widths": (53,) * 4, "kernels": (3,) * 4}
MINI = {
  "widths": (32,) * 4,
  "kernels": (3,) * 4,
  "padding": "SAME",
  "hidden": 0,
}


def _make(heads, **changes):
  return models.make(models.ModelOptions(**BASE | changes), heads)


def _images(batch, side, channels=1):
  draw = np.random.default_rng(0).normal(size=(batch, side, side, channels))
  return jnp.asarray(draw, jnp.float32)


def _shapes(network, *images):
  params, _ = jax.eval_shape(network.init, jax.random.key(0), _images(*images))
  return params


def _count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
  ("changes", "side", "channels", "classes", "shared", "decoder"),
  [
    (PAPER, 28, 1, 10, 33_664, 132_490),
    (PAPER, 32, 3, 10, 35_264, 206_218),
    (CODE, 32, 3, 10, 75_648, 81_930),
    (OMNIGLOT | {"hidden": 848}, 105, 1, 20, 76_532, 736_932),
    (OMNIGLOT | {"hidden": 0}, 105, 1, 20, 76_532, 16_980),
    (MINI, 84, 3, 100, 28_640, 80_100),
    (MINI, 64, 3, 100, 28_640, 51_300),
    (PAPER | {"decoder": "linear"}, 28, 1, 10, 33_664 + 131_200, 1_290),
    (MINI | {"decoder": "linear"}, 84, 3, 100, 28_640, 80_100),
  ],
)
def test_parameter_counts(changes, side, channels, classes, shared, decoder):
  params = _shapes(_make({"a": classes, "b": 2}, **changes), 1, side, channels)
  assert _count(models.trunk(params)) == shared
  assert _count(params["head_a"]) == decoder
  assert set(params) - set(models.trunk(params)) == {"head_a", "head_b"}


@pytest.mark.parametrize("decoder", ["hidden", "linear"])
def test_vgg_decoders(decoder):
  params = _shapes(_make({"a": 3}, name="vgg16", decoder=decoder), 1, 32)
  assert ("hidden" in models.trunk(params)) == (decoder == "linear")
  assert len(params["head_a"]) == {"hidden": 2, "linear": 1}[decoder]


def test_one_head_of_either_decoder_is_the_same_network():
  """The hidden layer only moves from the head to the trunk."""
  images = _images(3, 28)
  own, shared = (_make({"a": 3}, decoder=d) for d in ("hidden", "linear"))
  params, _ = start(own, images)
  head = params["head_a"]
  moved = {
    **models.trunk(params),
    "hidden": head["Dense_0"],
    "head_a": {"Dense_0": head["Dense_1"]},
  }
  found, wanted = (
    jax.jit(lambda p, n=network: n.apply(p, {}, images, train=False))(at)
    for network, at in ((shared, moved), (own, params))
  )
  np.testing.assert_allclose(found[0]["a"], wanted[0]["a"], rtol=1e-6)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("side", [11, 12, 13])
def test_odd_maps_lose_their_last_row_and_column(padding, side):
  images = _images(2, side, 2)
  network = _make(
    {"a": 3}, widths=(5,), kernels=(3,), padding=padding, hidden=0
  )
  params, _ = start(network, images)
  layer = params["Conv_0"]
  maps = jax.lax.conv_general_dilated(
    images,
    layer["kernel"],
    (1, 1),
    padding,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )
  maps = nn.relu(maps + layer["bias"].reshape(1, 1, 1, -1))
  features = nn.max_pool(maps, (2, 2), strides=(2, 2)).reshape(2, -1)
  dense = params["head_a"]["Dense_0"]
  np.testing.assert_allclose(
    network.apply(params, {}, images, train=True)[0]["a"],
    features @ dense["kernel"] + dense["bias"].reshape(1, -1),
    rtol=1e-4,
    atol=1e-5,
  )


def test_he_normal_is_of_the_config():
  images = _images(1, 28)
  network = _make({"a": 64}, widths=(32, 64), hidden=128)
  params, _ = network.init(jax.random.key(1), images)
  fans = {"Conv_1": 4 * 4 * 32, "Dense_0": 1024, "Dense_1": 128}
  for name, leaves in (params | params["head_a"]).items():
    if name in fans:
      deviation = (2 / fans[name]) ** 0.5
      np.testing.assert_allclose(leaves["kernel"].std(), deviation, rtol=0.02)
      # A truncated normal draw ends at 2 of its parent's, 2.27 of its own.
      assert 2.2 < jnp.abs(leaves["kernel"]).max() / deviation < 2.275
      assert not leaves["bias"].any()


def test_an_argument_goes_before_the_config():
  config = models.ModelOptions(**BASE)
  images = _images(1, 28)
  for given, fans in (("glorot_normal", 8 + 96), (None, 96)):
    network = models.make(config, {"a": 3}, kernel_init=given)
    kernel = network.init(jax.random.key(0), images)[0]["head_a"]["Dense_0"]
    deviation = (2 / fans) ** 0.5
    np.testing.assert_allclose(kernel["kernel"].std(), deviation, rtol=0.06)


def test_the_trunk_starts_alike_whatever_the_heads():
  images = _images(1, 28)
  for decoder in ("hidden", "linear"):
    one, two = (
      _make(heads, decoder=decoder).init(jax.random.key(0), images)[0]
      for heads in ({"a": 3}, {"a": 3, "b": 5})
    )
    for name in one:
      assert jax.tree.all(jax.tree.map(jnp.array_equal, one[name], two[name]))
