"""Joint training on clusters of features, beside its control and baselines.

  metaaux sweep --sweep=features
  metaaux sweep --sweep=features:data=npz:PATH,clusters=200,weight=3

Single-task training, joint training on k-means tasks of all rows, the same with
permuted clusters, and what one would pick without a network: logistic
regression, the nearest labelled row, label spreading; with `every` also the
semi-supervised methods. All on the same labelled rows and seeds.

Arguments, after the colon and separated by commas:
  runlocal   one seed and few steps
  seeds=     number of seeds
  data=, labels=, clusters=, weight=, network=, steps=, batch=
             as of configs/features.py
  every      semi-supervised methods, too
"""

from metaaux import config as config_lib
from metaaux.config.keys.names import FITTED
from metaaux.config.space import Point, axis, chain, product

_SEMI_SUPERVISED = ("pseudo_label", "mean_teacher", "vat", "self_training")


def get_sweep(arg: str = "") -> list[Point]:
  """See the module's docstring."""
  passed = {
    "data": "digits",
    "labels": 5,
    "clusters": 10,
    "weight": 10.0,
    "network": "narrow",
    "steps": 1000,
    "batch": 50,
  }
  arg = config_lib.parse_argument(
    arg, runlocal=False, seeds=20, every=False, **passed
  )
  size = {":runlocal": True} if arg.runlocal else {":seeds": arg.seeds}
  # The names of runs have what is not the default.
  common = {
    f":{name}": arg[name]
    for name, default in passed.items()
    if arg[name] != default
  }
  methods = [*FITTED, "single", *(_SEMI_SUPERVISED if arg.every else ())]
  return product(
    {"config": "configs/features.py"},
    chain(
      axis(":method", methods),
      {":method": "joint", ":control": True},
      {":method": "joint"},
    ),
    common,
    size,
  )
