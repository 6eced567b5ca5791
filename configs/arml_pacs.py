"""ARML and FADA on PACS: a few labels of one domain, three others as tasks.

  python -m metaaux.main --config=configs/arml_pacs.py:data=PATH
  python -m metaaux.main --config=configs/arml_pacs.py:data=PATH,mode=baseline
  python -m metaaux.main --config=configs/arml_pacs.py:data=PATH,method=fada

PATH is an .npz file with `x` uint8 [n, H, W, 3], `y`, `domain` and perhaps
`domain_names` and `y_names`; or a folder PATH/DOMAIN/CLASS of image files.
The primary task is the class in the target domain; the rest of that domain is
the test set.

Arguments, after the colon and separated by commas:
  runlocal         a small network on half the resolution, 400 steps, one seed
  data=            path of the data
  target_domain=   sketch | art_painting | cartoon | photo
  mode=            joint: the target's labels are trained on; baseline: they
                   only guide the weights
  method=          arml | fada | single
  weighting=       rule for the weights, such as arml | uniform; that of fada is
                   uniform if none is given
  labels=          labelled images of each class of the target
  dropout=         on the features; of every method
  seeds=           number of seeds; 0: three, with runlocal one

The paper starts from a network trained on ImageNet; this starts from random
weights. ResNet-18 at full size: not yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import arml as arml_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(arg, **arml_recipes.PACS_ARGUMENTS)
  config = config_lib.base()
  arml_recipes.pacs(config, arg)
  return config
