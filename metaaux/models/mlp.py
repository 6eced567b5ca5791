"""Dense layers for vectors, such as the features of a pretrained network."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from metaaux.models import heads, layers

Array = jax.Array

FORMS = ("relu", "linear", "residual")

# Of dropout's draws; those of the layers follow from 1 on.
_INPUT = 0


class MLP(nn.Module):
  """Dense, ReLU, repeated, then one linear layer for each head.

  Images are flattened. Rows can be scaled to one length where they come in and
  where the heads read them, so that the size of features does not matter.

  Attributes:
    heads: number of classes by head.
    widths: units of each hidden layer; (): heads read the input.
    form: "relu"; "linear": no ReLU between the layers, a linear adapter; or
      "residual": the input plus a linear layer of the hidden ones, an adapter
      that starts near the identity where that layer starts small.
    layer_norm: whether layer norm follows each hidden layer, before its ReLU.
    input_norm: length to which rows are scaled at first; 0: they stay.
    output_norm: the same of what the heads read.
    input_dropout: rate, of the input.
    dropout: rate, after each hidden layer.
  """

  heads: Mapping[str, int]
  widths: tuple[int, ...]
  form: str
  layer_norm: bool
  input_norm: float
  output_norm: float
  input_dropout: float
  dropout: float

  @nn.compact
  def __call__(
    self, inputs_Bx: Array, train: bool, key: Array | None = None
  ) -> dict[str, Array]:
    """Logits [B, n] by head; dropout where there is a key."""
    x_BxD = scaled_rows(
      inputs_Bx.reshape(inputs_Bx.shape[0], -1), self.input_norm
    )
    hidden = layers.dropout(x_BxD, self.input_dropout, key, _INPUT)
    for layer, width in enumerate(self.widths, start=1):
      hidden = nn.Dense(width, name=f"hidden_{layer}")(hidden)
      if self.layer_norm:
        hidden = nn.LayerNorm(name=f"norm_{layer}")(hidden)
      if self.form != "linear":
        hidden = nn.relu(hidden)
      hidden = layers.dropout(hidden, self.dropout, key, layer)
    if self.form == "residual":
      hidden = x_BxD + nn.Dense(x_BxD.shape[1], name="adapter")(hidden)
    features_BxD = scaled_rows(hidden, self.output_norm)
    return heads.apply_heads(features_BxD, self.heads, 0, "hidden")


def scaled_rows(x_BxD: Array, length: float) -> Array:
  """Rows of one Euclidean length; 0 leaves them, and rows of zeros stay."""
  if not length:
    return x_BxD
  squares_Bx1 = jnp.sum(x_BxD**2, axis=1, keepdims=True)
  is_zero = squares_Bx1 == 0
  # The gradient of the root at zero is infinite, and no row needs it.
  norms_Bx1 = jnp.sqrt(jnp.where(is_zero, 1.0, squares_Bx1))
  return x_BxD * (length / norms_Bx1)
