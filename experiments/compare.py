"""Runs beside a baseline, each with the number that a paper prints."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metaaux.errors import UserError
from metaaux.run import confidence_intervals

from .papers import lookup as published
from .papers.meta_mtl import Published
from .results import (
  Result,
  baseline_keys,
  difference,
  half_with_images,
  labels,
  naming,
  natural,
  picked,
  setting_keys,
  settings,
  told,
)

# A mean and half of its 95% interval (None for a single seed), fractions.
Interval = tuple[float, float | None]


class Row(NamedTuple):
  """One run in numbers; accuracies and shares are fractions.

  Attributes:
    label: method and what sets the run apart.
    setting: its column of the table; "" where all runs have the same.
    values: of the setting's keys, as in `Comparison.keys`.
    is_baseline: whether the runs of its setting are compared with it.
    accuracy: or another metric: mean over seeds and its half-width.
    seeds: how many.
    gap: paired difference to the baseline, None where there is none.
    pairs: number of seeds that both have.
    usage: share of MAXL's labels that are used, None for other methods.
    information: share of what MAXL's labels could say, likewise.
    paper: what a paper prints, in percent. Of a grid of fixed weights its best
      run by held-out images has it alone.
    departures: what the run does otherwise than that paper, `key=value`.
    result: the run itself.
    half: half of the interval of `accuracy` that covers the test images, too;
      None where it is not known.
    gap_half: likewise of `gap`.
  """

  label: str
  setting: str
  values: tuple[Any, ...]
  is_baseline: bool
  accuracy: Interval
  seeds: int
  gap: Interval | None
  pairs: int
  usage: Interval | None
  information: Interval | None
  paper: Published | None
  departures: tuple[str, ...]
  result: Result
  half: float | None = None
  gap_half: float | None = None


class Comparison(NamedTuple):
  """Runs of a folder; the baselines come first.

  Attributes:
    keys: of the config, that make the settings.
    settings: columns, in their order.
    rows: one a run.
    unsaid: keys that differ, too, and that labels leave out to stay short.
  """

  keys: tuple[str, ...]
  settings: tuple[str, ...]
  rows: tuple[Row, ...]
  unsaid: str = ""


def compare(
  results: Sequence[Result], baseline: str, by: Sequence[str] = ()
) -> Comparison:
  """Pairs every run with the baseline of its setting.

  Args:
    results: of `results.load`.
    baseline: a method, or the name of a run's folder. In a setting without it
      the run of the same label takes its place.
    by: keys of the config that make settings; keys of the data that differ
      between runs always do, and those that tell which of several baselines
      belongs to which runs.

  Raises:
    UserError: no run, or more than one of a setting, is the baseline; it shares
      no seed with another run; or a key is unknown.
  """
  keys = setting_keys(results, by)
  keys += baseline_keys(results, baseline, keys)
  names = labels(results, keys)
  where = settings(results, keys, by)
  columns = tuple(sorted(dict.fromkeys(where), key=natural))
  bases = {
    each: _baseline(
      [r for r, s in zip(results, where, strict=True) if s == each], baseline
    )
    for each in columns
  }
  chosen = {
    name
    for name, result in zip(names, results, strict=True)
    if any(result is base for base in bases.values())
  }
  if not chosen:
    raise _no_baseline(results, baseline)
  for result, name, each in zip(results, names, where, strict=True):
    if bases[each] is None and name in chosen:
      bases[each] = result
  searched = picked.grid_searches(results)
  rows = [
    _row(result, name, each, keys, bases[each], searched)
    for result, name, each in zip(results, names, where, strict=True)
  ]
  methods = list(dict.fromkeys(result["method"] for result in results))
  rows.sort(
    key=lambda row: (
      row.label not in chosen,
      methods.index(row.result["method"]),
      natural(row.label),
    )
  )
  unsaid = naming.left_out(
    results,
    dict.fromkeys([*keys, *itertools.chain(*told(results, keys))]),
    [f"{name} {each}" for name, each in zip(names, where, strict=True)],
  )
  return Comparison(keys, columns, tuple(rows), unsaid)


def _baseline(results: Sequence[Result], baseline: str) -> Result | None:
  """The one run of a setting that is meant, None if none is."""
  of_method = [r for r in results if r["method"] == baseline]
  if len(of_method) == 1:
    return of_method[0]
  for part in (lambda name: name, lambda name: name.rpartition("/")[2]):
    named = [r for r in results if part(r["name"]) == baseline.rstrip("/")]
    if len(named) == 1:
      return named[0]
    of_method = of_method or named
  if of_method:
    raise UserError(
      f"{len(of_method)} runs are of method {baseline!r} or are called so, "
      "expected one; set --baseline to the folder of one of "
      f"{', '.join(r['name'] for r in of_method)}, or make columns with --by"
    )
  return None


def _no_baseline(results: Sequence[Result], baseline: str) -> UserError:
  methods = ", ".join(dict.fromkeys(r["method"] for r in results))
  return UserError(
    f"0 runs are of method {baseline!r}, and no run's folder is called so; the "
    f"folder has {methods}; set --baseline to one of them"
  )


def _row(
  result: Result,
  label: str,
  where: str,
  keys: Sequence[str],
  base: Result | None,
  searched: Mapping[str, Any],
) -> Row:
  gap, pairs, gap_half = None, 0, None
  if base is not None and base is not result:
    mean, half, pairs = difference(result, base)
    gap = mean, half
    gap_half = half_with_images(result, base)

  def mean_of(key: str) -> Interval | None:
    values = result.get("meta_split", {}).get(key)
    return None if values is None else confidence_intervals.mean_ci(values)

  config = result["config"]
  of_paper = result.get("metric", "accuracy") == "accuracy"
  if result["method"] == picked.FIXED:
    of_paper = of_paper and result["workdir"] in searched
  paper = published.of_run(result["method"], config) if of_paper else None
  departures = published.departures(result["method"], config) if paper else ()
  return Row(
    label=label,
    setting=where,
    values=tuple(config.get(key, "") for key in keys),
    is_baseline=base is result,
    accuracy=(result["mean"], result.get("ci95")),
    seeds=len(result["seeds"]),
    gap=gap,
    pairs=pairs,
    usage=mean_of("label_usage"),
    information=mean_of("information_fraction"),
    paper=paper,
    departures=tuple(departures),
    result={**result, "picked": searched[result["workdir"]]}
    if result["workdir"] in searched
    else result,
    half=result.get("ci95_with_images"),
    gap_half=gap_half,
  )
