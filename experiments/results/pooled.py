"""Runs on several problems as one row: the alphabets of Omniglot, for instance.

A pair of problem and seed is what one seed is elsewhere: differences are paired
by it, and the interval is over all of them.
"""

from collections.abc import Sequence
from typing import Any

from metaaux.errors import UserError
from metaaux.run import confidence_intervals

from . import NOT_MEASURED, Result, shown

# What the config of a pooled run has for the key: `mean of 5`.
MEAN_OF = "mean of "


def pool(results: Sequence[Result], key: str) -> list[Result]:
  """Joins runs that differ in one key of their config only.

  Args:
    results: of `results.load`.
    key: dotted, such as "select".

  Returns:
    A result for each group, in the order of their first runs, named after it.
    `seeds` are pairs (value of the key, seed).

  Raises:
    UserError: no run has the key, two runs of a group share a value and a seed,
      or two groups have other values.
  """
  if not any(key in result["config"] for result in results):
    raise UserError(f"no run has the key {key!r}; use a key of config.json")
  groups: dict[Any, list[Result]] = {}
  for result in results:
    groups.setdefault(rest(result, key), []).append(result)
  pooled = [_joined(group, key) for group in groups.values()]
  wanted = pooled[0]
  for other in pooled[1:]:
    if _values(other) != _values(wanted):
      raise UserError(
        f"{wanted['name']} is over {key}={', '.join(_values(wanted))}, but "
        f"{other['name']} over {', '.join(_values(other))}; a mean over {key} "
        "needs the same of each"
      )
  return pooled


def rest(result: Result, key: str) -> tuple[Any, ...]:
  """What runs that differ in one key only have in common."""
  config = result["config"]
  return result["method"], *sorted(
    (name, shown(value))
    for name, value in config.items()
    if name != key and name not in NOT_MEASURED
  )


def _values(result: Result) -> list[str]:
  return sorted({value for value, _ in result["seeds"]})


def _joined(group: Sequence[Result], key: str) -> Result:
  pairs = [
    ((shown(result["config"].get(key, "")), seed), accuracy)
    for result in group
    for seed, accuracy in zip(result["seeds"], result["per_seed"], strict=True)
  ]
  seeds = [pair for pair, _ in pairs]
  twice = {pair for pair in seeds if seeds.count(pair) > 1}
  if twice:
    value, seed = min(twice)
    names = ", ".join(result["name"] for result in group)
    raise UserError(
      f"several of {names} are of {key}={value} and seed {seed}; leave one"
    )
  per_seed = [accuracy for _, accuracy in pairs]
  mean, ci95 = confidence_intervals.mean_ci(per_seed)
  first, count = group[0], len({value for value, _ in seeds})
  return {
    **first,
    "config": {**first["config"], key: f"{MEAN_OF}{count}"},
    "seeds": seeds,
    "per_seed": per_seed,
    "mean": mean,
    "ci95": ci95,
    "ci95_with_images": None,
    "test_images": "",
    "meta_split": {},
  }
