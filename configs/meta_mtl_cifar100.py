"""Meta-MTL and its baselines on CIFAR-100, all labels.

  python -m metaaux.main --config=configs/meta_mtl_cifar100.py
  python -m metaaux.main --config=configs/meta_mtl_cifar100.py:primary=100
  python -m metaaux.main --config=configs/meta_mtl_cifar100.py:preset=code

Gui et al. 2020, Table 4. Needs the data set in TFDS (TFDS_DATA_DIR, or `pip
install 'metaaux[tfds]'` to prepare it).

Arguments, after the colon and separated by commas:
  runlocal         one seed, 200 steps, a small embedding
  preset=          paper, or code: network, rates, momentum, weight decay and
                   clipping of the official code, and with it, unless they are
                   given, variant=code_torch1, num_tasks=7, num_classes=100,
                   flip and grayscale=0.1
  flip             random horizontal flips
  grayscale=       share of grey training images
  primary=         20 (superclasses) or 100 (classes)
  method=          meta_mtl | single | joint | pta | fine_tune |
                   self_training | co_training
  variant=         paper_second_order | first_order | code_torch1 |
                   code_torch2 | alternating
  embedding=       acai | spectral | pca | deepcluster | pixels | file
  labels=          kmeans | permuted | random (the controls)
  num_tasks=       T; decoders of pta
  num_classes=     k of each auxiliary task; 0: that of the primary one
  label_fraction=  share of the training images that have labels
  decoder=         hidden: as in the paper; linear: the hidden layer is shared;
                   preset=code has no hidden layer
  dropout=         on the flattened features; of every method
  seeds=           number of seeds

Full size: not yet run, with either preset.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import maxl as maxl_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = maxl_recipes.meta_mtl_preset(
    arg,
    code={
      "num_tasks": 7,
      "num_classes": 100,
      "flip": True,
      "grayscale": 0.1,
    },
    flip=False,
    grayscale=0.0,
    primary="20",
  )
  config = config_lib.base()
  config.dataset = "tfds:cifar100"
  config.pixels.std = (0.2,)
  config.primary = arg.primary
  config.psi = (1,)
  maxl_recipes.meta_mtl_paper(
    config, arg, class_size=2500 if arg.primary == "20" else 500
  )
  if arg.preset == "code":
    maxl_recipes.meta_mtl_code(config, arg.variant)
  config.augment.flip = arg.flip
  config.augment.grayscale = arg.grayscale
  return config
