"""Meta-MTL and its baselines on miniImageNet, all labels.

  python -m metaaux.main --config=configs/meta_mtl_miniimagenet.py:path=DIR

Gui et al. 2020, Table 5: 100 classes of 600 images of 84x84 in class folders;
the first 500 of each class, in an order that never changes, are for training.
The paper's five folds are not offered.

Arguments, after the colon and separated by commas:
  runlocal         one seed, 200 steps, a small embedding
  path=            folder of class folders
  method=          meta_mtl | single | joint | pta | fine_tune |
                   self_training | co_training
  variant=         paper_second_order | first_order | code_torch1 |
                   code_torch2 | alternating
  embedding=       acai | spectral | pca | deepcluster | pixels | file
  labels=          kmeans | permuted | random (the controls)
  num_tasks=       T; decoders of pta
  num_classes=     k of each auxiliary task; 0: that of the primary one
  label_fraction=  share of the training images that have labels
  decoder=         hidden: as in the paper; linear: the hidden layer is shared
  dropout=         on the flattened features; of every method
  seeds=           number of seeds

Full size: not yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import maxl as maxl_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg,
    **{**maxl_recipes.META_MTL_PAPER_ARGUMENTS, "embedding": "deepcluster"},
    path="miniimagenet",
  )
  config = config_lib.base()
  config.dataset = f"folder:{arg.path}"
  config.train_split = "train[:500/class]"
  config.test_split = "train[500:/class]"
  config.psi = (1,)
  maxl_recipes.meta_mtl_paper(config, arg, class_size=500)
  config.model.widths = (32, 32, 32, 32)
  config.model.kernels = (3, 3, 3, 3)
  config.model.padding = "SAME"
  config.model.decoder = "linear"
  config.model.hidden = 0
  return config
