"""ResNet-18."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from metaaux.errors import UserError
from metaaux.models import heads, layers

Array = jax.Array

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels and stride
STEMS = ("auto", "imagenet", "small")
# From this side on, "auto" takes the stem of ImageNet, which keeps a quarter.
_LARGE = 64


class ResNet18(nn.Module):
  """He et al. 2016, two basic blocks in each of four stages.

  Attributes:
    heads: number of classes by head; no hidden layer.
    width: multiplies the channels 64 .. 512.
    stem: "imagenet": 7x7 with stride 2 and 3x3 pooling with stride 2; "small":
      3x3; "auto": "imagenet" for images from 64x64 on.
    dropout: rate, of the features.
    lowering: see `layers.convolution`.
    axis_name: devices over which batch statistics are averaged.
  """

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
    for stage, (channels, stride) in enumerate(STAGES, start=1):
      for block in (1, 2):
        name = f"stage_{stage}_block_{block}"
        x = self._block(
          x, self._scaled(channels), stride if block == 1 else 1, train, name
        )
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
    if x.shape[-1] != channels or stride != 1:
      x = self._convolution(channels, 1, stride, f"{name}_shortcut")(x)
      x = self._norm(x, train, f"{name}_shortcut_norm")
    return nn.relu(jnp.add(x, y))
