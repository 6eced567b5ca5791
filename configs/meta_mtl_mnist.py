"""Meta-MTL and its baselines on MNIST with 1% of its labels.

  python -m metaaux.main --config=configs/meta_mtl_mnist.py
  python -m metaaux.main --config=configs/meta_mtl_mnist.py:method=single
  python -m metaaux.main --config=configs/meta_mtl_mnist.py:variant=alternating

60 labelled images of each digit, drawn anew for each seed; the clusters are of
all 60,000 training images. Needs the data set in TFDS (TFDS_DATA_DIR, or `pip
install 'metaaux[tfds]'` to prepare it). Runs that share a folder
--config.cache=DIR compute an embedding once.

Arguments, after the colon and separated by commas:
  runlocal         one seed, 200 steps
  method=          meta_mtl | single | joint | pta | fine_tune |
                   self_training | co_training
  variant=         paper_second_order | first_order | code_torch1 |
                   code_torch2 | alternating
  embedding=       spectral | pca | acai | deepcluster | pixels | file
  labels=          kmeans | permuted | random (the controls)
  num_tasks=       T; decoders of pta
  num_classes=     k of each auxiliary task; 0: that of the primary one
  label_fraction=  share of the training images that have labels
  decoder=         linear: the hidden layer is shared; hidden: as in the paper
  dropout=         on the flattened features; of every method
  seeds=           number of seeds

Expected with --config.num_steps=1000, five seeds, two x86-64 cores (mean test
accuracy and 95% interval): paper_second_order 95.34 ± 0.42 (5 minutes),
alternating 96.18 ± 0.36, joint 96.19 ± 0.52, single 95.54 ± 0.48 (95 seconds);
docs/results has the controls and other embeddings. The default 2,000 steps: not
yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import maxl as maxl_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(arg, **maxl_recipes.META_MTL_ARGUMENTS)
  config = config_lib.base()
  config.dataset = "tfds:mnist"
  # As the paper, in [0, 1].
  config.pixels.mean, config.pixels.std = (0.0,), (1.0,)
  config.psi = (1,)
  maxl_recipes.meta_mtl(config, arg, class_size=6000)
  return config
