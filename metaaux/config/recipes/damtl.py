"""Training recipes of configs/damtl_*.py."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from metaaux.config.cifar100 import FROM_100_TO_20
from metaaux.config.recipes import maxl as maxl_recipes
from metaaux.errors import UserError

# Arguments of configs/damtl_digits.py with their defaults.
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
  config.task_classes = _chosen(arg, _DIGITS)
  _common(config, arg)
  config.batch_size = 32
  config.num_steps = 400
  config.log_every = 20
  config.eval_every = 100
  config.model.widths = (16, 32)
  config.model.hidden = 64
  config.model.kernel_init = "he_normal"
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


def _chosen(arg: ml_collections.ConfigDict, table: Mapping[str, Any]) -> Any:
  if arg.tasks not in table:
    raise UserError(
      f"tasks={arg.tasks!r} is unknown; use one of {', '.join(table)}"
    )
  return table[arg.tasks]


def _common(
  config: ml_collections.ConfigDict, arg: ml_collections.ConfigDict
) -> None:
  """What the arguments say, and cross-entropy at the end of training."""
  config.method = arg.method
  config.labels_per_class = arg.labels
  config.num_seeds = arg.seeds
  config.average_last = 1
  config.gamma = 0.0
  config.damtl.mask = arg.mask
  config.damtl.align = arg.align
  config.damtl.source = arg.source
  config.damtl.start = arg.start


# Further arguments of configs/damtl_cifar100.py.
CIFAR100_ARGUMENTS = {
  **ARGUMENTS,
  "tasks": "po1",
  "sparsity": 0.9,
  "alignment": 0.9,
  "penalty": "mean",
  "labels": 50,
  "width": 1.0,
}

_TEN = range(10)
# Of each group the fine classes c(s, r), the r-th of superclass s, of both
# tasks as (s, r), and how the second task's images look (damtl, section 8).
_CIFAR100 = {
  "po1": (
    [(s, 0) for s in _TEN],
    [(s, 1) for s in range(7)] + [(s, 0) for s in range(7, 10)],
    "plain",
  ),
  "po2": (
    [(10 + s, 0) for s in _TEN],
    [(10 + s, 1) for s in range(7)] + [(10 + s, 0) for s in range(7, 10)],
    "gray",
  ),
  "po3": (
    [(s, 2) for s in _TEN],
    [(10 + s, 3) for s in range(7)] + [(s, 2) for s in range(7, 10)],
    "half",
  ),
  "no1": ([(s, 0) for s in _TEN], [(s, 1) for s in _TEN], "plain"),
  "no2": ([(s, 0) for s in _TEN], [(10 + s, 0) for s in _TEN], "plain"),
  "no3": ([(s, 2) for s in _TEN], [(10 + s, 3) for s in _TEN], "half"),
}


def cifar100(
  config: ml_collections.ConfigDict, arg: ml_collections.ConfigDict
) -> None:
  """Two tasks of ten classes, and a big task of all hundred.

  Of each class the big task has 400 images and each task `labels`, so that one
  auxiliary network serves all groups (`config.cache`). Five convolutions, and
  SGD at 0.01 with momentum 0.9 on alpha = 0.01 times the sum over a batch of
  64, for 100 passes over a task (damtl, section 5).

  Args:
    config: set in place; `dataset` stays.
    arg: parsed arguments, with the names of `CIFAR100_ARGUMENTS`.

  Raises:
    UserError: the tasks are unknown.
  """
  first, second, look = _chosen(arg, _CIFAR100)
  _common(config, arg)
  config.primary = "100"
  config.task_classes = tuple(map(_fine_classes, (first, second)))
  config.task_looks = ("plain", look)
  config.big_per_class = 400
  config.augment.pad = 4
  config.num_steps = max(1, 100 * 10 * arg.labels // 64)
  config.eval_every = max(1, config.num_steps // 8)
  config.checkpoint_every = 1000
  config.damtl.sparsity = arg.sparsity
  config.damtl.alignment = arg.alignment
  config.damtl.penalty = arg.penalty
  config.damtl.auxiliary_steps = 20 * 40_000 // 64
  _photographs(config, arg, local_width=0.25)


def _photographs(
  config: ml_collections.ConfigDict,
  arg: ml_collections.ConfigDict,
  *,
  local_width: float,
) -> None:
  """The network and optimisers of colour images; fewer steps for runlocal."""
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


def _fine_classes(places: list[tuple[int, int]]) -> str:
  """Ids of the r-th fine classes of superclasses s, joined by +."""
  of = [
    [i for i, s in enumerate(FROM_100_TO_20) if s == coarse]
    for coarse in range(20)
  ]
  return "+".join(str(of[s][r]) for s, r in places)


# Arguments of configs/damtl_pacs.py.
PACS_ARGUMENTS = {
  **ARGUMENTS,
  "data": "pacs.npz",
  "domains": "sketch+cartoon",
  "labels": 20,
  "width": 0.25,
}

# Classes of the two tasks, overlapping or not (damtl, section 8).
_PACS = {"po": ("0-4", "2-6"), "no": ("0-2", "3-6")}


def pacs(
  config: ml_collections.ConfigDict, arg: ml_collections.ConfigDict
) -> None:
  """Two tasks of a domain each, and a big task of the other two.

  Args:
    config: set in place.
    arg: parsed arguments, with the names of `PACS_ARGUMENTS`.

  Raises:
    UserError: the tasks are unknown.
  """
  config.task_classes = _chosen(arg, _PACS)
  _common(config, arg)
  config.dataset = maxl_recipes.source_at(arg.data)
  config.train_split = config.test_split = "all"
  config.task_domains = tuple(arg.domains.split("+"))
  config.augment.shift = 0.1
  config.num_steps = max(1, 100 * 4 * arg.labels // 64)
  config.eval_every = max(1, config.num_steps // 4)
  config.damtl.auxiliary_steps = 2000
  _photographs(config, arg, local_width=0.1)
