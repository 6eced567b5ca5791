"""Every method that runs on scikit-learn's digits, five seeds each.

  metaaux sweep --sweep=digits_all_methods

Four problems, a table each: odd or even with the digits as the finer level
(MAXL and its baselines), the digit from 100 labels (Meta-MTL and its
baselines, classifiers of scikit-learn too), from 50 labels (ARML and its
baselines), and two tasks beside a big one (DAMTL). Single-task training is in
all of them.

Arguments, after the colon and separated by commas:
  runlocal   one seed and a tenth of the steps
  seeds=     number of seeds
  rules      all of ARML's rules for the weights, not its own and equal ones
             alone
"""

from metaaux.experiments.sweeps import arml as sweep_arml
from metaaux.experiments.sweeps import maxl as sweep_maxl
from metaaux.experiments.sweeps import meta_mtl as sweep_meta_mtl

from metaaux import config as config_lib
from metaaux.config.keys import WEIGHTINGS
from metaaux.config.keys.names import FITTED
from metaaux.config.space import Point, axis, chain, product

_META_MTL = (*FITTED, "single", "self_training", "co_training", "pta")
_DAMTL = (
  "single",
  "separate",
  "hard_sharing",
  "cross_stitch",
  "nddr",
  "transfer",
  "damtl",
)


def get_sweep(arg: str = "") -> list[Point]:
  """See the module's docstring."""
  arg = config_lib.parse_argument(arg, runlocal=False, seeds=5, rules=False)
  size = {":runlocal": True} if arg.runlocal else {":seeds": arg.seeds}
  # Fixed weights would have to be given.
  every = [name for name in WEIGHTINGS if name != "fixed"]
  rules = every if arg.rules else ["uniform", "arml"]
  maxl = product(
    {"config": "configs/maxl_digits.py"},
    axis(":method", ["single", *sweep_maxl.HIERARCHY]),
  )
  meta_mtl = product(
    {"config": "configs/meta_mtl_digits.py"},
    chain(
      axis(":method", _META_MTL),
      sweep_meta_mtl.joint(10, 0.1),
      {":method": "fine_tune", ":embedding": "acai"},
      # Beside the clusters, their control: as many classes, wrong images.
      product({":method": "meta_mtl"}, axis(":labels", ["permuted", "kmeans"])),
    ),
  )
  arml = product(
    {"config": "configs/arml_digits.py"},
    chain(
      axis(":method", sweep_arml.COMPARATORS),
      product({":method": "arml"}, axis(":weighting", rules)),
    ),
  )
  damtl = product(
    {"config": "configs/damtl_digits.py"}, axis(":method", _DAMTL)
  )
  return product(chain(maxl, meta_mtl, arml, damtl), size)
