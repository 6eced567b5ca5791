r"""DAMTL's comparison and ablations (Feng & Chen) on CIFAR-100.

  metaaux sweep --sweep=damtl_cifar100 \
    --config.cache=runs/cache

The runs of damtl.py on the six pairs of tasks of configs/damtl_cifar100.py.
With a cache the big task is trained once for each seed.

Arguments, after the colon and separated by commas:
  runlocal   one seed, a quarter of the width, 40 steps
  tasks=     some of the pairs, joined by +, such as po1+no1
  width=     of the network
  labels=    images of each class of a task
  seeds=     number of seeds
"""

from collections.abc import Mapping

from metaaux.experiments.sweeps import damtl

from metaaux import config as config_lib
from metaaux.config.space import Point, axis, product

TABLE: Mapping[str, tuple[str, ...]] = {
  "damtl_cifar100": ("--baseline=transfer",)
}


def get_sweep(arg: str = "") -> list[Point]:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg,
    runlocal=False,
    tasks="po1+po2+po3+no1+no2+no3",
    width=1.0,
    labels=50,
    seeds=5,
  )
  size = {":width": arg.width, ":labels": arg.labels}
  size |= {":runlocal": True} if arg.runlocal else {":seeds": arg.seeds}
  return product(
    {"config": "configs/damtl_cifar100.py"},
    axis(":tasks", arg.tasks.split("+")),
    damtl.methods(),
    size,
  )
