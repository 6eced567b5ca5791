"""The networks, as pairs of pure functions; only this package knows Linen."""

import difflib
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import ml_collections
from flax import linen as nn

from metaaux.config import user_code
from metaaux.errors import UserError
from metaaux.models import initial_values, layers
from metaaux.models.convnet import ConvNet
from metaaux.models.heads import DECODERS, is_head, trunk
from metaaux.models.mlp import FORMS, MLP
from metaaux.models.options import ModelOptions
from metaaux.models.resnet import ResNet
from metaaux.models.vgg import VGG16
from metaaux.models.wide_resnet import WideResNet

__all__ = [
  "MODELS",
  "ModelOptions",
  "Network",
  "check_input",
  "is_head",
  "make",
  "refuse_dropout",
  "trunk",
]

Array = jax.Array
Key = jax.Array
Params = dict[str, Any]
Stats = dict[str, Any]


class Network(NamedTuple):
  """A network without its parameters.

  Attributes:
    init: (key, images [B, H, W, C]) -> (parameters, batch statistics); the
      statistics are {} for a network without batch norm.
    apply: (parameters, statistics, images, *, train, key=None) -> ({head:
      logits [B, n]}, statistics). With `train` the batch's own statistics
      normalise it, averaged over devices, and the updated running ones are
      returned; without, the running ones do and are returned as they are.
      `key` is that of dropout, which happens only with `train` and a key: one
      for the batch, or [B] of them, one an example. Devices that are to drop
      different entries need different keys; that is the caller's part.
  """

  init: Callable[[Key, Array], tuple[Params, Stats]]
  apply: Callable[..., tuple[dict[str, Array], Stats]]


def _vgg16(options: ModelOptions, **common: Any) -> nn.Module:
  return VGG16(width=options.width, **common)


def _convnet(options: ModelOptions, **common: Any) -> nn.Module:
  if len(options.widths) != len(options.kernels):
    raise UserError(
      f"model.widths={tuple(options.widths)} and "
      f"model.kernels={tuple(options.kernels)} differ in length; give one "
      "kernel side for each width."
    )
  if options.padding not in ("SAME", "VALID"):
    raise UserError(
      f"model.padding is {options.padding!r}; use 'SAME' or 'VALID'."
    )
  return ConvNet(
    widths=tuple(options.widths),
    kernels=tuple(options.kernels),
    padding=options.padding,
    hidden=options.hidden,
    batch_norm=options.batch_norm,
    **common,
  )


def _mlp(options: ModelOptions, **common: Any) -> nn.Module:
  if common["block_dropout"]:
    raise UserError(
      "model.name='mlp' has no blocks, so that model.block_dropout="
      f"{common['block_dropout']} would do nothing; set it to 0"
    )
  if options.form not in FORMS:
    raise UserError(
      f"model.form is {options.form!r}; use one of {', '.join(FORMS)}."
    )
  return MLP(
    heads=common["heads"],
    widths=tuple(options.widths),
    form=options.form,
    layer_norm=options.layer_norm,
    input_norm=options.input_norm,
    output_norm=options.output_norm,
    input_dropout=options.input_dropout,
    dropout=common["dropout"],
  )


def _residual(options: ModelOptions, common: dict[str, Any]) -> dict[str, Any]:
  """Options of a residual network, which has one linear layer for a head.

  Raises:
    UserError: dropout between blocks is asked for.
  """
  common.pop("decoder")
  rate = common.pop("block_dropout")
  if rate:
    raise UserError(
      f"model.name={options.name!r} has no dropout between blocks, so that "
      f"model.block_dropout={rate} would do nothing; set it to 0"
    )
  if common["lowering"] == "auto":
    # Measured on CPU, training: 120 against 147 ms (WRN), 304 against 565 ms.
    common["lowering"] = "native"
  return {**common, "width": options.width}


def _wide_resnet(options: ModelOptions, **common: Any) -> nn.Module:
  return WideResNet(
    depth=options.depth,
    norm_momentum=options.norm_momentum,
    norm_epsilon=options.norm_epsilon,
    **_residual(options, common),
  )


def _resnet(depth: int, options: ModelOptions, **common: Any) -> nn.Module:
  return ResNet(depth=depth, stem=options.stem, **_residual(options, common))


MODELS = {
  "vgg16": _vgg16,
  "convnet": _convnet,
  "mlp": _mlp,
  "wide_resnet": _wide_resnet,
  "resnet18": functools.partial(_resnet, 18),
  "resnet50": functools.partial(_resnet, 50),
}


# Of rows without height and width, too.
_OF_VECTORS = ("mlp",)


def check_input(name: str, input_shape: tuple[int, ...]) -> None:
  """Raises UserError if a network reads images and the data are vectors.

  Args:
    name: as in `ModelOptions`; a user's own network is not looked at.
    input_shape: of one example.
  """
  if len(input_shape) == 1 and name in MODELS and name not in _OF_VECTORS:
    raise UserError(
      f"model.name={name!r} reads images, and the data are vectors of "
      f"{input_shape[0]} numbers; set it to {' or '.join(_OF_VECTORS)}"
    )


def make(
  options: ModelOptions,
  heads: Mapping[str, int],
  *,
  kernel_init: str | None = None,
  axis_name: str | None = None,
) -> Network:
  """The network that options name.

  Args:
    options: `name` is one of `MODELS`, or the import path of a function like
      those, such as my_network:build, which receives a `ConfigDict` of them.
    heads: number of classes by head; head NAME has its parameters under
      "head_NAME" at the top of the tree. 0 classes stand for the features
      that the heads receive, without parameters.
    kernel_init: of `initial_values.values`; None: that of `options`. Biases
      start at 0, batch norm at scale 1 and shift 0.
    axis_name: devices over which batch statistics are averaged, or None.

  Raises:
    UserError: the name is unknown, or a setting makes no network.
  """
  kernel_init = kernel_init or options.kernel_init
  initial_values.check(kernel_init)
  constructor = _find(options.name)
  layers.convolution(options.lowering)  # raises if there is none of this name
  _check_decoder(options)
  module = _build(
    constructor,
    options,
    heads=dict(heads),
    decoder=options.decoder,
    dropout=options.dropout,
    block_dropout=options.block_dropout,
    lowering=options.lowering,
    axis_name=axis_name,
  )
  # The form of the convolutions has no effect on shapes; this one is the
  # quickest to trace.
  quick = {"lowering": "native"} if hasattr(module, "lowering") else {}
  shapes = functools.partial(module.clone(**quick).init, train=False)

  @jax.jit
  def init(key: Key, images_BxHxWxC: Array) -> tuple[Params, Stats]:
    wanted = jax.eval_shape(shapes, key, images_BxHxWxC)
    variables = initial_values.values(
      key, wanted, kernel_init, options.head_deviation
    )
    return variables["params"], variables.get("batch_stats", {})

  def apply(
    params: Params,
    stats: Stats,
    images_BxHxWxC: Array,
    *,
    train: bool,
    key: Key | None = None,
  ) -> tuple[dict[str, Array], Stats]:
    variables = {"params": params, "batch_stats": stats}
    if not train:
      return module.apply(variables, images_BxHxWxC, train=False), stats
    logits, updated = module.apply(
      variables, images_BxHxWxC, train=True, key=key, mutable=["batch_stats"]
    )
    return logits, updated.get("batch_stats", {})

  network = Network(init, apply)
  if user_code.is_path(options.name):
    return _checked(f"model.name={options.name!r}", network, heads)
  return network


def _checked(what: str, network: Network, heads: Mapping[str, int]) -> Network:
  """A network of somebody else, whose slips are one line."""
  contract = (
    "__call__(images, *, train, key=None) -> {head: logits [B, classes]}"
  )

  def apply(
    params: Params, stats: Stats, images_BxHxWxC: Array, **options: Any
  ) -> tuple[dict[str, Array], Stats]:
    logits, stats = user_code.call(
      what, contract, network.apply, params, stats, images_BxHxWxC, **options
    )
    for name, classes in heads.items():
      wanted = (len(images_BxHxWxC), classes)
      found = logits.get(name) if isinstance(logits, Mapping) else None
      shape = getattr(found, "shape", None)
      if shape is None or (classes and shape != wanted):
        seen = "nothing" if shape is None else f"an array {list(shape)}"
        raise UserError(
          f"{what} returned {seen} for head {name!r}; it must be "
          f"{list(wanted)} here, and the contract is {contract}"
        )
    return logits, stats

  init = functools.partial(user_code.call, what, contract, network.init)
  return Network(init, apply)


def _build(
  constructor: Callable[..., nn.Module], options: ModelOptions, **common: Any
) -> nn.Module:
  """The module; what somebody else's function does wrongly is one line."""
  if not user_code.is_path(options.name):
    return constructor(options, **common)
  # Somebody else's function reads a section of a config, as config files do.
  section = ml_collections.ConfigDict(
    {key: getattr(options, key) for key in ModelOptions._fields}
  )
  what, contract = (
    f"model.name={options.name!r}",
    (
      "build(config, *, heads, decoder, dropout, block_dropout, lowering, "
      "axis_name) -> a flax.linen.Module"
    ),
  )
  found = user_code.call(what, contract, constructor, section, **common)
  if not isinstance(found, nn.Module):
    raise UserError(
      f"{what} returned {type(found).__name__}; the contract is {contract}"
    )
  return found


def _check_decoder(options: ModelOptions) -> None:
  if options.decoder not in DECODERS:
    raise UserError(
      f"model.decoder is {options.decoder!r}; use one of {', '.join(DECODERS)}."
    )
  for name in ("dropout", "block_dropout", "input_dropout"):
    rate = getattr(options, name)
    if not 0 <= rate < 1:
      raise UserError(f"model.{name} is {rate}; use a rate in [0, 1).")


def refuse_dropout(config: Any, *names: str) -> None:
  """For methods that have no dropout of some kind, in any of their networks.

  Args:
    config: `method` and `model`.
    names: "dropout", "block_dropout".

  Raises:
    UserError: one of them is asked for, and would be without effect.
  """
  for name in names:
    rate = config.model[name]
    if rate:
      raise UserError(
        f"method={config.method!r} has no dropout of this kind, so that "
        f"model.{name}={rate} would do nothing; set it to 0"
      )


def _find(name: str) -> Callable[..., nn.Module]:
  if user_code.is_path(name):
    return user_code.find("model.name", name)
  if name in MODELS:
    return MODELS[name]
  near = difflib.get_close_matches(name, MODELS, n=1)
  hint = f" Did you mean {near[0]!r}?" if near else ""
  raise UserError(
    f"no model {name!r}; known: {', '.join(sorted(MODELS))}.{hint}"
  )
