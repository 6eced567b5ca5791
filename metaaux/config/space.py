"""Runs of a sweep as dicts, and how to put them together.

A point is a dict with the key "config", a config file, and

- ":NAME": an argument of that file, what follows the colon in
  `--config=FILE:NAME=VALUE`;
- "group": the table that the run belongs to, and the folder that holds it; by
  default one for each config file, named after it;
- any other key: a key of the config, dotted, as in `--config.KEY=VALUE`.

  product(
    {"config": "configs/maxl_digits.py"},
    axis(":method", ["single", "maxl"]),
    axis("optimizer.learning_rate", [0.05, 0.1]),
  )

is four runs. Wherever points are taken, a dict alone is one point.
"""

import builtins
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from metaaux.errors import UserError

Point = dict[str, Any]
Points = Mapping[str, Any] | Iterable[Mapping[str, Any]]


def axis(key: str, values: Iterable[Any]) -> list[Point]:
  """A point for each value of one key."""
  return [{key: value} for value in values]


def product(*parts: Points) -> list[Point]:
  """Every combination of a point of each part; the last part turns fastest.

  Raises:
    UserError: two parts have a key in common.
  """
  return [
    _merged(points) for points in itertools.product(*map(points_of, parts))
  ]


def zip(*parts: Points) -> list[Point]:
  """The first points of all parts together, then the second ones, and so on.

  Raises:
    UserError: two parts have a key in common, or are of unlike length.
  """
  lists = [points_of(part) for part in parts]
  lengths = [len(points) for points in lists]
  if len(set(lengths)) > 1:
    raise UserError(
      f"zip() got parts of {', '.join(map(str, lengths))} points; they must "
      "be of one length (product() makes every combination)"
    )
  return [_merged(points) for points in builtins.zip(*lists, strict=True)]


def chain(*parts: Points) -> list[Point]:
  """The points of all parts, one part after the other."""
  return list(itertools.chain.from_iterable(map(points_of, parts)))


def points_of(part: Points) -> list[Point]:
  """A list of what may be one dict or several.

  Raises:
    UserError: something else is among them.
  """
  found = [part] if isinstance(part, Mapping) else part
  if isinstance(found, str) or not isinstance(found, Iterable):
    raise UserError(f"a sweep is made of dicts; {found!r} is none")
  points = list(found)
  for point in points:
    if not isinstance(point, Mapping) or not all(
      isinstance(key, str) for key in point
    ):
      raise UserError(
        f"a sweep is made of dicts with texts for keys; {point!r} is none"
      )
  return [dict(point) for point in points]


def _merged(points: Iterable[Point]) -> Point:
  merged: Point = {}
  for point in points:
    for key, value in point.items():
      if key in merged:
        raise UserError(
          f"the key {key!r} is given twice, {merged[key]!r} and {value!r}; "
          "leave one"
        )
      merged[key] = value
  return merged
