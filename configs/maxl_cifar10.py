"""MAXL and its baselines on CIFAR-10 with free label counts, VGG-16.

  python -m metaaux.main --config=configs/maxl_cifar10.py
  python -m metaaux.main --config=configs/maxl_cifar10.py:method=uniform,psi=10
  python -m metaaux.main --config=configs/maxl_cifar10.py:runlocal

Liu, Davison & Johns 2019, section 4.4: every class gets the same number of
auxiliary classes, 2, 5, 10, 20, 50 or 100. There is no finer human level, so
method=human and method=prototypical do not apply. Also evaluated on CIFAR-10.1
(v6) where TFDS has it; a run without it says so and goes on.

Arguments, after the colon and separated by commas:
  runlocal   5,000 images, a quarter of the width, 400 steps, Adam at 1e-3 for
             the generator in place of SGD at 1e-5 (paper) or 1e-3 (code)
  method=    maxl | no_entropy | single | uniform | random | frozen | kmeans,
             which clusters --config.embedding.name
  psi=       auxiliary classes of each class, 5 by default
  variant=   paper | code, see metaaux.config.set_variant
  seeds=     number of seeds

Full recipe (90,000 steps of MAXL): not yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import maxl as maxl_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg, runlocal=False, method="maxl", psi=5, variant="paper", seeds=1
  )
  config = config_lib.base()
  config.method = arg.method
  config.dataset = "tfds:cifar10"
  # As published for MAXL; not the true statistics of the set.
  config.pixels.std = (0.2,)
  config.extra_test = ("tfds:cifar10_1/v6",)
  config.psi = (arg.psi,)
  config.num_seeds = arg.seeds
  maxl_recipes.maxl(config, arg.variant, num_examples=50_000)
  if arg.runlocal:
    maxl_recipes.maxl_run_local(config)
  return config
