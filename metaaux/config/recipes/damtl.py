"""Recipes of DAMTL that configs/damtl_*.py share."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from metaaux.errors import UserError

# Arguments of each config, with their defaults.
ARGUMENTS = {
  "runlocal": False,
  "method": "damtl",
  "tasks": "po",
  "mask": "weight",
  "align": "linear",
  "source": "per_task",
  "start": "auxiliary",
  "labels": 10,
  "seeds": 5,
}


def chosen(arg: ml_collections.ConfigDict, table: Mapping[str, Any]) -> Any:
  """What `arg.tasks` names.

  Args:
    arg: parsed arguments.
    table: by the words that `tasks` may be.

  Raises:
    UserError: it is none of them.
  """
  if arg.tasks not in table:
    raise UserError(
      f"tasks={arg.tasks!r} is unknown; use one of {', '.join(table)}"
    )
  return table[arg.tasks]


def common(
  config: ml_collections.ConfigDict, arg: ml_collections.ConfigDict
) -> None:
  """What the arguments say, and cross-entropy at the end of training.

  Args:
    config: set in place.
    arg: parsed arguments, with the names of `ARGUMENTS`.
  """
  config.method = arg.method
  config.labels_per_class = arg.labels
  config.num_seeds = arg.seeds
  config.average_last = 1
  config.gamma = 0.0
  config.damtl.mask = arg.mask
  config.damtl.align = arg.align
  config.damtl.source = arg.source
  config.damtl.start = arg.start


def photographs(
  config: ml_collections.ConfigDict,
  arg: ml_collections.ConfigDict,
  *,
  local_width: float,
) -> None:
  """The network and optimisers of colour images; fewer steps for runlocal.

  Five convolutions, and SGD at 0.01 with momentum 0.9 on alpha = 0.01 times the
  sum over a batch of 64. Rate and alpha are those of Feng & Chen, who leave the
  rest open (docs/register.md).

  Args:
    config: set in place.
    arg: parsed arguments, with `width` too.
    local_width: of the network for runlocal.
  """
  config.augment.flip = True
  config.batch_size = 64
  config.log_every = 20
  config.model.widths = (64, 128, 256, 512, 512)
  config.model.hidden = 512
  config.model.width = arg.width
  config.model.kernel_init = "he_normal"
  for optimizer in (config.optimizer, config.damtl.optimizer):
    optimizer.learning_rate = 0.01
    optimizer.momentum = 0.9
    optimizer.weight_decay = 5e-4
  config.damtl.optimizer.schedule = "cosine"
  if arg.runlocal:
    config.num_seeds = 1
    config.model.width = local_width
    config.num_steps = 40
    config.eval_every = 20
    config.damtl.auxiliary_steps = 40
