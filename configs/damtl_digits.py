"""DAMTL on scikit-learn's digits: two tasks, and a big task beside them.

  python -m metaaux.main --config=configs/damtl_digits.py
  python -m metaaux.main --config=configs/damtl_digits.py:method=transfer
  python -m metaaux.main --config=configs/damtl_digits.py:method=separate

Each task has ten images of each of its digits; the big task has all digits and
all images that no task has.

Arguments, after the colon and separated by commas:
  runlocal         one seed, 100 steps
  method=          damtl | transfer: fine-tuning from the big task's network |
                   separate: one network a task from random weights |
                   hard_sharing | cross_stitch | nddr | single: one network,
                   whose last layer has the classes of all tasks
  tasks=           po: 0-5 and 3-9, which share three digits; no: 0-4 and 5-9
  mask=            weight | filter | none
  align=           linear | rbf | none
  source=          per_task | frozen: the masks act on the big task's kernels |
                   shared: one copy of the kernels, which all tasks train
  start=           auxiliary | convolutions: dense layers are random | random
  labels=          images of each class of a task
  seeds=           number of seeds

Expected with five seeds, one x86-64 core (mean accuracy over both tasks and
95% interval): damtl 95.30 ± 1.98 in 26 seconds, transfer 95.34 ± 1.88, separate
90.03 ± 3.43, single 90.32 ± 2.38.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import damtl as damtl_recipes

# Digits of the two tasks; "po": partial overlap, as in table 4 of Feng & Chen,
# "no": no overlap, as in table 5.
_TASKS = {"po": ("0-5", "3-9"), "no": ("0-4", "5-9")}


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(arg, **damtl_recipes.ARGUMENTS)
  config = config_lib.base()
  config.dataset = "digits"
  config.primary = "10"
  config.task_classes = damtl_recipes.chosen(arg, _TASKS)
  damtl_recipes.common(config, arg)
  config.batch_size = 32
  config.num_steps = 400
  config.log_every = 20
  config.eval_every = 100
  config.model.widths = (16, 32)
  config.model.hidden = 64
  config.model.kernel_init = "he_normal"
  config.damtl.auxiliary_steps = 400
  # On alpha = 0.01 times the sum over a batch of 32: 0.032 on the mean.
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
  return config
