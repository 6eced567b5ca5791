"""Meta-MTL and its baselines on one alphabet of Omniglot.

  python -m metaaux.main --config=configs/meta_mtl_omniglot.py:alphabet=Greek
  python -m metaaux.main --config=configs/meta_mtl_omniglot.py:method=single

Gui et al. 2020, Table 1: 20 drawings of each character, 10 for training, 4 for
validation (`python -m metaaux.evaluate --workdir=RUN
--split='train[50%:70%/class]+test[50%:70%/class]'`) and 6 for testing; the
clusters are of the training drawings. Needs the data set
in TFDS (TFDS_DATA_DIR, or `pip install 'metaaux[tfds]'` to prepare it).

Arguments, after the colon and separated by commas:
  runlocal         one seed, 200 steps, a small embedding
  alphabet=        Greek, Korean, Latin, ...: one of the 50; all: one network
                   for all of them, a decoder each (with method=single)
  shrink           images of 52x52, and one block less in the network, whose
                   features have the same shape; a fifth of the work
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

Full size: not yet run. Greek with `shrink,seeds=1` and 500 steps on one CPU
core: single 67.4 (2 to 4 minutes), meta_mtl 50.0 (6 to 9 minutes), both still
rising; docs/results has five alphabets.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import maxl as maxl_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg,
    **{**maxl_recipes.META_MTL_PAPER_ARGUMENTS, "embedding": "pca"},
    alphabet="Greek",
    shrink=False,
  )
  config = config_lib.base()
  config.dataset = "tfds:omniglot"
  # As the paper, in [0, 1], where ink is 1: Omniglot has white paper.
  config.pixels.mean, config.pixels.std = (1.0,), (-1.0,)
  if arg.alphabet == "all":
    config.primary, config.within = "label", "alphabet"
  else:
    config.select = f"alphabet={arg.alphabet}"
  config.train_split = "train[:50%/class]+test[:50%/class]"
  config.test_split = "train[70%:/class]+test[70%:/class]"
  config.psi = (1,)
  maxl_recipes.meta_mtl(config, arg, class_size=10)
  config.model.widths = (53, 53, 53, 53)
  config.model.kernels = (3, 3, 3, 3)
  if arg.shrink:
    config.shrink = 2
    config.model.widths = config.model.widths[1:]
    config.model.kernels = config.model.kernels[1:]
  # Fine-tuning trains the encoder of the embedding, which has no such blocks.
  config.model.block_dropout = 0.0 if arg.method == "fine_tune" else 0.5
  config.model.hidden = 848
  config.optimizer.clip_norm = 1.0
  return config
