"""The tables of ARML (Shi et al. 2020), a row of the sweep for each cell.

  metaaux sweep --sweep=arml:table=semi
  metaaux sweep --sweep=arml:runlocal

semi: CIFAR-10 with 4,000 labels and SVHN with 1,000; its grid search is the
nine fixed weights (a, 2 - a), a = 0, 0.25 ... 2. All runs of it hold as many
images out as the papers, and these choose the point of the grid that stands
beside the paper's; --best_of=weighting.values of experiments.table leaves the
others out. pacs: each domain in turn is the target. celeba: one attribute with
1% of its labels beside 39 others. attributes: the same on CIFAR-100. digits:
every rule for the weights and a task without use, on scikit-learn's digits.
Single-task training is in each.

Arguments, after the colon and separated by commas:
  table=     semi | pacs | celeba | attributes | digits | all
  data=      path of PACS, see configs/arml_pacs.py
  runlocal   small networks, one seed
  seeds=     number of seeds; digits: five if it is not given

Full size: not yet run, but for attributes and digits (docs/results).
"""

from metaaux import config as config_lib
from metaaux.config.keys import WEIGHTINGS
from metaaux.config.space import Point, Points, axis, chain, product
from metaaux.config.space import zip as zipped
from metaaux.errors import UserError

COMPARATORS = (
  "single",
  "pi_model",
  "mean_teacher",
  "vat",
  "vat_entmin",
  "pseudo_label",
)
# Rules for the weights that the paper compares.
_RULES = (
  "uniform",
  "adaloss",
  "gradnorm",
  "cosine_similarity",
  "ol_aux",
  "arml",
)
_GRID = tuple((i / 4, 2 - i / 4) for i in range(9))


def _arml(rules: Points) -> list[Point]:
  return product({":method": "arml"}, rules)


def _semi(data: str) -> list[Point]:
  del data
  files = axis("config", ["configs/arml_cifar10.py", "configs/arml_svhn.py"])
  labels = axis(":labels", [4000, 1000])
  # Also of runs at small size, that have to choose, too.
  held_out = axis(":validation", [5000, 7320])
  grid = product({":weighting": "fixed"}, axis("weighting.values", _GRID))
  return product(
    zipped(files, labels, held_out),
    chain(
      axis(":method", COMPARATORS),
      _arml(chain(axis(":weighting", _RULES), grid)),
    ),
  )


def _pacs(data: str) -> list[Point]:
  domains = ("sketch", "art_painting", "cartoon", "photo")
  rules = axis(":weighting", ["uniform", "arml"])
  return product(
    {"config": "configs/arml_pacs.py", ":data": data},
    axis(":target_domain", domains),
    chain(
      {":method": "single"},
      product(axis(":mode", ["baseline", "joint"]), _arml(rules)),
      product({":method": "fada"}, rules),
    ),
  )


def _attributes(config: str) -> list[Point]:
  rules = axis(":weighting", _RULES)
  return product({"config": config}, chain({":method": "single"}, _arml(rules)))


def _celeba(data: str) -> list[Point]:
  del data
  return _attributes("configs/arml_celeba.py")


def _cifar100(data: str) -> list[Point]:
  del data
  return _attributes("configs/arml_cifar100.py")


def _digits(data: str) -> list[Point]:
  del data
  return product(
    {"config": "configs/arml_digits.py"},
    chain(
      {":method": "single"},
      _arml(
        chain(
          axis(":weighting", [r for r in WEIGHTINGS if r != "fixed"]),
          # What a rule would find that knew which task is of no use.
          {":weighting": "fixed", "weighting.values": (1.0, 1.0, 0.0)},
          {":algorithm": "two_stage"},
        )
      ),
    ),
  )


_TABLES = {
  "semi": _semi,
  "pacs": _pacs,
  "celeba": _celeba,
  "attributes": _cifar100,
  "digits": _digits,
}


def get_sweep(arg: str = "") -> list[Point]:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg, table="all", data="pacs.npz", runlocal=False, seeds=0
  )
  if arg.table not in (*_TABLES, "all"):
    raise UserError(
      f"table={arg.table!r} is unknown; use one of {', '.join(_TABLES)}, all"
    )
  found = []
  for name, points in _TABLES.items():
    if arg.table in (name, "all"):
      seeds = arg.seeds or (5 if name == "digits" else 3)
      size = {":runlocal": True} if arg.runlocal else {":seeds": seeds}
      found += product(points(arg.data), size)
  return found
