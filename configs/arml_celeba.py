"""ARML and its baselines on CelebA: one attribute of few images, 39 of all.

  python -m metaaux.main --config=configs/arml_celeba.py
  python -m metaaux.main --config=configs/arml_celeba.py:weighting=uniform
  python -m metaaux.main --config=configs/arml_celeba.py:method=single
  python -m metaaux.main --config=configs/arml_celeba.py:runlocal

Shi et al. 2020, section "Multi-label classification": the primary task is one
attribute, whose label 1% of the training images have; the other 39 are
auxiliary tasks, known of all images. ResNet-18, 90 epochs of SGD at 0.1, a
tenth of it after every 30; a step takes 128 images with the primary label and
128 of all. What the paper leaves open is ours: the middle 178x178 pixels
resized, mirroring, momentum 0.9, weight decay 1e-4, weights that move at every
20th step by 0.05 in terms of the gradients. That takes a reverse pass for each
task; --config.weighting.eta_mode=absolute --config.weighting.eta=0.0125, the
rate of ARML's code, takes none of them.

Needs the data set in TFDS (TFDS_DATA_DIR) as array_record files; preparing it
needs `pip install 'metaaux[tfds]'` and a download of CelebA. The training
images take 2 GB of memory at side=64 and 8 GB at side=128.

Arguments, after the colon and separated by commas:
  runlocal     2,000 images at side 32, a quarter of the width, 200 steps
  attribute=   the primary one of the 40, such as Smiling
  method=      arml, or single on the same labelled images
  weighting=   arml | uniform | any other rule of config.weighting.name
  labels=      share of the images that have the primary label; 1: all
  side=        of the images
  seeds=       number of seeds

result.json has the accuracy, the average precision and the balanced accuracy of
the primary attribute, and the latter two of all others. The paper selects by
validation; here the last evaluation counts.

Full size (57,150 steps): not yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import arml_attributes as recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg, **recipes.ARGUMENTS, attribute="5_o_Clock_Shadow", side=128
  )
  config = config_lib.base()
  config.dataset = "tfds:celeb_a"
  config.attributes = ("*",)
  config.image_side = arg.side
  recipes.attributes(config, arg)
  recipes.celeba(config, num_examples=162_770)
  if arg.runlocal:
    recipes.celeba_run_local(config)
  return config
