"""Training recipes of configs/arml_*.py."""

import ml_collections

from metaaux.errors import UserError


def digits(
  config: ml_collections.ConfigDict, arg: ml_collections.ConfigDict
) -> None:
  """A small network, Adam at 1e-3, 1,000 steps of 32 + 32 images.

  The rate of the weights is relative to the gradients: at ARML's own 0.0125 the
  large gradients of the first steps would throw all weight on one task.

  Args:
    config: set in place.
    arg: `runlocal`, `method`, `weighting`, `labels`, `algorithm`, `dropout`,
      `seeds`.

  Raises:
    UserError: `labels` is no multiple of ten.
  """
  if arg.labels < 10 or arg.labels % 10:
    raise UserError(
      f"labels={arg.labels} cannot be divided among ten digits; use a multiple "
      "of 10"
    )
  config.method = arg.method
  config.num_seeds = arg.seeds
  config.labels_per_class = arg.labels // 10
  config.batch_size = 32
  config.num_steps = 1000
  config.log_every = 20
  config.eval_every = 250
  config.average_last = 1
  config.gamma = 0.0
  config.model.widths = (16, 32)
  config.model.hidden = 64
  config.model.decoder = "linear"
  config.model.kernel_init = "he_normal"
  config.model.dropout = arg.dropout
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.semi_supervised.tasks = ("rotation", "exemplar", "useless")
  config.semi_supervised.flip = False  # mirrored digits are no digits
  weighting(config, arg.weighting)
  config.weighting.algorithm = arg.algorithm
  config.weighting.eta_mode = "relative"
  config.weighting.eta = 0.1
  if arg.runlocal:
    config.num_seeds = 1
    config.num_steps = 200
    config.eval_every = 100


def weighting(config: ml_collections.ConfigDict, name: str) -> None:
  """A rule for the weights, as the code of ARML has it (arml, section 4.1).

  Args:
    config: `weighting` is set in place.
    name: of the rule.
  """
  config.weighting.name = name
  if name == "gradnorm":
    config.weighting.gamma = 1.0
  if name == "cosine_similarity":
    config.weighting.until = 0.25
