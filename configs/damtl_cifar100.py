r"""DAMTL on CIFAR-100: two tasks of ten classes, and a big task of all hundred.

  python -m metaaux.main --config=configs/damtl_cifar100.py \
    --config.cache=cache
  python -m metaaux.main --config=configs/damtl_cifar100.py:method=transfer \
    --config.cache=cache

The tasks have images of their own, of classes from the hierarchy's 20 coarse
ones. Runs with the same --config.cache train the big task once for each seed.

Arguments, after the colon and separated by commas:
  runlocal         one seed, a quarter of the width, 40 steps
  method=          damtl | transfer: fine-tuning from the big task's network |
                   separate: one network a task from random weights |
                   hard_sharing | cross_stitch | nddr | single
  tasks=           po1, po2, po3 share three classes, no1, no2, no3 none; in
                   po2 the second task's images are gray, in po3 and no3 they
                   are reduced to half and enlarged
  mask=            weight | filter | none
  align=           linear | rbf | none
  source=          per_task | frozen | shared
  start=           auxiliary | convolutions | random
  sparsity=, alignment=, penalty=  see config.damtl
  labels=          images of each class of a task
  width=           of the network
  seeds=           number of seeds

Expected with five seeds, one x86-64 core beside other work (mean accuracy over
both tasks and 95% interval), at labels=20,width=0.25 and
--config.damtl.auxiliary_steps=6250: damtl 58.99 ± 2.08 in 4 minutes, after 25
for the five auxiliary networks; transfer 57.58 ± 1.54, separate 45.14 ± 1.20.
At full width and with labels=50: not yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.cifar100 import FROM_100_TO_20
from metaaux.config.recipes import damtl as damtl_recipes

_ARGUMENTS = {
  **damtl_recipes.ARGUMENTS,
  "tasks": "po1",
  "sparsity": 0.9,
  "alignment": 0.9,
  "penalty": "mean",
  "labels": 50,
  "width": 1.0,
}

_TEN = range(10)
# Of each group the fine classes c(s, r), the r-th of superclass s, of both
# tasks as (s, r), and how the second task's images look. po1 to no3 stand
# for the groups PO-1 to NO-3 of Feng & Chen, tables 4 and 5.
_TASKS = {
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


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(arg, **_ARGUMENTS)
  config = config_lib.base()
  config.dataset = "tfds:cifar100"
  config.pixels.std = (0.2,)
  first, second, look = damtl_recipes.chosen(arg, _TASKS)
  damtl_recipes.common(config, arg)
  config.primary = "100"
  config.task_classes = tuple(map(_fine_classes, (first, second)))
  config.task_looks = ("plain", look)
  # None of these is an image of a task, so that one auxiliary network serves
  # all groups (`config.cache`).
  config.big_per_class = 400
  config.augment.pad = 4
  # A hundred passes over a task.
  config.num_steps = max(1, 100 * 10 * arg.labels // 64)
  config.eval_every = max(1, config.num_steps // 8)
  config.checkpoint_every = 1000
  config.damtl.sparsity = arg.sparsity
  config.damtl.alignment = arg.alignment
  config.damtl.penalty = arg.penalty
  config.damtl.auxiliary_steps = 20 * 40_000 // 64
  damtl_recipes.photographs(config, arg, local_width=0.25)
  return config


def _fine_classes(places: list[tuple[int, int]]) -> str:
  """Ids of the r-th fine classes of superclasses s, joined by +."""
  of = [
    [i for i, s in enumerate(FROM_100_TO_20) if s == coarse]
    for coarse in range(20)
  ]
  return "+".join(str(of[s][r]) for s, r in places)
