"""WRN-28-2, ResNet-18 and -50: sizes, order of layers, batch norm, init."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import start

from metaaux import models
from metaaux.errors import UserError
from metaaux.methods.arml import rules as weight_rules

HEADS = {"primary": 10, "rotation": 4}


def options(name, **changes):
  wanted = {"kernel_init": "he_fan_out", "lowering": "short", **changes}
  return models.ModelOptions(name, **wanted)


def shapes(name, side=32, heads=HEADS, **changes):
  network = models.make(options(name, **changes), heads)
  images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
  return jax.eval_shape(network.init, jax.random.key(0), images)


@functools.cache
def usual_shapes(name):
  """On images as large as those that the network was made for."""
  return shapes(name, 32 if name == "wide_resnet" else 224)


def noise(*shape):
  return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def count(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


@pytest.mark.parametrize(
  ("name", "backbone", "first_head"),
  [
    ("wide_resnet", 1_466_320, 1_290),
    ("resnet18", 11_176_512, 5_130),
    ("resnet50", 23_508_032, 20_490),
  ],
)
def test_number_of_parameters(name, backbone, first_head):
  params, _ = usual_shapes(name)
  assert count(models.trunk(params)) == backbone
  assert count(params["head_primary"]) == first_head


def test_attribute_and_domain_heads_of_resnet18():
  params, _ = shapes("resnet18", 178, {"primary": 1, "attributes": 39})
  assert count(params) == 11_197_032
  params, _ = shapes("resnet18", 224, {"primary": 7})
  assert count(params) == 11_180_103


@pytest.mark.parametrize(
  ("name", "shape"),
  [
    ("wide_resnet", (3, 3, 128, 128)),
    ("resnet18", (3, 3, 512, 512)),
    ("resnet50", (1, 1, 512, 2048)),
  ],
)
def test_last_layer_is_the_last_convolution(name, shape):
  params, _ = usual_shapes(name)
  marked = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), params)
  kernel, put = weight_rules.last_layer(models.trunk(marked))
  assert kernel.shape == shape
  changed = put(kernel + 1)
  (touched,) = [
    module
    for module, leaves in changed.items()
    if any((x == 1).any() for x in jax.tree.leaves(leaves))
  ]
  last = {
    "wide_resnet": "stage_3_block_4_conv_2",
    "resnet18": "stage_4_block_2_conv_2",
    "resnet50": "stage_4_block_3_conv_3",
  }
  assert touched == last[name]


# ResNet-18 lies between: blocks of two layers, the rest as of ResNet-50; its
# training is a part of the tests of the configs too.
@pytest.mark.parametrize(
  "name",
  [
    "wide_resnet",
    pytest.param("resnet18", marks=pytest.mark.long),
    "resnet50",
  ],
)
def test_trains_and_predicts(name):
  network = models.make(options(name, width=0.125, depth=10), HEADS)
  images = noise(8, 16, 16, 3)
  params, stats = start(network, images)

  @jax.jit
  @functools.partial(jax.grad, has_aux=True)
  def gradient(params):
    logits, new = network.apply(params, stats, images, train=True)
    return (logits["primary"] ** 2).mean(), new

  grads, new = gradient(params)
  assert all(bool((g != 0).any()) for g in jax.tree.leaves(models.trunk(grads)))
  assert all(
    bool((a != b).any())
    for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(stats), strict=True)
  )
  # In evaluation mode an image does not depend on its batch.
  predict = jax.jit(functools.partial(network.apply, train=False))
  others = np.concatenate([images[:1], 3 - images[1:]])
  one, other = (predict(params, new, x)[0]["primary"] for x in (images, others))
  np.testing.assert_allclose(one[0], other[0], rtol=1e-4, atol=1e-5)
  assert not np.allclose(one[1], other[1], rtol=1e-4, atol=1e-5)


def test_order_of_layers_in_a_wide_resnet(x64):
  """Against the same network written down layer by layer."""
  network = models.make(options("wide_resnet", width=0.25, depth=16), HEADS)
  images = noise(4, 12, 12, 3).astype(np.float64)
  params, stats = start(network, images, np.float64)

  def convolve(params, x, name, stride=1):
    kernel = params[name]["kernel"]
    pad = [(kernel.shape[0] // 2,) * 2] * 2
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
      x, kernel, (stride, stride), pad, dimension_numbers=layout
    )

  def activate(x):
    x = (x - x.mean((0, 1, 2), keepdims=True)) / jnp.sqrt(
      x.var((0, 1, 2), keepdims=True) + 1e-3
    )
    return jnp.where(x > 0, x, 0.1 * x)

  @jax.jit
  def by_hand(params, images):
    use = functools.partial(convolve, params)
    x = use(images, "conv_stem")
    for stage, stride in ((1, 1), (2, 2), (3, 2)):
      first = f"stage_{stage}_block_1"
      y = activate(x)
      shortcut = use(y if stage == 1 else x, f"{first}_shortcut", stride)
      y = use(y, f"{first}_conv_1", stride)
      x = shortcut + use(activate(y), f"{first}_conv_2")
      second = f"stage_{stage}_block_2"
      y = use(activate(x), f"{second}_conv_1")
      x = x + use(activate(y), f"{second}_conv_2")
    return activate(x).mean((1, 2))

  features = by_hand(params, images)
  apply = jax.jit(functools.partial(network.apply, train=True))
  found, _ = apply(params, stats, images)
  for name in HEADS:
    dense = params[f"head_{name}"]["Dense_0"]
    np.testing.assert_allclose(
      found[name], features @ dense["kernel"], rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(("momentum", "epsilon"), [(0.999, 1e-3), (0.9, 1e-5)])
def test_running_statistics_of_a_wide_resnet(momentum, epsilon):
  norm = {"norm_momentum": momentum, "norm_epsilon": epsilon}
  network = models.make(
    options("wide_resnet", width=0.125, depth=10, **norm), HEADS
  )
  images = noise(8, 16, 16, 3)
  params, stats = start(network, images)

  @jax.jit
  def updated(params, stats):
    # The rest of the network is not compiled, as nothing of it is needed.
    _, new = network.apply(params, stats, images, train=True)
    return new["stage_1_block_1_norm_1"]

  maps = jax.lax.conv_general_dilated(
    images,
    params["conv_stem"]["kernel"],
    (1, 1),
    "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )
  found = updated(params, stats)
  wanted = momentum + (1 - momentum) * maps.var((0, 1, 2))
  np.testing.assert_allclose(found["var"], wanted, rtol=1e-5)


def test_fan_out_initial_values():
  network = models.make(options("wide_resnet", depth=10), HEADS)

  @jax.jit
  def layer(key):
    params, _ = network.init(key, jnp.zeros((1, 32, 32, 3)))
    return params["stage_3_block_1_conv_1"]  # 64 to 128 channels

  found = layer(jax.random.key(0))
  deviation = (2 / (9 * 128)) ** 0.5
  np.testing.assert_allclose(found["kernel"].std(), deviation, rtol=0.02)
  assert "bias" not in found


@pytest.mark.parametrize(
  ("name", "changes", "match"),
  [
    ("wide_resnet", {"depth": 12}, "depth=12.*use 10"),
    ("wide_resnet", {"block_dropout": 0.5}, "block_dropout=0.5.*set it to 0"),
    ("resnet18", {"stem": "large"}, "stem='large'"),
  ],
)
def test_wrong_options(name, changes, match):
  with pytest.raises(UserError, match=match):
    shapes(name, **changes)


@pytest.mark.parametrize(
  ("side", "stem", "kernel"),
  [(32, "auto", 3), (64, "auto", 7), (32, "imagenet", 7), (64, "small", 3)],
)
def test_stem_follows_the_size_of_images(side, stem, kernel):
  params, _ = shapes("resnet18", side, stem=stem)
  assert params["conv_stem"]["kernel"].shape[0] == kernel
