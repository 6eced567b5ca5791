"""What a network is made of: the keys of a config's section `model`."""

from typing import Any, NamedTuple


class ModelOptions(NamedTuple):
  """Options of all networks; each reads those that it has a use for.

  Attributes:
    name: one of `models.MODELS`, or the import path of a user's function.
    width: factor of all channels.
    depth: of a wide_resnet, 6 n + 4.
    norm_momentum: of a wide_resnet's batch norm.
    norm_epsilon: likewise.
    stem: of a resnet: "auto", "imagenet" or "small".
    lowering: form of the convolutions, see `layers.convolution`.
    widths: of a convnet, channels of each convolution; of an mlp, units of each
      hidden layer.
    kernels: of a convnet, sides of the kernels, one for each width.
    padding: of a convnet: "SAME" or "VALID".
    hidden: units of a hidden layer; 0: none.
    batch_norm: whether a convnet has it.
    decoder: form of the heads, one of `heads.DECODERS`.
    dropout: rate, of the flattened features; of an mlp, after each layer.
    block_dropout: rate, after each pooling.
    kernel_init: of `initial_values`.
    head_deviation: standard deviation of the heads' initial kernels; 0: as
      `kernel_init` has it.
    form: of an mlp, one of `mlp.FORMS`.
    layer_norm: whether an mlp has it.
    input_norm: length of the rows that an mlp reads; 0: as they come.
    output_norm: likewise, of the rows that its heads read.
    input_dropout: rate, of the input of an mlp.
  """

  name: str
  width: float = 1.0
  depth: int = 28
  norm_momentum: float = 0.999
  norm_epsilon: float = 1e-3
  stem: str = "auto"
  lowering: str = "auto"
  widths: tuple[int, ...] = (32, 64)
  kernels: tuple[int, ...] = (3, 3)
  padding: str = "SAME"
  hidden: int = 128
  batch_norm: bool = False
  decoder: str = "hidden"
  dropout: float = 0.0
  block_dropout: float = 0.0
  kernel_init: str = "glorot_uniform"
  head_deviation: float = 0.0
  form: str = "relu"
  layer_norm: bool = False
  input_norm: float = 0.0
  output_norm: float = 0.0
  input_dropout: float = 0.0

  @classmethod
  def of(cls, section: Any) -> "ModelOptions":
    """The options in `config.model`."""
    return cls(**{name: section[name] for name in cls._fields})
