"""ARML and its comparators on SVHN with few labels.

  python -m metaaux.main --config=configs/arml_svhn.py
  python -m metaaux.main --config=configs/arml_svhn.py:weighting=uniform
  python -m metaaux.main --config=configs/arml_svhn.py:runlocal,method=single

Auxiliary tasks: rotation and exemplar with a moving-average teacher, on the
labelled images and on as many of the rest. Needs the data set in TFDS
(TFDS_DATA_DIR, or `pip install 'metaaux[tfds]'` to prepare it).
Images are cropped at random (reflected borders of 2) and never mirrored.

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
                   7,320 if it is not given, with runlocal 0
  dropout=         on the features; of every method
  seeds=           number of seeds; 0: three, with runlocal one

The paper reports 94.11 ± 0.22 with 1,000 labels (error 5.89), uniform 92.17 ±
0.33. The full recipe: not yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import arml as arml_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg, **{**arml_recipes.SSL_ARGUMENTS, "labels": 1000}
  )
  config = config_lib.base()
  config.dataset = "tfds:svhn_cropped"
  # To [-1, 1], as the paper.
  config.pixels.std = (0.5,)
  config.consistency.epsilon = 1.0
  config.semi_supervised.flip = False
  arml_recipes.semi_supervised(config, arg, num_classes=10, validation=7_320)
  return config
