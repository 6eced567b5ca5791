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
from metaaux.config.recipes import arml as arml_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg,
    **arml_recipes.ATTRIBUTE_ARGUMENTS,
    attribute="5_o_Clock_Shadow",
    side=128,
  )
  config = config_lib.base()
  config.dataset = "tfds:celeb_a"
  config.attributes = ("*",)
  config.image_side = arg.side
  arml_recipes.attributes(config, arg)
  # A batch of 256 has the primary label for half of its images.
  epoch = 162_770 // 256
  config.batch_size = 128
  config.num_steps = 90 * epoch
  config.log_every = 100
  config.eval_every = 5 * epoch
  config.checkpoint_every = 5 * epoch
  config.average_last = 1
  config.augment.flip = True
  config.model.name = "resnet18"
  config.model.kernel_init = "he_normal"
  config.optimizer.learning_rate = 0.1
  config.optimizer.momentum = 0.9
  config.optimizer.weight_decay = 1e-4
  config.optimizer.schedule = "step"
  config.optimizer.decay_every = 30 * epoch
  config.optimizer.decay_factor = 0.1
  # 0.05 over the sum of the squared norms of all gradients.
  if config.weighting.name == "arml":
    config.weighting.eta = 0.05
    config.weighting.eta_mode = "relative"
  if arg.runlocal:
    _run_local(config)
  return config


def _run_local(config: ml_collections.ConfigDict) -> None:
  """A size that a laptop finishes in minutes."""
  config.train_split = "train[:2000]"
  config.test_split = "test[:1000]"
  config.image_side = 32
  if config.label_fraction:
    config.label_fraction = max(config.label_fraction, 0.1)
  config.batch_size = 32
  config.num_steps = 200
  config.log_every = 20
  config.eval_every = 100
  config.eval_examples = 1000
  config.checkpoint_every = 100
  config.model.width = 0.25
  config.optimizer.learning_rate = 0.02
  config.optimizer.schedule = "constant"
