"""Training recipes of the papers, which several config files share."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from metaaux import config as config_lib
from metaaux.errors import UserError

# Methods that hold out a split for the outer update.
_BILEVEL = ("maxl", "no_entropy")


def source_at(path: str) -> str:
  """The data source of a file or a folder: npz:PATH or folder:PATH."""
  return f"{'npz' if path.endswith('.npz') else 'folder'}:{path}"


def maxl(
  config: ml_collections.ConfigDict, variant: str, num_examples: int
) -> None:
  """Liu, Davison & Johns 2019, section 4: VGG-16, 200 epochs, batches of 100.

  As in the paper, the baselines train on all examples, and MAXL holds a tenth
  out for its generator; in the official code all train on all of them.

  Args:
    config: `method` is read, the rest is set in place.
    variant: "paper" or "code", see `config.set_variant`.
    num_examples: size of the training split.
  """
  bilevel = config.method in _BILEVEL
  config.batch_size = 100
  config.model.name = "vgg16"
  config.optimizer.learning_rate = 0.01
  config_lib.set_variant(config, variant, num_examples // config.batch_size)
  if not bilevel:
    config.meta_fraction = 0.0
  kept = num_examples - round(config.meta_fraction * num_examples)
  epoch = kept // config.batch_size
  if bilevel and config.maxl.alternate_every:
    epoch *= 2  # a pass for each of the two updates
  config.num_steps = 200 * epoch
  config.eval_every = epoch
  config.checkpoint_every = epoch
  for optimizer in (config.optimizer, config.generator.optimizer):
    optimizer.schedule = "step"
    optimizer.decay_every = 50 * epoch
    optimizer.decay_factor = 0.5


def maxl_run_local(config: ml_collections.ConfigDict) -> None:
  """A size that a laptop finishes in minutes; call it after `maxl`.

  Few labels, a narrow network, a constant rate, one split for both updates, and
  Adam for the generator, which SGD would hardly move in so few steps.
  """
  config.labels_per_class = 500
  config.meta_fraction = 0.0
  config.maxl.alternate_every = 0
  config.model.width = 0.25
  config.num_steps = 400
  config.eval_every = 100
  config.eval_examples = 1000
  config.average_last = 3
  config.log_every = 20
  config.checkpoint_every = 200
  config.optimizer.learning_rate = 0.05
  generator = config.generator.optimizer
  generator.name = "adam"
  generator.learning_rate = 1e-3
  # A length that is not read would tell methods apart in tables.
  default = config_lib.base().optimizer.decay_every
  for optimizer in (config.optimizer, generator):
    optimizer.schedule = "constant"
    optimizer.decay_every = default
  generator.l1 = 0.0
  generator.weight_decay = 0.0


# Arguments of every configs/meta_mtl_*.py with their defaults.
META_MTL_ARGUMENTS = {
  "runlocal": False,
  "method": "meta_mtl",
  "variant": "paper_second_order",
  "embedding": "spectral",
  "labels": "kmeans",
  "num_tasks": 10,
  "num_classes": 50,
  "label_fraction": 0.01,
  "decoder": "linear",
  "dropout": 0.5,
  "seeds": 5,
}


def meta_mtl(
  config: ml_collections.ConfigDict,
  arg: ml_collections.ConfigDict,
  *,
  class_size: int,
) -> None:
  """Gui et al. 2020 with the settings that made clusters help on MNIST.

  The paper leaves rates, batches and lengths open; these are from our own
  experiments (docs/results): plain SGD at 0.1 for all updates, batches of 32,
  2,000 steps, a gradient clipped at 1 for the second-order variant, which is
  unstable without. `decoder=hidden,dropout=0` is the paper's network.

  Args:
    config: set in place.
    arg: parsed arguments, with the names of `META_MTL_ARGUMENTS`.
    class_size: training images of a primary class.
  """
  config.method = arg.method
  config.num_seeds = arg.seeds
  config.labels_per_class = (
    0
    if arg.label_fraction >= 1
    else max(1, round(class_size * arg.label_fraction))
  )
  config.batch_size = 32
  config.num_steps = 2000
  config.log_every = 100
  config.eval_every = 500
  config.average_last = 1
  config.checkpoint_every = 1000
  config.gamma = 0.0
  config.model.name = "convnet"
  config.model.widths = (32, 64)
  config.model.kernels = (5, 4)
  config.model.padding = "VALID"
  config.model.hidden = 128
  config.model.decoder = arg.decoder
  config.model.dropout = arg.dropout
  config.model.kernel_init = "he_normal"
  config.embedding.name = arg.embedding
  config.partition.labels = arg.labels
  config.partition.num_tasks = arg.num_tasks
  config.partition.num_classes = arg.num_classes
  config.meta_mtl.variant = arg.variant
  config.inner.learning_rate = 0.1
  config.optimizer.learning_rate = 0.1
  if arg.method == "meta_mtl" and arg.variant == "paper_second_order":
    config.optimizer.clip_norm = 1.0
  if arg.method == "joint":
    config.auxiliary_weight = 1.0 / arg.num_tasks
  if arg.runlocal:
    config.num_seeds = 1
    config.num_steps = 200
    config.eval_every = 100
    config.pseudo_labels.rounds = 2


# Of the configs that follow the settings of the paper, or of its code.
META_MTL_PAPER_ARGUMENTS = {
  **META_MTL_ARGUMENTS,
  "embedding": "acai",
  "num_tasks": 4,
  "num_classes": 0,
  "label_fraction": 1.0,
  "decoder": "hidden",
  "dropout": 0.0,
}


def meta_mtl_paper(
  config: ml_collections.ConfigDict,
  arg: ml_collections.ConfigDict,
  *,
  class_size: int,
) -> None:
  """Gui et al. 2020 on colour images; lengths and rates are ours.

  All updates at 0.01, the outer one and the baselines' with momentum 0.9,
  batches of 100, 20,000 episodes, and ACAI with 64 channels.

  Args:
    config: set in place.
    arg: parsed arguments, with the names of `META_MTL_PAPER_ARGUMENTS`.
    class_size: training images of a primary class.
  """
  meta_mtl(config, arg, class_size=class_size)
  config.batch_size = 100
  config.inner.learning_rate = 0.01
  config.optimizer.learning_rate = 0.01
  config.optimizer.momentum = 0.9
  config.embedding.width = 64
  if not arg.runlocal:
    config.num_steps = 20_000
    config.eval_every = 2000
    config.checkpoint_every = 2000
  else:
    config.batch_size = 32
    config.embedding.width = 8
    config.embedding.num_steps = 200


def meta_mtl_preset(
  arg: str | None, *, code: Mapping[str, Any], **own: Any
) -> ml_collections.ConfigDict:
  """Parses the arguments of a config that has `preset=paper|code`.

  Args:
    arg: what follows the colon.
    code: defaults under `preset=code`, beside those that are always its own.
    **own: arguments that the config file adds, with their defaults.

  Raises:
    UserError: the preset or an argument is unknown.
  """
  defaults = {"preset": "paper", **META_MTL_PAPER_ARGUMENTS, **own}
  found = config_lib.parse_argument(arg, **defaults)
  if found.preset == "code":
    own_code = {"variant": "code_torch1", "decoder": "linear", **code}
    return config_lib.parse_argument(arg, **{**defaults, **own_code})
  if found.preset != "paper":
    raise UserError(f"preset={found.preset!r} is unknown; use paper or code")
  return found


def meta_mtl_code(config: ml_collections.ConfigDict, variant: str) -> None:
  """What the official code of Gui et al. 2020 does on CIFAR.

  SGD at 0.001 with momentum 0.9 and weight decay 5e-4 for all updates, three
  inner steps, and each gradient clipped at 5; a network whose decoders are one
  layer each. Baselines take the same outer optimiser.

  Args:
    config: changed in place, after `meta_mtl_paper`.
    variant: of Meta-MTL.
  """
  config.model.widths = (64, 128)
  config.model.kernels = (3, 3)
  config.model.padding = "SAME"
  config.model.hidden = 0
  config.inner.learning_rate = 0.001
  config.inner.num_steps = 3
  config.optimizer.learning_rate = 0.001
  config.optimizer.momentum = 0.9
  config.optimizer.weight_decay = 5e-4
  if variant.startswith("code"):
    config.meta_mtl.code_momentum = 0.9
    config.meta_mtl.code_weight_decay = 5e-4
    config.meta_mtl.code_clip_norm = 5.0
