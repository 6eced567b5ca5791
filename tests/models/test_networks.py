"""VGG-16 and the small network: sizes, batch norm, errors, devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import start

from metaaux import config as config_lib
from metaaux import models
from metaaux.errors import UserError

BASE = {
  "name": "vgg16",
  "width": 1.0,
  "lowering": "short",
  "widths": (16, 16),
  "kernels": (5, 4),
  "padding": "VALID",
  "hidden": 12,
  "batch_norm": True,
  "decoder": "hidden",
  "dropout": 0.0,
  "block_dropout": 0.0,
  "kernel_init": "glorot_uniform",
}


def _config(**changes):
  return models.ModelOptions(**BASE | changes)


def test_options_say_what_a_config_says():
  section = config_lib.base().model
  assert models.ModelOptions.of(section) == models.ModelOptions("convnet")


def test_a_users_function_receives_a_config_section(tmp_path, monkeypatch):
  """With the changes of the method in it, whatever form it has inside."""
  text = """
from metaaux.models.convnet import ConvNet

seen = []

def build(config, **common):
  seen.append(config)
  sizes = config.to_dict()
  own = {k: sizes[k] for k in ("widths", "kernels", "padding", "batch_norm")}
  return ConvNet(hidden=config["hidden"], **own, **common)
"""
  (tmp_path / "network_of_a_user.py").write_text(text)
  monkeypatch.syspath_prepend(tmp_path)
  section = config_lib.base().model
  section.name = "network_of_a_user:build"
  options = models.ModelOptions.of(section)
  models.make(options, {"primary": 2})
  models.make(options._replace(hidden=3), {"primary": 2})
  import network_of_a_user

  first, second = network_of_a_user.seen
  assert first.to_dict() == section.to_dict()
  assert second.to_dict() == {**section.to_dict(), "hidden": 3}


def _images(batch, side=32, channels=3):
  shape = (batch, side, side, channels)
  return jnp.asarray(
    np.random.default_rng(0).normal(size=shape), dtype=jnp.float32
  )


def _count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _shapes(network, images):
  return jax.eval_shape(network.init, jax.random.key(0), images)


def _jitted(network):
  return jax.jit(network.apply, static_argnames="train")


@pytest.mark.parametrize(
  ("heads", "count"),
  [
    ({"primary": 20}, 14_996_052),
    ({"primary": 20, "auxiliary": 100}, 15_310_008),
    ({"labels": 100}, 15_037_092),
  ],
)
def test_vgg_parameter_counts(heads, count):
  network = models.make(_config(), heads)
  params, stats = _shapes(network, _images(1))
  assert _count(params) == count
  assert _count(models.trunk(params)) == 14_723_136
  assert _count(stats) == 8_448
  assert type(params) is dict


def test_width_scales_every_channel():
  network = models.make(_config(width=1 / 64), {"primary": 3})
  params, _ = _shapes(network, _images(1))
  kernels = [
    leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    if path[-1].key == "kernel" and not models.is_head(path)
  ]
  widths = [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8]
  assert sorted(kernels) == sorted(
    (3, 3, before, after)
    for before, after in zip([3, *widths], widths, strict=False)
  )
  assert params["head_primary"]["Dense_0"]["kernel"].shape == (8, 8)


def test_heads_are_told_from_the_trunk():
  network = models.make(_config(), {"primary": 2, "auxiliary": 4})
  params, _ = _shapes(network, _images(1))
  inside = {
    path[0].key
    for path, _ in jax.tree_util.tree_leaves_with_path(params)
    if models.is_head(path)
  }
  assert inside == {"head_primary", "head_auxiliary"}
  assert set(models.trunk(params)) == set(params) - inside


@pytest.mark.parametrize(
  ("changes", "side", "channels"),
  [
    ({"width": 1 / 32}, 32, 3),
    ({"width": 1 / 32}, 65, 1),
    ({"width": 1 / 32, "lowering": "auto"}, 32, 3),
    ({"name": "convnet"}, 28, 1),
    ({"name": "convnet", "lowering": "auto", "batch_norm": False}, 28, 1),
    ({"name": "convnet", "padding": "SAME"}, 8, 1),
    ({"name": "convnet", "widths": (4,), "kernels": (3,)}, 9, 3),
  ],
)
def test_logits_by_head(changes, side, channels):
  network = models.make(_config(**changes), {"primary": 3, "auxiliary": 7})
  images = _images(2, side, channels)
  params, stats = start(network, images)
  logits, _ = _jitted(network)(params, stats, images, train=True)
  assert jax.tree.map(jnp.shape, logits) == {
    "primary": (2, 3),
    "auxiliary": (2, 7),
  }
  assert all(jnp.isfinite(x).all() for x in logits.values())


def test_float64_stays(x64):
  network = models.make(_config(width=1 / 32), {"primary": 3})
  images = _images(2).astype(jnp.float64)
  params, stats = start(network, images, np.float64)
  logits, updated = jax.eval_shape(
    lambda *x: network.apply(*x, train=True), params, stats, images
  )
  assert logits["primary"].dtype == jnp.float64
  assert all(x.dtype == jnp.float64 for x in jax.tree.leaves(updated))


def test_batch_norm_in_training_and_evaluation():
  """One convolution, so that the first layer's statistics are known."""
  config = _config(name="convnet", widths=(4,), kernels=(3,))
  network = models.make(config, {"primary": 3})
  images = _images(5, 6, 2)
  params, stats = jax.jit(network.init)(jax.random.key(1), images)
  apply = _jitted(network)
  (before,) = stats.values()
  np.testing.assert_array_equal(before["mean"], np.zeros(4))
  np.testing.assert_array_equal(before["var"], np.ones(4))

  maps = jax.lax.conv_general_dilated(
    images,
    params["Conv_0"]["kernel"],
    (1, 1),
    "VALID",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )
  training, updated = apply(params, stats, images, train=True)
  (after,) = updated.values()
  np.testing.assert_allclose(
    after["mean"], 0.1 * maps.mean((0, 1, 2)), rtol=1e-5, atol=1e-7
  )
  np.testing.assert_allclose(
    after["var"], 0.9 + 0.1 * maps.var((0, 1, 2)), rtol=1e-5
  )

  evaluation, untouched = apply(params, stats, images, train=False)
  assert jax.tree.all(jax.tree.map(jnp.array_equal, untouched, stats))
  assert jnp.abs(evaluation["primary"] - training["primary"]).max() > 1e-3
  # Evaluation by the batch's own statistics is what training did.
  exact = {
    name: {"mean": maps.mean((0, 1, 2)), "var": maps.var((0, 1, 2))}
    for name in stats
  }
  same, _ = apply(params, exact, images, train=False)
  np.testing.assert_allclose(
    same["primary"], training["primary"], rtol=1e-4, atol=1e-5
  )


def test_network_without_batch_norm_has_no_statistics():
  network = models.make(_config(name="convnet", batch_norm=False), {"p": 2})
  images = _images(2, 28, 1)
  params, stats = start(network, images)
  assert stats == {}
  apply = _jitted(network)
  trained, updated = apply(params, stats, images, train=True)
  assert updated == {}
  np.testing.assert_array_equal(
    trained["p"], apply(params, stats, images, train=False)[0]["p"]
  )


@pytest.mark.parametrize(
  ("kernel_init", "bound"), [("glorot_uniform", 3**0.5), ("glorot_normal", 2.3)]
)
def test_initial_values(kernel_init, bound):
  config = _config(width=0.25)
  network = models.make(config, {"p": 2}, kernel_init=kernel_init)

  @jax.jit
  def init(key):
    params, _ = network.init(key, _images(1))
    # Other kernels would have to be compiled.
    return params["Conv_9"]["kernel"], [
      (leaf, float(path[-1].key == "scale"))
      for path, leaf in jax.tree_util.tree_leaves_with_path(params)
      if path[-1].key in ("bias", "scale")
    ]

  kernel, others = init(jax.random.key(1))
  deviation = (2 / (9 * (128 + 128))) ** 0.5
  np.testing.assert_allclose(kernel.std(), deviation, rtol=0.01)
  # A uniform draw ends at sqrt(3) deviations; the truncated normal one at 2
  # of its parent, 2.27 of its own.
  assert 0.98 * bound < jnp.abs(kernel).max() / deviation < 1.001 * bound
  for leaf, constant in others:
    assert np.all(np.asarray(leaf) == constant)


def _loss(network, params, stats, images, labels):
  logits, updated = network.apply(params, stats, images, train=True)
  chosen = jnp.take_along_axis(
    jax.nn.log_softmax(logits["primary"]), labels[:, None], axis=1
  )
  return -chosen.mean(), updated


@pytest.mark.parametrize("name", ["vgg16", "convnet"])
def test_four_devices_equal_one(name):
  side, channels = (32, 3) if name == "vgg16" else (28, 1)
  images, labels = _images(8, side, channels), jnp.arange(8) % 3
  lowering = "native" if name == "vgg16" else "fast"  # compiles for less long
  config = _config(name=name, width=1 / 16, lowering=lowering)
  alone = models.make(config, {"primary": 3})
  synced = models.make(config, {"primary": 3}, axis_name="devices")
  params, stats = start(alone, images)

  def value_and_gradient(network, images, labels):
    return jax.value_and_grad(
      lambda p: _loss(network, p, stats, images, labels), has_aux=True
    )(params)

  @jax.jit
  def on_one():
    return value_and_gradient(alone, images, labels)

  def on_each(images, labels):
    return jax.lax.pmean(value_and_gradient(synced, images, labels), "devices")

  split = jax.tree.map(
    lambda x: x.reshape(4, 2, *x.shape[1:]), (images, labels)
  )
  on_four = jax.pmap(on_each, axis_name="devices")(*split)
  for want, got in zip(
    jax.tree.leaves(on_one()), jax.tree.leaves(on_four), strict=True
  ):
    for replica in np.asarray(got):
      np.testing.assert_allclose(replica, want, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize(
  ("changes", "side", "message"),
  [
    ({}, 28, "vgg16.*32x32.*28x28.*model.name=convnet"),
    ({"name": "convnet"}, 8, "8x8 are too small.*4x4.*padding='SAME'"),
    (
      {"name": "convnet", "padding": "SAME", "widths": (2,) * 3},
      8,
      "differ in length",
    ),
    ({"name": "convnet", "padding": "same"}, 8, "model.padding is 'same'"),
    ({"lowering": "quick"}, 32, "model.lowering is 'quick'"),
    (
      {"name": "vgg"},
      32,
      "no model 'vgg'; known: convnet, mlp, .*vgg16, .*'vgg16'",
    ),
    ({"decoder": "deep"}, 32, "model.decoder is 'deep'; use one of hidden, li"),
    ({"dropout": 1.0}, 32, r"model.dropout is 1.0; use a rate in \[0, 1\)"),
    ({"block_dropout": -0.1}, 32, "model.block_dropout is -0.1"),
    ({"kernel_init": "he"}, 32, "'he'; use one of glorot_uniform, glorot_nor"),
    ({"name": "zzz"}, 32, "no model 'zzz'; known: convnet, .* wide_resnet.$"),
  ],
)
def test_wrong_settings(changes, side, message):
  with pytest.raises(UserError, match=message):
    network = models.make(_config(**changes), {"primary": 2})
    _shapes(network, _images(1, side))
