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


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(arg, **damtl_recipes.ARGUMENTS)
  config = config_lib.base()
  config.dataset = "digits"
  config.primary = "10"
  damtl_recipes.digits(config, arg)
  return config
