"""A small convolutional network for small images."""

from collections.abc import Mapping

import jax
from flax import linen as nn

from metaaux.errors import UserError
from metaaux.models import heads, layers

Array = jax.Array


class ConvNet(nn.Module):
  """Convolution, 2x2 max-pooling and ReLU, repeated; then the dense heads.

  Attributes:
    heads: number of classes by head.
    widths: output channels of each convolution.
    kernels: side of each convolution's kernel.
    padding: "SAME" or "VALID".
    hidden: width of the hidden layer; 0: none.
    batch_norm: whether batch norm follows each convolution.
    decoder: where the hidden layer is, see `heads.apply_heads`.
    dropout: rate, of the flattened features.
    block_dropout: rate, after each pooling.
    lowering: see `layers.convolution`.
    axis_name: devices over which batch statistics are averaged.
  """

  heads: Mapping[str, int]
  widths: tuple[int, ...]
  kernels: tuple[int, ...]
  padding: str
  hidden: int
  batch_norm: bool
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
      UserError: a map becomes too small for the next layer.
    """
    x = images_BxHxWxC
    blocks = zip(self.widths, self.kernels, strict=True)
    for block, (channels, kernel) in enumerate(blocks, start=1):
      self._check_side(x.shape, images_BxHxWxC.shape, kernel)
      x = nn.Conv(
        channels,
        (kernel, kernel),
        padding=self.padding,
        conv_general_dilated=layers.convolution(self.lowering),
      )(self._without_unused(x, kernel))
      if self.batch_norm:
        x = layers.batch_norm(train, self.axis_name)(x)
      # Pooling first leaves a quarter of the work to the ReLU; they commute.
      x = nn.relu(layers.max_pool_2x2(x))
      x = layers.dropout(x, self.block_dropout, key, block)
    features_BxD = layers.dropout(
      x.reshape(x.shape[0], -1), self.dropout, key, 0
    )
    return heads.apply_heads(
      features_BxD, self.heads, self.hidden, self.decoder
    )

  def _without_unused(self, x: Array, kernel: int) -> Array:
    """Drops what reaches only the odd last row or column, which pooling drops.

    Batch statistics need those too.
    """
    if self.padding == "SAME" or self.batch_norm:
      return x
    high, wide = (
      (side - kernel + 1) // 2 * 2 + kernel - 1 for side in x.shape[1:3]
    )
    return x[:, :high, :wide]

  def _check_side(
    self, shape: tuple[int, ...], images: tuple[int, ...], kernel: int
  ) -> None:
    side = min(shape[1:3])
    convolved = side if self.padding == "SAME" else side - kernel + 1
    if convolved < 2:
      raise UserError(
        f"images of {images[1]}x{images[2]} are too small for "
        f"model.widths={self.widths}, model.kernels={self.kernels}, "
        f"model.padding={self.padding!r}: a map of {shape[1]}x{shape[2]} "
        f"cannot pass a {kernel}x{kernel} convolution and 2x2 pooling; use "
        "fewer layers, smaller kernels or padding='SAME'."
      )
