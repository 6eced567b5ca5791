r"""DAMTL's comparison and ablations (Feng & Chen) on scikit-learn's digits.

  metaaux sweep --sweep=damtl \
    --config.cache=runs/cache

The rows of the paper's tables that there are methods for (single, which is
`separate` here, multi, cross-stitch, NDDR, DAMTL, DAMTL without alignment), on
overlapping and on disjoint tasks; beside them fine-tuning, which the paper
lacks, networks that start from random weights, the other choices of masks and
alignment, and the control of the alignment: classes that mean nothing. With a
cache the big task is trained once. One table, a column for each pair of tasks.

Arguments, after the colon and separated by commas:
  runlocal   one seed, 100 steps
  seeds=     number of seeds
"""

from collections.abc import Mapping

from metaaux import config as config_lib
from metaaux.config.space import Point, axis, chain, product

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
    methods(),
    size,
  )


def methods() -> list[Point]:
  """Baselines, DAMTL and its ablations, whatever the tasks are."""
  return chain(
    axis(":method", ["separate", "transfer"]),
    product(
      axis(":method", ["hard_sharing", "cross_stitch", "nddr"]),
      axis(":start", ["auxiliary", "random"]),
    ),
    product({":method": "damtl"}, _ablations()),
  )


def _ablations() -> list[Point]:
  return chain(
    {},
    axis(":align", ["none", "rbf"]),
    axis(":mask", ["none", "filter"]),
    axis(":source", ["frozen", "shared"]),
    {"damtl.sparsity": 0.0},
    {"damtl.align_classes": "random"},
    product({":start": "convolutions"}, axis(":align", ["linear", "none"])),
  )
