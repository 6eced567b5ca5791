"""The figures of MAXL (Liu, Davison & Johns), in the settings of its preprint.

  metaaux sweep --sweep=maxl
  metaaux sweep --sweep=maxl:figure=psi
  metaaux sweep --sweep=maxl:runlocal

hierarchy: CIFAR-100's six pairs of levels, every baseline, and MAXL with and
without its entropy term. psi: 2 to 100 auxiliary classes of each class of
CIFAR-10, also tested on CIFAR-10.1, with the entropy term and without. Beside
the paper's rows stand the controls: labels that are uniform within their block,
and those of the generator as it was initialised (frozen). The generator is
trained by SGD, at 1e-5 with variant=paper and 1e-3 with variant=code; runlocal
takes Adam at 1e-3.

Arguments, after the colon and separated by commas:
  figure=    hierarchy | psi | all
  variant=   paper | code, see metaaux.config.set_variant
  runlocal   10,000 or 5,000 images, a quarter of the width, 400 steps
  seeds=     number of seeds

Full size (90,000 steps of VGG-16 a run): not yet run.
"""

from metaaux import config as config_lib
from metaaux.config.space import Point, axis, chain, product
from metaaux.errors import UserError

_PAIRS = (
  ("3", ("10", "20", "100")),
  ("10", ("20", "100")),
  ("20", ("100",)),
)
HIERARCHY = (
  "uniform",
  "random",
  "frozen",
  "kmeans",
  "prototypical",
  "human",
  "no_entropy",
  "maxl",
)
_PSI = (2, 5, 10, 20, 50, 100)


def _hierarchy() -> list[Point]:
  parts = [
    product(
      {"config": "configs/maxl_cifar100.py", ":primary": primary},
      chain(
        {":method": "single"},  # it reads no auxiliary labels
        product(axis(":aux", levels), axis(":method", HIERARCHY)),
      ),
    )
    for primary, levels in _PAIRS
  ]
  return chain(*parts)


def _psi() -> list[Point]:
  return product(
    {"config": "configs/maxl_cifar10.py"},
    chain(
      {":method": "single"},
      product(
        axis(":psi", _PSI),
        axis(":method", ["uniform", "random", "frozen", "no_entropy", "maxl"]),
      ),
    ),
  )


def get_sweep(arg: str = "") -> list[Point]:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg, figure="all", variant="paper", runlocal=False, seeds=3
  )
  figures = {"hierarchy": _hierarchy, "psi": _psi}
  if arg.figure not in (*figures, "all"):
    raise UserError(
      f"figure={arg.figure!r} is unknown; use one of {', '.join(figures)}, all"
    )
  wanted = figures if arg.figure == "all" else [arg.figure]
  more = {":runlocal": True} if arg.runlocal else {":seeds": arg.seeds}
  return product(
    chain(*(figures[name]() for name in wanted)),
    {":variant": arg.variant},
    more,
  )
