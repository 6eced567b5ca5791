"""Recipes of ARML that several of configs/arml_*.py share."""

import ml_collections

from metaaux.errors import UserError

# Arguments of the configs for semi-supervised learning, with their defaults.
SSL_ARGUMENTS = {
  "runlocal": False,
  "method": "arml",
  "weighting": "arml",
  "labels": 4000,
  "algorithm": "merged",
  "preset": "paper",
  "validation": -1,
  "dropout": 0.0,
  "seeds": 0,
}

# Learning rates of Adam, as in the code of ARML.
_SSL_RATES = {
  "pi_model": 3e-4,
  "mean_teacher": 7e-4,
  "vat": 3e-3,
  "vat_entmin": 3e-3,
  "pseudo_label": 3e-4,
}


def semi_supervised(
  config: ml_collections.ConfigDict,
  arg: ml_collections.ConfigDict,
  *,
  num_classes: int,
  validation: int,
) -> None:
  """Shi et al. 2020, few labels: WRN-28-2, Adam, 200,000 iterations.

  Single-task training takes as many images a step as the others, all of them
  labelled.

  Args:
    config: set in place; `dataset`, and what only one set has, stay.
    arg: parsed arguments, with the names of `SSL_ARGUMENTS`.
    num_classes: of the primary task.
    validation: labelled images that the paper holds out, as many as all classes
      can share; of runs at full size.

  Raises:
    UserError: `labels` or `validation` cannot be divided among the classes, or
      the preset is unknown.
  """
  if arg.preset not in ("paper", "code"):
    raise UserError(f"preset={arg.preset!r} is unknown; use paper or code")
  config.method = arg.method
  config.num_seeds = arg.seeds or (1 if arg.runlocal else 3)
  config.labels_per_class = per_class(arg.labels, num_classes)
  config.meta_per_class = _held_out(arg, num_classes, validation)
  config.gamma = 0.0
  config.batch_size = _half_batch(arg, 128)
  config.num_steps = 200_000
  config.log_every = 500
  config.eval_every = 10_000
  config.checkpoint_every = 10_000
  config.average_last = 1
  config.model.name = "wide_resnet"
  config.model.kernel_init = "he_fan_out"
  config.model.dropout = arg.dropout
  config.psi = (1,)
  config.augment.pad = 2
  config.augment.mode = "reflect"
  config.semi_supervised.pool = "unlabelled"
  # Views differ by what `augment` does to every image, and by nothing else.
  config.consistency.noise = 0.0
  config.consistency.flip = False
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = _SSL_RATES.get(arg.method, 5e-3)
  config.optimizer.schedule = "step"
  config.optimizer.decay_every = 160_000
  config.optimizer.decay_factor = 0.2
  weighting(config, arg.weighting)
  config.weighting.algorithm = arg.algorithm
  if arg.preset == "code":
    config.weighting.projection = "shift_clamp"
    config.weighting.skip_step = True
    if arg.weighting == "gradnorm":
      config.weighting.options.detach_target = False
      config.weighting.options.as_code = True
    config.semi_supervised.flip_after_rotation = True
    # The code names slower statistics, but leaves them at PyTorch's.
    config.model.norm_momentum = 0.9
    config.model.norm_epsilon = 1e-5
  if arg.runlocal:
    _semi_supervised_local(config)
    config.batch_size = _half_batch(arg, 32)


def _held_out(
  arg: ml_collections.ConfigDict, num_classes: int, published: int
) -> int:
  """Images of a class that are held out besides the labelled ones."""
  count = arg.validation
  if count < 0:
    count = 0 if arg.runlocal else published
  if count % num_classes:
    raise UserError(
      f"validation={count} cannot be divided among {num_classes} classes; use "
      f"a multiple of {num_classes}, or 0"
    )
  return count // num_classes


def per_class(labels: int, num_classes: int) -> int:
  """Labelled images of a class.

  Args:
    labels: of all classes together.
    num_classes: of the primary task.

  Raises:
    UserError: the classes cannot share them.
  """
  if labels < num_classes or labels % num_classes:
    raise UserError(
      f"labels={labels} cannot be divided among {num_classes} classes; use a "
      f"multiple of {num_classes}"
    )
  return labels // num_classes


def _half_batch(arg: ml_collections.ConfigDict, size: int) -> int:
  """Labelled images of a step: half of all, but for single-task training."""
  return min(2 * size if arg.method == "single" else size, arg.labels)


def _semi_supervised_local(config: ml_collections.ConfigDict) -> None:
  """A size that a laptop finishes in minutes."""
  config.num_steps = 600
  config.log_every = 20
  config.eval_every = 200
  config.eval_examples = 1000
  config.checkpoint_every = 200
  small_network(config)


def small_network(config: ml_collections.ConfigDict) -> None:
  """A small network, Adam, and a rate of the weights for some 500 steps.

  Args:
    config: set in place.
  """
  config.model.name = "convnet"
  config.model.decoder = "linear"
  config.model.kernel_init = "he_normal"
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.optimizer.schedule = "constant"
  config.weighting.eta_mode = "relative"
  config.weighting.eta = 0.3


def weighting(config: ml_collections.ConfigDict, name: str) -> None:
  """A rule for the weights, as the code of ARML has it.

  Args:
    config: `weighting` is set in place.
    name: of the rule.
  """
  config.weighting.name = name
  if name == "gradnorm":
    config.weighting.gamma = 1.0
  if name == "cosine_similarity":
    config.weighting.until = 0.25


# Arguments of the configs for binary attributes, with their defaults.
ATTRIBUTE_ARGUMENTS = {
  "runlocal": False,
  "method": "arml",
  "weighting": "arml",
  "labels": 0.01,
  "seeds": 3,
}


def attributes(
  config: ml_collections.ConfigDict, arg: ml_collections.ConfigDict
) -> None:
  """What data sets of binary attributes share: tasks and labels.

  Args:
    config: set in place.
    arg: parsed arguments, with the names of `ATTRIBUTE_ARGUMENTS`, and
      `attribute`.
  """
  config.method = arg.method
  config.num_seeds = 1 if arg.runlocal else arg.seeds
  config.primary = arg.attribute
  config.label_fraction = arg.labels if arg.labels < 1 else 0.0
  config.gamma = 0.0
  config.setting = "attributes"
  config.weighting.name = arg.weighting
