"""DAMTL's comparison and ablations (Feng & Chen) on scikit-learn's digits.

  python -m experiments.sweep --sweep=experiments/sweeps/damtl.py

The rows of the paper's tables that there are methods for (single, hard sharing,
DAMTL, DAMTL without alignment), on overlapping and on disjoint tasks; beside
them fine-tuning, which the paper lacks, and the other choices of masks, kernels
and alignment. One table, with a column for each pair of tasks.

Arguments, after the colon and separated by commas:
  runlocal   one seed, 100 steps
  seeds=     number of seeds
"""

from collections.abc import Mapping

from experiments.sweep_space import Point, axis, chain, product
from metaaux import config as config_lib

# Fine-tuning is what DAMTL has to beat.
TABLE: Mapping[str, tuple[str, ...]] = {
  "damtl_digits": ("--baseline=transfer",)
}


def get_sweep(arg: str = "") -> list[Point]:
  """See the module's docstring."""
  arg = config_lib.parse_argument(arg, runlocal=False, seeds=5)
  size = {":runlocal": True} if arg.runlocal else {":seeds": arg.seeds}
  return product(
    {"config": "configs/damtl_digits.py"},
    axis(":tasks", ["po", "no"]),
    chain(
      axis(":method", ["single", "separate", "transfer"]),
      product(
        {":method": "damtl"},
        chain(
          {},
          axis(":align", ["none", "rbf"]),
          axis(":mask", ["none", "filter"]),
          {":source": "frozen"},
        ),
      ),
    ),
    size,
  )
