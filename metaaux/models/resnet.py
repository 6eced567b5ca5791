"""ResNet-18 and ResNet-50."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from metaaux.errors import UserError
from metaaux.models import heads, layers

Array = jax.Array

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels and stride
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
# How many times the channels of a stage a bottleneck block puts out.
_EXPANSION = 4
STEMS = ("auto", "imagenet", "small")
# From this side on, "auto" takes the stem of ImageNet, which keeps a quarter.
_LARGE = 64


class ResNet(nn.Module):
  """He et al. 2016, table 1: basic blocks, from 50 layers on bottlenecks.

  A bottleneck has its stride at the 3x3 convolution, as all newer code has it
  and the paper has not.

  Attributes:
    depth: 18 or 50.
    heads: number of classes by head; no hidden layer.
    width: multiplies the channels 64 .. 512.
    stem: "imagenet": 7x7 with stride 2 and 3x3 pooling with stride 2; "small":
      3x3; "auto": "imagenet" for images from 64x64 on.
    dropout: rate, of the features.
    lowering: see `layers.convolution`.
    axis_name: devices over which batch statistics are averaged.
  """

  depth: int
  heads: Mapping[str, int]
  width: float
  stem: str
  dropout: float
  lowering: str
  axis_name: str | None

  @nn.compact
  def __call__(
    self, images_BxHxWxC: Array, train: bool, key: Array | None = None
  ) -> dict[str, Array]:
    """Logits [B, n] by head; dropout where there is a key.

    Raises:
      UserError: the stem is unknown.
    """
    x = self._stem(images_BxHxWxC, train)
    make = self._bottleneck if self.depth >= 50 else self._block
    for stage, (channels, stride) in enumerate(STAGES):
      for block in range(BLOCKS[self.depth][stage]):
        name = f"stage_{stage + 1}_block_{block + 1}"
        own = stride if block == 0 else 1
        x = make(x, self._scaled(channels), own, train, name)
    features_BxD = layers.dropout(x.mean(axis=(1, 2)), self.dropout, key, 0)
    return heads.apply_heads(features_BxD, self.heads, 0, "hidden")

  def _scaled(self, channels: int) -> int:
    return layers.scaled(channels, self.width)

  def _stem(self, images: Array, train: bool) -> Array:
    if self.stem not in STEMS:
      raise UserError(
        f"model.stem={self.stem!r} is unknown; use one of {', '.join(STEMS)}"
      )
    large = self.stem == "imagenet" or (
      self.stem == "auto" and min(images.shape[1:3]) >= _LARGE
    )
    side, stride = (7, 2) if large else (3, 1)
    x = self._convolution(self._scaled(64), side, stride, "conv_stem")(images)
    x = nn.relu(self._norm(x, train, "conv_stem_norm"))
    if not large:
      return x
    padding = ((1, 1), (1, 1))
    return nn.max_pool(x, (3, 3), (2, 2), padding)

  def _convolution(
    self, channels: int, side: int, stride: int, name: str
  ) -> nn.Conv:
    return layers.centred(channels, side, stride, self.lowering, name)

  def _norm(self, x: Array, train: bool, name: str) -> Array:
    return layers.batch_norm(train, self.axis_name, name=name)(x)

  def _block(
    self, x: Array, channels: int, stride: int, train: bool, name: str
  ) -> Array:
    y = self._convolution(channels, 3, stride, f"{name}_conv_1")(x)
    y = nn.relu(self._norm(y, train, f"{name}_norm_1"))
    y = self._convolution(channels, 3, 1, f"{name}_conv_2")(y)
    y = self._norm(y, train, f"{name}_norm_2")
    return self._joined(x, y, stride, train, name)

  def _bottleneck(
    self, x: Array, channels: int, stride: int, train: bool, name: str
  ) -> Array:
    wide = channels * _EXPANSION
    y = self._convolution(channels, 1, 1, f"{name}_conv_1")(x)
    y = nn.relu(self._norm(y, train, f"{name}_norm_1"))
    y = self._convolution(channels, 3, stride, f"{name}_conv_2")(y)
    y = nn.relu(self._norm(y, train, f"{name}_norm_2"))
    y = self._convolution(wide, 1, 1, f"{name}_conv_3")(y)
    y = self._norm(y, train, f"{name}_norm_3")
    return self._joined(x, y, stride, train, name)

  def _joined(
    self, x: Array, y: Array, stride: int, train: bool, name: str
  ) -> Array:
    """The sum of input and output, whose shapes a convolution makes equal."""
    if x.shape != y.shape:
      x = self._convolution(y.shape[-1], 1, stride, f"{name}_shortcut")(x)
      x = self._norm(x, train, f"{name}_shortcut_norm")
    return nn.relu(jnp.add(x, y))
