"""MAXL and its baselines on CIFAR-100's label hierarchy, VGG-16.

  python -m metaaux.main --config=configs/maxl_cifar100.py
  python -m metaaux.main --config=configs/maxl_cifar100.py:method=human
  python -m metaaux.main --config=configs/maxl_cifar100.py:runlocal

Liu, Davison & Johns 2019, section 4: batches of 100, SGD 0.01 halved every 50
of 200 epochs, gamma 2, entropy weight 0.2, accuracy averaged over the last 5
epochs; the generator by SGD at 1e-5 (variant=paper) or 1e-3 (code). Needs the
data set in TFDS (TFDS_DATA_DIR; `pip install 'metaaux[tfds]'` to prepare it).

Arguments, after the colon and separated by commas:
  runlocal       10,000 images, a quarter of the width, 400 steps, Adam at 1e-3
                 for the generator, one split for both updates
  method=        maxl | no_entropy | single | uniform | random | frozen |
                 kmeans | prototypical | human; kmeans and prototypical make
                 their labels from --config.embedding.name
  primary=, aux= levels 3, 10, 20 or 100; the pair of the paper is 20 and 100
  psi=           free label counts instead of aux, one number or C joined by +
  variant=       paper | code: what the official code does differently; see
                 metaaux.config.set_variant
  seeds=         number of seeds

As in the paper, MAXL holds a tenth of the training images out for the
generator, and the baselines train on all of them. For a paired comparison on
the same images add --config.meta_fraction=0.1 to the baselines.

Full recipe (90,000 steps of MAXL): not yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import maxl as maxl_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg,
    runlocal=False,
    method="maxl",
    primary="20",
    aux="100",
    psi=(),
    variant="paper",
    seeds=1,
  )
  config = config_lib.base()
  config.method = arg.method
  config.dataset = "tfds:cifar100"
  # As published for MAXL; not the true statistics of the set.
  config.pixels.std = (0.2,)
  config.primary = arg.primary
  config.aux = "" if arg.psi else arg.aux
  config.psi = arg.psi
  config.num_seeds = arg.seeds
  maxl_recipes.maxl(config, arg.variant, num_examples=50_000)
  if arg.runlocal:
    maxl_recipes.maxl_run_local(config)
  return config
