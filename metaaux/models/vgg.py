"""VGG-16 with batch normalisation, as MAXL uses it (Liu et al. 2019)."""

from collections.abc import Mapping

import jax
from flax import linen as nn

from metaaux.errors import UserError
from metaaux.models import heads, layers

Array = jax.Array

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
HIDDEN = 512
SMALLEST_SIDE = 2 ** len(STAGES)


class VGG16(nn.Module):
  """Five stages of 3x3 convolutions, batch norm, ReLU and 2x2 max-pooling.

  Images of 32x32 end as one vector; of larger ones the mean over the remaining
  positions is taken.

  Attributes:
    heads: number of classes by head.
    width: factor of all channel counts, 1.0 for the published network.
    decoder: where the hidden layer is, see `heads.apply_heads`.
    dropout: rate, of the flattened features.
    block_dropout: rate, after each pooling.
    lowering: see `layers.convolution`.
    axis_name: devices over which batch statistics are averaged.
  """

  heads: Mapping[str, int]
  width: float
  decoder: str
  dropout: float
  block_dropout: float
  lowering: str
  axis_name: str | None

  @nn.compact
  def __call__(
    self, images_BxHxWxC: Array, train: bool, key: Array | None = None
  ) -> dict[str, Array]:
    """Logits [B, n] by head; dropout where there is a key.

    Raises:
      UserError: an image is smaller than 32x32.
    """
    _check_side(images_BxHxWxC.shape)
    x = images_BxHxWxC
    for stage, (channels, depth) in enumerate(STAGES, start=1):
      for layer in range(depth):
        x = self._convolve(x, self._scaled(channels), train)
        # Pooling first leaves a quarter of the work to the ReLU; the two
        # commute.
        x = layers.max_pool_2x2(x) if layer == depth - 1 else x
        x = nn.relu(x)
      x = layers.dropout(x, self.block_dropout, key, stage)
    features_BxD = layers.dropout(x.mean(axis=(1, 2)), self.dropout, key, 0)
    return heads.apply_heads(
      features_BxD, self.heads, self._scaled(HIDDEN), self.decoder
    )

  def _scaled(self, channels: int) -> int:
    return layers.scaled(channels, self.width)

  def _convolve(self, x: Array, channels: int, train: bool) -> Array:
    x = nn.Conv(
      channels,
      (3, 3),
      conv_general_dilated=layers.convolution(self.lowering),
    )(x)
    return layers.batch_norm(train, self.axis_name)(x)


def _check_side(shape: tuple[int, ...]) -> None:
  height, width = shape[1:3]
  if min(height, width) < SMALLEST_SIDE:
    raise UserError(
      f"model.name=vgg16 pools {len(STAGES)} times and needs images of at "
      f"least {SMALLEST_SIDE}x{SMALLEST_SIDE}, these are {height}x{width}; "
      "use model.name=convnet."
    )
