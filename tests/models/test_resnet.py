"""ResNet-18: sizes, names, stems, and what it computes."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from metaaux import models
from metaaux.errors import UserError
from metaaux.methods import arml_weights
from metaaux.models import resnet

BASE = {
  "name": "resnet18",
  "width": 1.0,
  "stem": "auto",
  "lowering": "native",
  "decoder": "hidden",
  "dropout": 0.0,
  "block_dropout": 0.0,
  "kernel_init": "he_normal",
}


def _make(heads, *, axis_name=None, **changes):
  config = types.SimpleNamespace(**BASE | changes)
  return models.make(config, heads, axis_name=axis_name)


def _images(batch, side):
  shape = (batch, side, side, 3)
  return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def _shapes(network, side):
  images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
  return jax.eval_shape(network.init, jax.random.key(0), images)


def _count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
  ("heads", "count"),
  [
    ({"primary": 1, "attributes": 39}, 11_197_032),
    ({"primary": 7}, 11_180_103),
  ],
)
def test_parameter_counts(heads, count):
  for decoder in ("hidden", "linear"):
    params, stats = _shapes(_make(heads, decoder=decoder), 128)
    assert _count(params) == count
    assert _count(models.trunk(params)) == 11_176_512
    assert _count(stats) == 2 * 4800


@pytest.mark.parametrize(
  ("stem", "side", "kernel"),
  [("auto", 32, 3), ("auto", 64, 7), ("cifar", 64, 3), ("imagenet", 32, 7)],
)
def test_stems(stem, side, kernel):
  network = _make({"primary": 2, "features": 0}, stem=stem, width=1 / 16)
  params, stats = _shapes(network, side)
  assert params["conv_0"]["kernel"].shape == (kernel, kernel, 3, 4)
  logits, _ = jax.eval_shape(
    lambda p, s: network.apply(p, s, _images(2, side), train=True),
    params,
    stats,
  )
  assert logits["features"].shape == (2, 32)


def test_the_last_layer_is_the_deepest():
  params, _ = _shapes(_make({"primary": 2}, width=1 / 16), 32)
  assert sorted(models.trunk(params)) == [
    *("conv_0", "norm_0", "stage_1", "stage_2", "stage_3", "stage_4")
  ]
  last = params["stage_4"]["block_2"]["conv_2"]["kernel"]
  marked = jax.tree.map(lambda x: x, params)
  marked["stage_4"]["block_2"]["conv_2"]["kernel"] = last.update(
    shape=(3, 3, 7, 7)
  )
  chosen, _ = arml_weights.last_layer(models.trunk(marked))
  assert chosen.shape == (3, 3, 7, 7)
  assert not any(
    path[-1].key == "bias" and path[-2].key.startswith("conv")
    for path, _ in jax.tree_util.tree_leaves_with_path(params)
  )


@pytest.mark.parametrize("side", [6, 7])
def test_pooling_is_the_windowed_one(side):
  x = _images(2, side)
  found, back = jax.vjp(resnet.max_pool_3x3, x)
  expected, windowed = jax.vjp(
    lambda x: nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))), x
  )
  np.testing.assert_array_equal(found, expected)
  weights = jnp.arange(found.size, dtype=jnp.float32).reshape(found.shape)
  np.testing.assert_allclose(back(weights)[0], windowed(weights)[0], rtol=1e-6)


def _conv(x, kernel, stride):
  side = kernel.shape[0] // 2
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    ((side, side), (side, side)),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def _norm(x):
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  return (x - mean[None, None, None]) / jnp.sqrt(var + 1e-5)[None, None, None]


def _written_out(params, images):
  """The network without Linen; scales are 1 and shifts 0 at the start."""
  x = jax.nn.relu(_norm(_conv(images, params["conv_0"]["kernel"], 1)))
  for stage in range(1, 5):
    for block in (1, 2):
      kernels = {
        name: leaf["kernel"]
        for name, leaf in params[f"stage_{stage}"][f"block_{block}"].items()
        if name.startswith("conv")
      }
      stride = 2 if stage > 1 and block == 1 else 1
      around = x
      assert ("conv_shortcut" in kernels) == (stride == 2)
      if stride == 2:
        around = _norm(_conv(x, kernels["conv_shortcut"], 2))
      x = jax.nn.relu(_norm(_conv(x, kernels["conv_1"], stride)))
      x = jax.nn.relu(_norm(_conv(x, kernels["conv_2"], 1)) + around)
  dense = params["head_primary"]["Dense_0"]
  return x.mean((1, 2)) @ dense["kernel"] + dense["bias"][None]


@pytest.mark.parametrize("lowering", ["native", "fast"])
def test_against_the_network_written_out(x64, lowering):
  network = _make({"primary": 3}, width=1 / 16, lowering=lowering)
  images = _images(3, 16).astype(jnp.float64)
  params, stats = jax.tree.map(
    lambda x: x.astype(jnp.float64), network.init(jax.random.key(1), images)
  )
  logits, updated = jax.jit(network.apply, static_argnames="train")(
    params, stats, images, train=True
  )
  expected = jax.jit(_written_out)(params, images)
  np.testing.assert_allclose(logits["primary"], expected, rtol=1e-8)
  mean = _conv(images, params["conv_0"]["kernel"], 1).mean((0, 1, 2))
  np.testing.assert_allclose(
    updated["norm_0"]["mean"], 0.1 * mean, rtol=1e-8, atol=1e-12
  )


def test_dropout():
  network = _make({"primary": 3}, width=1 / 16, dropout=0.5, block_dropout=0.5)
  images = _images(2, 16)
  params, stats = network.init(jax.random.key(1), images)
  apply = jax.jit(network.apply, static_argnames="train")
  key = jax.random.key(2)
  plain = apply(params, stats, images, train=True)[0]["primary"]
  dropped = apply(params, stats, images, train=True, key=key)[0]["primary"]
  assert jnp.abs(plain - dropped).max() > 1e-3


def test_unknown_stem():
  with pytest.raises(
    UserError, match=r"model\.stem is 'vgg'; use one of auto, i"
  ):
    _make({"primary": 2}, stem="vgg")
