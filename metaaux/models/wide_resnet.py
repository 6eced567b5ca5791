"""The wide residual network of semi-supervised learning, WRN-28-2."""

from collections.abc import Mapping

import jax
from flax import linen as nn

from metaaux.errors import UserError
from metaaux.models import heads, layers

Array = jax.Array

STEM = 16
STAGES = ((32, 1), (64, 2), (128, 2))  # channels and stride
_SLOPE = 0.1


class WideResNet(nn.Module):
  """Zagoruyko & Komodakis 2016, as Oliver et al. 2018 and ARML have it.

  Pre-activation blocks without biases and leaky ReLU of slope 0.1.

  Attributes:
    heads: number of classes by head; no hidden layer.
    depth: 6 n + 4, for n blocks a stage.
    width: multiplies the channels 16, 32, 64 and 128.
    norm_momentum: share of the old in the new running statistics of batch norm.
    norm_epsilon: of batch norm, added to the variance.
    dropout: rate, of the features.
    lowering: see `layers.convolution`.
    axis_name: devices over which batch statistics are averaged.
  """

  heads: Mapping[str, int]
  depth: int
  width: float
  norm_momentum: float
  norm_epsilon: float
  dropout: float
  lowering: str
  axis_name: str | None

  @nn.compact
  def __call__(
    self, images_BxHxWxC: Array, train: bool, key: Array | None = None
  ) -> dict[str, Array]:
    """Logits [B, n] by head; dropout where there is a key.

    Raises:
      UserError: there is no network of this depth.
    """
    if self.depth < 10 or (self.depth - 4) % 6:
      raise UserError(
        f"model.depth={self.depth}: a wide ResNet has 6 n + 4 layers; use 10, "
        "16, 22 or 28"
      )
    x = self._convolution(self._scaled(STEM), 3, 1, "conv_stem")(images_BxHxWxC)
    for stage, (channels, stride) in enumerate(STAGES, start=1):
      for block in range(1, (self.depth - 4) // 6 + 1):
        name = f"stage_{stage}_block_{block}"
        x = self._block(
          x, self._scaled(channels), stride if block == 1 else 1, train, name
        )
    x = self._activated(x, train, "stage_4_norm")
    features_BxD = layers.dropout(x.mean(axis=(1, 2)), self.dropout, key, 0)
    return heads.apply_heads(features_BxD, self.heads, 0, "hidden")

  def _scaled(self, channels: int) -> int:
    return layers.scaled(channels, self.width)

  def _convolution(
    self, channels: int, side: int, stride: int, name: str
  ) -> nn.Conv:
    return layers.centred(channels, side, stride, self.lowering, name)

  def _activated(self, x: Array, train: bool, name: str) -> Array:
    norm = layers.batch_norm(
      train,
      self.axis_name,
      momentum=self.norm_momentum,
      epsilon=self.norm_epsilon,
      name=name,
    )
    return nn.leaky_relu(norm(x), _SLOPE)

  def _block(
    self, x: Array, channels: int, stride: int, train: bool, name: str
  ) -> Array:
    """Two convolutions and a shortcut, which the first block activates too."""
    activated = self._activated(x, train, f"{name}_norm_1")
    y = self._convolution(channels, 3, stride, f"{name}_conv_1")(activated)
    y = self._activated(y, train, f"{name}_norm_2")
    y = self._convolution(channels, 3, 1, f"{name}_conv_2")(y)
    if x.shape[-1] != channels or stride != 1:
      first = name == "stage_1_block_1"
      x = self._convolution(channels, 1, stride, f"{name}_shortcut")(
        activated if first else x
      )
    return x + y
