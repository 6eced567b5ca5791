"""ResNet-18 (He et al. 2016), with a stem for large or for small images."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from metaaux.models import heads, layers

Array = jax.Array

# Channels of each stage, which has two blocks of two convolutions.
STAGES = (64, 128, 256, 512)
BLOCKS = 2
STEMS = ("auto", "imagenet", "cifar")
# Of images below this side the stem for large ones leaves too little.
_SMALL_SIDE = 64


class ResNet18(nn.Module):
  """A stem, four stages of two blocks, the mean over positions, the heads.

  Names sort in the order of depth: conv_0, stage_1/block_1/conv_1, ...

  Attributes:
    heads: number of classes by head.
    width: factor of all channel counts, 1.0 for the published network.
    stem: "imagenet", a 7x7 convolution and a 3x3 max-pooling, both of stride 2;
      "cifar", a 3x3 convolution; "auto", the latter below 64 pixels.
    decoder: see `heads.apply_heads`; the heads have no hidden layer.
    dropout: rate, of the features.
    block_dropout: rate, after each stage.
    lowering: see `layers.convolution`.
    axis_name: devices over which batch statistics are averaged.
  """

  heads: Mapping[str, int]
  width: float
  stem: str
  decoder: str
  dropout: float
  block_dropout: float
  lowering: str
  axis_name: str | None

  @nn.compact
  def __call__(
    self, images_BxHxWxC: Array, train: bool, key: Array | None = None
  ) -> dict[str, Array]:
    """Logits [B, n] by head; dropout where there is a key."""
    x = self._begin(images_BxHxWxC, train)
    for stage, channels in enumerate(STAGES, start=1):
      x = Stage(
        scaled(channels, self.width),
        1 if stage == 1 else 2,
        self.lowering,
        self.axis_name,
        name=f"stage_{stage}",
      )(x, train)
      x = layers.dropout(x, self.block_dropout, key, stage)
    features_BxD = layers.dropout(x.mean(axis=(1, 2)), self.dropout, key, 0)
    return heads.apply_heads(features_BxD, self.heads, 0, self.decoder)

  def _begin(self, x: Array, train: bool) -> Array:
    """The stem."""
    small = min(x.shape[1:3]) < _SMALL_SIDE
    is_small = self.stem == "cifar" or (self.stem == "auto" and small)
    kernel, stride = (3, 1) if is_small else (7, 2)
    channels = scaled(STAGES[0], self.width)
    x = convolution(channels, kernel, stride, self.lowering, "conv_0")(x)
    x = nn.relu(layers.batch_norm(train, self.axis_name, "norm_0")(x))
    return x if is_small else max_pool_3x3(x)


class Stage(nn.Module):
  """Two blocks, the first with the stage's stride."""

  channels: int
  stride: int
  lowering: str
  axis_name: str | None

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """[B, H, W, C] -> [B, H / stride, W / stride, channels]."""
    for block in range(1, BLOCKS + 1):
      x = Block(
        self.channels,
        self.stride if block == 1 else 1,
        self.lowering,
        self.axis_name,
        name=f"block_{block}",
      )(x, train)
    return x


class Block(nn.Module):
  """Two 3x3 convolutions and the input, by a 1x1 one if its shape differs."""

  channels: int
  stride: int
  lowering: str
  axis_name: str | None

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """[B, H, W, C] -> [B, H / stride, W / stride, channels]."""
    around = x
    if self.stride > 1 or x.shape[-1] != self.channels:
      around = self._convolve(x, 1, self.stride, "shortcut", train)
    x = nn.relu(self._convolve(x, 3, self.stride, "1", train))
    return nn.relu(self._convolve(x, 3, 1, "2", train) + around)

  def _convolve(
    self, x: Array, kernel: int, stride: int, name: str, train: bool
  ) -> Array:
    x = convolution(
      self.channels, kernel, stride, self.lowering, f"conv_{name}"
    )(x)
    return layers.batch_norm(train, self.axis_name, f"norm_{name}")(x)


def convolution(
  channels: int, kernel: int, stride: int, lowering: str, name: str
) -> nn.Conv:
  """Without bias, padded by half the kernel on each side as PyTorch does.

  Note: "SAME" is the same for stride 1 alone; at stride 2 it would pad an even
  map on the right only.
  """
  border = (kernel // 2, kernel // 2)
  return nn.Conv(
    channels,
    (kernel, kernel),
    strides=(stride, stride),
    padding="SAME" if stride == 1 else (border, border),
    use_bias=False,
    conv_general_dilated=layers.convolution(lowering),
    name=name,
  )


def max_pool_3x3(x_BxHxWxC: Array) -> Array:
  """Maximum over 3x3 windows, stride 2, with a border of one.

  Note: by rows, then by columns, as maxima of strided views, since the gradient
  of the windowed form is slow on a CPU (see `layers.max_pool_2x2`).

  Returns:
    [B, (H + 1) // 2, (W + 1) // 2, C].
  """
  low = -jnp.inf
  x = jnp.pad(x_BxHxWxC, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=low)
  height, width = ((side + 1) // 2 for side in x_BxHxWxC.shape[1:3])
  rows = [x[:, i : i + 2 * height - 1 : 2] for i in range(3)]
  x = jnp.maximum(jnp.maximum(rows[0], rows[1]), rows[2])
  columns = [x[:, :, i : i + 2 * width - 1 : 2] for i in range(3)]
  return jnp.maximum(jnp.maximum(columns[0], columns[1]), columns[2])


def scaled(channels: int, width: float) -> int:
  """A channel count times the width, at least 1."""
  return max(1, int(channels * width))
