"""DAMTL on PACS: two tasks of a domain each, a big task of the other two.

  python -m metaaux.main --config=configs/damtl_pacs.py:data=PATH
  python -m metaaux.main --config=configs/damtl_pacs.py:data=PATH,tasks=no

PATH is an .npz file with `x` uint8 [n, H, W, 3], `y`, `domain` and perhaps
`domain_names` and `y_names`; or a folder PATH/DOMAIN/CLASS of image files, as
Office-31 and Office-Home come. A task is tested on what is left of its domain.

Arguments, after the colon and separated by commas:
  runlocal         one seed, a tenth of the width, 40 steps
  data=            path of the data
  domains=         of the two tasks, joined by +
  method=          damtl | transfer | separate | hard_sharing | cross_stitch |
                   nddr | single
  tasks=           po: classes 0-4 and 2-6; no: 0-2 and 3-6
  mask=, align=, source=, start=  see config.damtl
  labels=          images of each class of a task
  width=           of the network
  seeds=           number of seeds

Expected: not yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import damtl as damtl_recipes
from metaaux.config.recipes import maxl as maxl_recipes

_ARGUMENTS = {
  **damtl_recipes.ARGUMENTS,
  "data": "pacs.npz",
  "domains": "sketch+cartoon",
  "labels": 20,
  "width": 0.25,
}

# Classes of the two tasks, overlapping or not.
_TASKS = {"po": ("0-4", "2-6"), "no": ("0-2", "3-6")}


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(arg, **_ARGUMENTS)
  config = config_lib.base()
  config.task_classes = damtl_recipes.chosen(arg, _TASKS)
  damtl_recipes.common(config, arg)
  config.dataset = maxl_recipes.source_at(arg.data)
  config.train_split = config.test_split = "all"
  config.task_domains = tuple(arg.domains.split("+"))
  config.augment.shift = 0.1
  config.num_steps = max(1, 100 * 4 * arg.labels // 64)
  config.eval_every = max(1, config.num_steps // 4)
  config.damtl.auxiliary_steps = 2000
  damtl_recipes.photographs(config, arg, local_width=0.1)
  return config
