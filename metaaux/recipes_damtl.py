"""Training recipes of configs/damtl_*.py."""

import ml_collections

from metaaux.errors import UserError

# Arguments of configs/damtl_digits.py with their defaults.
ARGUMENTS = {
  "runlocal": False,
  "method": "damtl",
  "tasks": "po",
  "mask": "weight",
  "align": "linear",
  "source": "per_task",
  "labels": 10,
  "seeds": 5,
}

# Digits of the two tasks, overlapping or not (damtl, section 8).
_DIGITS = {"po": ("0-5", "3-9"), "no": ("0-4", "5-9")}


def digits(
  config: ml_collections.ConfigDict, arg: ml_collections.ConfigDict
) -> None:
  """A small network; weights of the losses as in the paper.

  SGD at 0.1 with momentum 0.9 on alpha = 0.01 times the sum over a batch of 32
  is one of 0.032 on the mean.

  Args:
    config: set in place; `dataset` stays.
    arg: parsed arguments, with the names of `ARGUMENTS`.

  Raises:
    UserError: the tasks are unknown.
  """
  if arg.tasks not in _DIGITS:
    raise UserError(
      f"tasks={arg.tasks!r} is unknown; use one of {', '.join(_DIGITS)}"
    )
  config.method = arg.method
  config.task_classes = _DIGITS[arg.tasks]
  config.labels_per_class = arg.labels
  config.num_seeds = arg.seeds
  config.batch_size = 32
  config.num_steps = 400
  config.log_every = 20
  config.eval_every = 100
  config.average_last = 1
  config.gamma = 0.0
  config.model.widths = (16, 32)
  config.model.hidden = 64
  config.model.kernel_init = "he_normal"
  config.damtl.mask = arg.mask
  config.damtl.align = arg.align
  config.damtl.source = arg.source
  config.damtl.auxiliary_steps = 400
  for optimizer in (config.optimizer, config.damtl.optimizer):
    optimizer.learning_rate = 0.1
    optimizer.momentum = 0.9
  config.damtl.optimizer.learning_rate = 0.03
  if arg.method == "single":
    config.optimizer.learning_rate = 0.03  # its loss is a mean
  if arg.runlocal:
    config.num_seeds = 1
    config.num_steps = 100
    config.damtl.auxiliary_steps = 100
