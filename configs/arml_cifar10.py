"""ARML and its comparators on CIFAR-10 with few labels.

  python -m metaaux.main --config=configs/arml_cifar10.py
  python -m metaaux.main --config=configs/arml_cifar10.py:weighting=uniform
  python -m metaaux.main --config=configs/arml_cifar10.py:runlocal,method=single

Auxiliary tasks: rotation and exemplar with a moving-average teacher, on the
labelled images and on as many of the rest. Needs the data set in TFDS
(TFDS_DATA_DIR, or `pip install 'metaaux[tfds]'` to prepare it).
Images are flipped, cropped (reflected borders of 2) and have noise (0.15) at
random; the paper's ZCA whitening is left out.

Arguments, after the colon and separated by commas:
  runlocal         a small network, 600 steps of 32 + 32 images, one seed
  method=          arml | single | pi_model | mean_teacher | vat |
                   vat_entmin | pseudo_label
  weighting=       rule for the weights of `method=arml`, such as arml | uniform
                   | gradnorm | cosine_similarity | adaloss | ol_aux
  labels=          labelled images of all classes together
  algorithm=       merged: weights and network together; two_stage: weights
                   first, with Langevin noise
  preset=          paper; code: the clamp, the skipped steps, GradNorm, batch
                   norm and the order of turning and mirroring of the published
                   code
  validation=      labelled images held out besides labels=, to choose by;
                   5,000 if it is not given, with runlocal 0
  dropout=         on the features; of every method
  seeds=           number of seeds; 0: three, with runlocal one

The paper reports 86.32 ± 0.35 with 4,000 labels (error 13.68), uniform 84.33 ±
0.29. The full recipe: not yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import arml as arml_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(arg, **arml_recipes.SSL_ARGUMENTS)
  config = config_lib.base()
  config.dataset = "tfds:cifar10"
  config.pixels.std = (0.2,)
  config.augment.flip = True
  config.augment.noise = 0.15
  arml_recipes.semi_supervised(config, arg, num_classes=10, validation=5_000)
  return config
