"""Of runs that differ in one key, the one that held-out images choose.

A grid search over fixed weights of tasks is as many runs as it has points, and
its figure on the test set is that of one of them: which one, only images may
say that are neither trained on nor reported. These are the images of the meta
split, where `meta_per_class`, `meta_fraction` or a target domain set it apart.
"""

from collections.abc import Sequence
from typing import Any

from metaaux.errors import UserError
from metaaux.run import confidence_intervals

from . import Result, shown
from .pooled import rest

# Method and key of a grid search over the weights of tasks.
FIXED, VALUES = "weights:fixed", "weighting.values"


def held_out(result: Result) -> float | None:
  """Mean accuracy over the seeds on images held out of training.

  None where the run holds none out, and its meta split is what it trains on.
  """
  config = result["config"]
  apart = ("meta_fraction", "meta_per_class", "target_domain")
  values = result.get("meta_split", {}).get("accuracy")
  if not values or not any(config.get(key) for key in apart):
    return None
  return sum(values) / len(values)


def pick(results: Sequence[Result], key: str) -> list[Result]:
  """The best run of each grid by its held-out images; other runs as they are.

  Args:
    results: of `results.load`.
    key: dotted, such as "weighting.values"; runs that differ in it alone are
      the points of one grid.

  Returns:
    The runs that are left, in their order. The pick of a grid has `picked`,
    with the `key`, the number of points and the held-out accuracy; of equals it
    is the first.

  Raises:
    UserError: no run has the key, a point has held no images out, or points are
      of other seeds.
  """
  if not any(key in result["config"] for result in results):
    raise UserError(f"no run has the key {key!r}; use a key of config.json")
  kept = {}
  for grid in _grids(results, key):
    best = _best(grid, key)
    kept |= {run["workdir"]: run for run in (grid if best is None else [best])}
  return [kept[run["workdir"]] for run in results if run["workdir"] in kept]


def grid_searches(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
  """Runs that may stand beside the figure of a paper's grid search.

  Args:
    results: of `results.load` or of `pick`.

  Returns:
    `picked` of each grid's best run by held-out images, by its folder. A run
    that is alone has been chosen among none, and a grid without held-out
    images by nothing that may choose.
  """
  fixed = [result for result in results if result["method"] == FIXED]
  found = {run["workdir"]: run["picked"] for run in fixed if "picked" in run}
  for grid in _grids(fixed, VALUES):
    if all(held_out(run) is not None for run in grid):
      best = _best(grid, VALUES)
      found |= {best["workdir"]: best["picked"]} if best else {}
  return found


def sentence(picked: dict[str, Any]) -> str:
  """How a run was picked, for a note below a table."""
  accuracy = confidence_intervals.format_ci(picked["held_out"], None)
  return (
    f"the best of {picked['of']} values of {picked['key']} by held-out images "
    f"({accuracy} % of them right)"
  )


def _grids(results: Sequence[Result], key: str) -> list[list[Result]]:
  groups: dict[Any, list[Result]] = {}
  for result in results:
    groups.setdefault(rest(result, key), []).append(result)
  return list(groups.values())


def _best(grid: Sequence[Result], key: str) -> Result | None:
  """The pick of a grid; None where all runs have one value and it is none."""
  if len({shown(run["config"].get(key, "")) for run in grid}) == 1:
    return None
  first = grid[0]
  for run in grid:
    if held_out(run) is None:
      raise UserError(
        f"{run['workdir']} held no images out of training, so that nothing but "
        f"the test set could choose among the values of {key}; train it with "
        "meta_per_class, such as 500, or meta_fraction"
      )
    if sorted(run["seeds"]) != sorted(first["seeds"]):
      raise UserError(
        f"{first['workdir']} and {run['workdir']} are of other seeds; a grid "
        "is over the same ones"
      )
  best = max(grid, key=lambda run: held_out(run))
  picked = {"key": key, "of": len(grid), "held_out": held_out(best)}
  return {**best, "picked": picked}
