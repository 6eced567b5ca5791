"""The networks of ACAI: encoder, decoder, and a critic that is an encoder.

Berthelot, Raffel, Roy & Goodfellow 2019 (arXiv:1807.07543), as their code has
it: leaky ReLU of slope 0.2, no normalisation, 2x2 average pooling on the way
down and nearest-neighbour upsampling on the way up.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from metaaux.models import layers

Array = jax.Array
Key = jax.Array
Params = Any

_SLOPE = 0.2


class Encoder(nn.Module):
  """Images [B, H, W, C] -> latents [B, H / 2^S, W / 2^S, c].

  Attributes:
    width: w, channels at full size; each halving but the first doubles them.
    num_scales: S, halvings; 2^S must divide H and W.
    channels: c.
    lowering: see `layers.convolution`.
  """

  width: int
  num_scales: int
  channels: int
  lowering: str

  @nn.compact
  def __call__(self, images_BxHxWxC: Array) -> Array:
    """Latents, not squashed."""
    conv = functools.partial(_conv, self.lowering)
    x = conv(self.width, 1)(images_BxHxWxC)
    for scale in range(self.num_scales):
      for _ in range(2):
        x = _activate(conv(self.width << scale, 3)(x))
      x = average_pool_2x2(x)
    x = _activate(conv(self.width << self.num_scales, 3)(x))
    return conv(self.channels, 3)(x)


class Decoder(nn.Module):
  """Latents [B, h, w, c] -> images [B, h 2^S, w 2^S, C]; see `Encoder`."""

  width: int
  num_scales: int
  channels: int
  lowering: str

  @nn.compact
  def __call__(self, latents_BxHxWxC: Array) -> Array:
    """Images, not squashed."""
    conv = functools.partial(_conv, self.lowering)
    x = latents_BxHxWxC
    for scale in reversed(range(self.num_scales)):
      for _ in range(2):
        x = _activate(conv(self.width << scale, 3)(x))
      x = upsample_2x2(x)
    x = _activate(conv(self.width, 3)(x))
    return conv(self.channels, 3)(x)


def average_pool_2x2(x_BxHxWxC: Array) -> Array:
  """Mean over 2x2 windows, stride 2; H and W are even."""
  batch, height, width, channels = x_BxHxWxC.shape
  # XLA's windowed sum is slow on a CPU, its gradient above all.
  x = x_BxHxWxC.reshape(batch, height // 2, 2, width // 2, 2, channels)
  return x.mean(axis=(2, 4))


def upsample_2x2(x_BxHxWxC: Array) -> Array:
  """Each pixel four times: [B, 2 H, 2 W, C]."""
  batch, height, width, channels = x_BxHxWxC.shape
  x = x_BxHxWxC[:, :, None, :, None, :]
  x = jnp.broadcast_to(x, (batch, height, 2, width, 2, channels))
  return x.reshape(batch, 2 * height, 2 * width, channels)


def init(module: nn.Module, key: Key, inputs: Any) -> Params:
  """Initial parameters: kernels normal, biases 0.

  Kernels have standard deviation 1 / sqrt((1 + 0.2^2) fan in), as the code of
  the paper has it.

  Note: one draw serves all kernels, because XLA compiles a draw anew for each
  shape.

  Args:
    module: an `Encoder` or a `Decoder`.
    key: a typed key.
    inputs: an array, or a `jax.ShapeDtypeStruct`, of the module's input.
  """
  # The form of the convolutions has no effect on shapes.
  plain = module.clone(lowering="native")
  wanted = jax.eval_shape(plain.init, jax.random.key(0), inputs)["params"]
  leaves, structure = jax.tree.flatten(wanted)
  draw = jax.random.normal(key, (sum(leaf.size for leaf in leaves),))
  values, used = [], 0
  for leaf in leaves:
    if leaf.ndim == 1:
      values.append(jnp.zeros(leaf.shape, leaf.dtype))
      continue
    deviation = 1 / math.sqrt((1 + _SLOPE**2) * math.prod(leaf.shape[:-1]))
    part = draw[used : used + leaf.size].reshape(leaf.shape)
    values.append((deviation * part).astype(leaf.dtype))
    used += leaf.size
  return jax.tree.unflatten(structure, values)


def _conv(lowering: str, channels: int, side: int) -> nn.Conv:
  return nn.Conv(
    channels,
    (side, side),
    conv_general_dilated=layers.convolution(lowering),
  )


_activate: Callable[[Array], Array] = functools.partial(
  nn.leaky_relu, negative_slope=_SLOPE
)
