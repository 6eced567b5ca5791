"""Finished runs in a folder: what they found, and what tells them apart."""

import itertools
from collections.abc import Collection, Sequence
from typing import Any

from metaaux import config as config_lib
from metaaux.config import keys as keys_lib
from metaaux.config.keys import KEYS
from metaaux.errors import UserError, did_you_mean
from metaaux.run import confidence_intervals
from metaaux.run import directory as run_directory
from metaaux.run.logs import correct_images

from . import naming
from .files import Result as Result
from .files import in_order as in_order
from .files import load as load
from .files import natural as natural
from .files import unfinished as unfinished
from .naming import shown as shown

# Keys that names of runs leave out: a result does not depend on them, or the
# name of the method or a column says them already.
NOT_MEASURED = frozenset(
  name
  for name, key in KEYS.items()
  if not (key.affects_result and key.told_apart)
)
# The data of a run: differences between runs mean nothing across these.
_DATA = sorted(
  (name for name, key in KEYS.items() if key.column),
  key=lambda name: KEYS[name].column,
)


def _is_auxiliary(key: str) -> bool:
  """Whether single-task training does not depend on a key."""
  return key in KEYS and not keys_lib.depends("single", key)


def of_attribute(metric: str, attribute: str) -> str:
  """What a metric of one attribute is called."""
  return f"{metric}/{attribute}"


def measures(result: Result) -> dict[str, list[float]]:
  """What a run measures besides its accuracy: name -> a value of each seed.

  `metrics` of its result.json, such as average_precision; its `groups`, such as
  task_0: the accuracy within that; its `extra_tests`; and metrics of single
  `attributes`, such as average_precision/Smiling.
  """
  return {
    **{
      of_attribute(metric, attribute): values
      for attribute, scores in result.get("attributes", {}).items()
      for metric, values in scores.items()
    },
    **result.get("extra_tests", {}),
    **result.get("groups", {}),
    **result.get("metrics", {}),
  }


def measured(results: Sequence[Result], metric: str) -> list[Result]:
  """The runs by another number of theirs, in place of their accuracy.

  Args:
    results: of `load`.
    metric: "accuracy", or of `measures`.

  Raises:
    UserError: a run has no such number.
  """
  if metric == "accuracy":
    return list(results)
  found = []
  for result in results:
    known = measures(result)
    if metric not in known:
      names = ", ".join(["accuracy", *known])
      raise UserError(
        f"{result['workdir']} has no metric {metric!r}"
        f"{did_you_mean(metric, known)}; it has {names}"
      )
    mean, ci95 = confidence_intervals.mean_ci(known[metric])
    found.append(
      {
        **result,
        "metric": metric,
        "per_seed": known[metric],
        "mean": mean,
        "ci95": ci95,
        # Known of the accuracy alone.
        "ci95_with_images": None,
        "test_images": "",
      }
    )
  return found


def half_with_images(result: Result, baseline: Result) -> float | None:
  """Half an interval of `difference` that covers the test images, too.

  Args:
    result: of `load`.
    baseline: likewise; they share a seed.

  Returns:
    None where it is not known on which images they were right, or they were
    not tested on the same ones.
  """
  common = [seed for seed in result["seeds"] if seed in baseline["seeds"]]
  ours, theirs = (
    correct_images.read(r["workdir"], r) for r in (result, baseline)
  )
  return correct_images.half_width_of_difference(ours, theirs, common)


def _values(results: Sequence[Result], key: str) -> set[str]:
  return {shown(r["config"][key]) for r in results if key in r["config"]}


def setting_keys(
  results: Sequence[Result], chosen: Sequence[str] = ()
) -> tuple[str, ...]:
  """Keys whose values make the columns of a table.

  Args:
    results: of `load`.
    chosen: by the user; keys of the data that differ between runs join them,
      by what was trained, whether a level was named or found.

  Raises:
    UserError: no run has such a key.
  """
  known = {key for result in results for key in result["config"]}
  for key in chosen:
    if key not in known:
      raise UserError(
        f"no run has the key {key!r}{did_you_mean(key, known)}; use keys of "
        f"{run_directory.CONFIG}, dotted"
      )
  differ = [key for key in _DATA if len(_values(results, key)) > 1]
  return tuple(dict.fromkeys((*chosen, *differ)))


def settings(
  results: Sequence[Result], keys: Sequence[str], chosen: Sequence[str] = ()
) -> list[str]:
  """`key=value key=value` of each run; "" without keys.

  Where that is long, keys that tell no two settings apart are left out.

  Args:
    results: of `results.load`.
    keys: of `setting_keys`.
    chosen: of these, by the user; they stay.
  """
  return naming.settings(results, keys, chosen)


def differing(results: Sequence[Result]) -> list[str]:
  """Keys that are measured and whose values differ between the runs."""
  every = dict.fromkeys(key for result in results for key in result["config"])
  return [
    key
    for key in every
    if key not in NOT_MEASURED and len(_values(results, key)) > 1
  ]


def told(
  results: Sequence[Result], keys: Sequence[str] = ()
) -> list[list[str]]:
  """Of each run the keys that are worth a word of its label, see `labels`."""
  defaults = config_lib.flatten(config_lib.base())
  differ = [key for key in differing(results) if key not in keys]
  found = []
  for result in results:
    alike = [r for r in results if r["method"] == result["method"]]
    own = result["method"] + "."
    found.append(
      [
        key
        for key in sorted(differ, key=lambda k: (not k.startswith(own), k))
        if result["config"].get(key, "") != ""
        and (len(_values(alike, key)) > 1 or _is_unusual(result, key, defaults))
      ]
    )
  return found


def unlike(results: Sequence[Result]) -> str:
  """Keys, in a few words, that differ and are of no method; "" if none."""
  every = itertools.chain(*told(results))
  others = [key for key in dict.fromkeys(every) if not _is_auxiliary(key)]
  return naming.left_out(results, others, ())


def labels(results: Sequence[Result], keys: Sequence[str] = ()) -> list[str]:
  """What to call each run: its method, and what sets it apart.

  Named are the keys that differ between the runs of its method, and those that
  differ between any runs where this one leaves the default; of these none that
  is empty. Where names would be long, as with runs of different config files,
  only what tells runs of one method and setting apart, see `naming`. Runs that
  still have one name in one setting get that of their folder, too.

  Args:
    results: of `results.load`.
    keys: of the setting, which labels leave out.
  """
  where = settings(results, keys)
  names = naming.labels(results, told(results, keys), where)
  cells = list(zip(names, where, strict=True))
  return [
    f"{cell[0]} ({result['name']})" if cells.count(cell) > 1 else cell[0]
    for cell, result in zip(cells, results, strict=True)
  ]


def default_baseline(results: Sequence[Result]) -> str:
  """Single-task training, or the first control where there is no run of it."""
  methods = [result["method"] for result in results]
  return "single" if "single" in methods or not methods else methods[0]


def baseline_keys(
  results: Sequence[Result], baseline: str, keys: Sequence[str]
) -> tuple[str, ...]:
  """Keys that tell which of several baselines a run belongs to.

  Config files have a baseline each, which differ in how long they train, say.
  A run belongs to the one that it agrees with.

  Args:
    results: of `results.load`.
    baseline: a method.
    keys: that make settings already.

  Returns:
    Few keys, so that each baseline has a setting of its own and other runs in
    it; () where there is one baseline in each setting, or no such keys.
  """
  found: dict[str, None] = {}
  where = settings(results, keys)
  for each in dict.fromkeys(where):
    here = [r for r, s in zip(results, where, strict=True) if s == each]
    bases = [r for r in here if r["method"] == baseline]
    if len(bases) < 2:
      continue
    others = [r for r in here if r["method"] != baseline]
    known = [
      key
      for key in differing(bases)
      if key not in keys
      and not (baseline == "single" and _is_auxiliary(key))
      and _values(others, key) == _values(bases, key)
    ]
    chosen = naming.telling(bases, known)
    values = [
      [tuple(shown(r["config"].get(k, "-")) for k in chosen) for r in part]
      for part in (bases, others)
    ]
    if len(set(values[0])) < len(bases) or set(values[0]) != set(values[1]):
      return ()
    found |= dict.fromkeys(chosen)
  return tuple(found)


def _is_unusual(result: Result, key: str, defaults: dict[str, Any]) -> bool:
  if result["method"] == "single" and _is_auxiliary(key):
    return False
  default = shown(defaults[key]) if key in defaults else None
  return shown(result["config"][key]) != default


def difference(
  result: Result, baseline: Result
) -> tuple[float, float | None, int]:
  """Mean difference over the seeds that both runs have, and its interval.

  A seed fixes the labelled subset, the initial weights and the batches of all
  methods alike, so a paired difference is free of what they share.

  Returns:
    Mean, half-width of its 95% interval (None for one seed), number of seeds.

  Raises:
    UserError: they share no seed.
  """
  ours = dict(zip(result["seeds"], result["per_seed"], strict=True))
  theirs = dict(zip(baseline["seeds"], baseline["per_seed"], strict=True))
  common: Collection[int] = sorted(ours.keys() & theirs.keys())
  if not common:
    raise UserError(
      f"{result['workdir']} and {baseline['workdir']} share no seed"
    )
  pair = confidence_intervals.paired(
    [ours[s] for s in common], [theirs[s] for s in common]
  )
  return (*pair, len(common))
