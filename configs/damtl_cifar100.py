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
from metaaux.config.recipes import damtl as damtl_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(arg, **damtl_recipes.CIFAR100_ARGUMENTS)
  config = config_lib.base()
  config.dataset = "tfds:cifar100"
  damtl_recipes.cifar100(config, arg)
  return config
