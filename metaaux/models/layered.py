"""A network as a list of layers, for methods that reach between them.

Convolution, ReLU and 2x2 pooling, repeated; hidden dense layers; logits. The
network of Feng & Chen, figure 1, as pure functions over a tree that
`damtl.masks` and `optax` understand.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux.errors import UserError
from metaaux.models import layers
from metaaux.models.options import ModelOptions

Array = jax.Array
Key = jax.Array
Tree = Any


# Options that this network has one value of.
_FIXED = {
  "name": "convnet",
  "kernels": 3,
  "padding": "SAME",
  "batch_norm": False,
  "decoder": "hidden",
}
_INITIAL = {
  "glorot_uniform": jax.nn.initializers.glorot_uniform,
  "glorot_normal": jax.nn.initializers.glorot_normal,
  "he_normal": jax.nn.initializers.he_normal,
}


class Staged(NamedTuple):
  """Sizes of the network.

  Attributes:
    widths: channels of each convolution, 3x3.
    hidden: widths of the hidden dense layers.
    lowering: see `layers.convolution`.
    kernel_init: of all layers but the logits.
  """

  widths: tuple[int, ...]
  hidden: tuple[int, ...]
  lowering: str
  kernel_init: str

  @property
  def num_convolutions(self) -> int:
    """L."""
    return len(self.widths)

  @property
  def num_dense(self) -> int:
    """H, that of the logits included."""
    return len(self.hidden) + 1


def make(options: ModelOptions) -> Staged:
  """The network of these options.

  Args:
    options: `widths`, times `width`; `hidden`, of two dense layers; `lowering`,
      `kernel_init`. What else they say of a ConvNet must be what this one is.

  Raises:
    UserError: they ask for another network.
  """
  for key, value in _FIXED.items():
    given = getattr(options, key)
    if key == "kernels":
      value, given = 3, next((k for k in given if k != 3), 3)
    if given != value:
      raise UserError(
        f"model.{key}={getattr(options, key)!r}, but methods for several tasks "
        f"have networks with {key}={value!r} only; set it to that"
      )
  widths = tuple(layers.scaled(w, options.width) for w in options.widths)
  hidden = layers.scaled(options.hidden, options.width)
  if options.kernel_init not in _INITIAL:
    raise UserError(
      f"model.kernel_init={options.kernel_init!r}, but methods for several "
      f"tasks know {', '.join(_INITIAL)}; use one of them"
    )
  return Staged(widths, (hidden, hidden), options.lowering, options.kernel_init)


def init(net: Staged, key: Key, image: Array, num_classes: int) -> Tree:
  """Random parameters: LeCun-normal logits, zero biases.

  Args:
    net: sizes.
    key: a typed key; a layer's draw does not depend on `num_classes`.
    image: one image or a batch, whose last three axes are read.
    num_classes: of the logits.

  Raises:
    UserError: the images are too small.
  """
  height, width, channels = image.shape[-3:]
  params: dict[str, Tree] = {}
  initial = _INITIAL[net.kernel_init]()
  for i, out in enumerate(net.widths):
    if min(height, width) < 2:
      raise UserError(
        f"images of {image.shape[-3]}x{image.shape[-2]} are too small for "
        f"{len(net.widths)} poolings; shorten model.widths"
      )
    kernel = initial(jax.random.fold_in(key, i), (3, 3, channels, out))
    params[f"conv_{i}"] = {"kernel": kernel, "bias": jnp.zeros(out)}
    height, width, channels = height // 2, width // 2, out
  size = height * width * channels
  for h, out in enumerate((*net.hidden, num_classes)):
    draw = (
      initial if h < len(net.hidden) else jax.nn.initializers.lecun_normal()
    )
    kernel = draw(jax.random.fold_in(key, 100 + h), (size, out))
    params[f"dense_{h}"] = {"kernel": kernel, "bias": jnp.zeros(out)}
    size = out
  return params


def convolve(net: Staged, layer: Tree, x: Array) -> Array:
  """One stage: 3x3 convolution, ReLU, 2x2 pooling."""
  convolution = layers.convolution(net.lowering)
  y = convolution(
    x,
    layer["kernel"],
    (1, 1),
    "SAME",
    dimension_numbers=jax.lax.ConvDimensionNumbers(
      (0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)
    ),
  )
  # Pooling first leaves a quarter of the work to the ReLU; they commute.
  y = layers.max_pool_2x2(y + layer["bias"][None, None, None])
  return jax.nn.relu(y)


def dense(layer: Tree, x: Array) -> Array:
  """An affine layer, [B, n] to [B, m]."""
  return x @ layer["kernel"] + layer["bias"][None]


def features(net: Staged, params: Tree, images: Array) -> Array:
  """O^0: the flattened features of the last convolution, [B, p]."""
  x = images
  for i in range(net.num_convolutions):
    x = convolve(net, params[f"conv_{i}"], x)
  return x.reshape(len(x), -1)


def classify(
  net: Staged, params: Tree, features_BxP: Array
) -> tuple[Array, Sequence[Array]]:
  """Logits, and the inputs O^0, O^1, ... of every dense layer."""
  inputs = [features_BxP]
  for h in range(net.num_dense - 1):
    inputs.append(jax.nn.relu(dense(params[f"dense_{h}"], inputs[-1])))
  return dense(params[f"dense_{net.num_dense - 1}"], inputs[-1]), inputs


def apply(net: Staged, params: Tree, images: Array) -> Array:
  """Logits [B, n] of images [B, H, W, C]."""
  return classify(net, params, features(net, params, images))[0]


def with_kernels_of(params: Tree, old: Tree) -> Tree:
  """The parameters with the convolution kernels of `old`."""
  return {
    name: {**layer, "kernel": old[name]["kernel"]}
    if name.startswith("conv_")
    else layer
    for name, layer in params.items()
  }


def with_common_kernels(networks: Sequence[Tree]) -> tuple[Tree, ...]:
  """Networks that all have the kernels of the first."""
  return tuple(with_kernels_of(one, networks[0]) for one in networks)


def tied(grads: Sequence[Tree]) -> tuple[Tree, ...]:
  """Gradients of several networks with kernels in common: these are summed.

  Networks that start with the same kernels and take steps by the result keep
  them the same.
  """
  total = jax.tree.map(lambda *leaves: sum(leaves), *map(_kernels, grads))
  return tuple(with_kernels_of(one, total) for one in grads)


def _kernels(params: Tree) -> Tree:
  return {
    name: {"kernel": layer["kernel"]}
    for name, layer in params.items()
    if name.startswith("conv_")
  }
