"""Matches the classes of another source with those of a network, by name.

Classes are numbered in the order of their names, so that a class that is
renamed, added or left out moves others; the number of classes does not tell.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from metaaux.errors import UserError, did_you_mean

# Sources whose classes are never called after their numbers for want of names.
_NAMED = ("digits", "folder")
_DOMAIN = "domain"
# Names in a message; of more, how many.
_SHOWN = 8


class Known(NamedTuple):
  """The classes that a network was trained on.

  Attributes:
    source: as the config spells it.
    level: of the primary task.
    names: of the classes, by number.
  """

  source: str
  level: str
  names: Sequence[str]


class Match(NamedTuple):
  """The classes of another source, as the network numbers them.

  Attributes:
    level: level of the other source.
    ids: int32, the network's number for each class of that level.
    remark: a line that a reader of the figure has to know; "": none.
  """

  level: str
  ids: np.ndarray
  remark: str


def match(
  known: Known, source: str, found: Mapping[str, Sequence[str]]
) -> Match:
  """The level of another source that has the classes of the network.

  Args:
    known: the classes of the network.
    source: the other source, as the user spells it.
    found: level -> class names of the other source.

  Raises:
    UserError: the source has classes that the network does not know; or it has
      no names, and another number of classes.
  """
  if len(set(known.names)) < len(known.names):
    raise UserError(
      f"{known.source} was divided into tasks that share classes, so that it "
      f"is not known which task an image of {source} is of; evaluate without "
      "--dataset"
    )
  level = _level(known, source, found)
  theirs = found[level]
  if tuple(theirs) == tuple(known.names):
    return Match(
      level,
      np.arange(len(theirs), dtype=np.int32),
      _plain(known, source, theirs),
    )
  if _numbered(source, theirs) or _numbered(known.source, known.names):
    return _by_number(known, source, level, theirs)
  return _by_name(known, source, level, theirs)


def _numbered(source: str, names: Sequence[str]) -> bool:
  """Whether names are only numbers, because the source has no names."""
  kind = source.partition(":")[0]
  return kind not in _NAMED and list(names) == list(map(str, range(len(names))))


def _level(
  known: Known, source: str, found: Mapping[str, Sequence[str]]
) -> str:
  levels = [level for level in found if level != _DOMAIN] or list(found)
  # Levels are called after their number of classes, and some may be missing.
  named = [level for level in levels if not _numbered(source, found[level])]
  fitting = [level for level in named if set(found[level]) <= set(known.names)]
  if known.level in found and (known.level in fitting or not fitting):
    return known.level
  if len(fitting) == 1:
    return fitting[0]
  if len(levels) == len(named) == 1:
    return levels[0]
  raise UserError(
    f"{source} has no level '{known.level}', the primary one of "
    f"{known.source}; its levels: {', '.join(found)}"
  )


def _plain(known: Known, source: str, theirs: Sequence[str]) -> str:
  if source == known.source or not _numbered(source, theirs):
    return ""
  return _unnamed(source, len(theirs))


def _unnamed(source: str, count: int) -> str:
  return (
    f"{source} has no class names to compare; its {count} classes are taken by "
    "their numbers"
  )


def _by_number(
  known: Known, source: str, level: str, theirs: Sequence[str]
) -> Match:
  if len(theirs) != len(known.names):
    raise UserError(
      f"{source} has {len(theirs)} classes at level '{level}', "
      f"{known.source} has {len(known.names)}; evaluate on a source with the "
      "same classes"
    )
  without = source if _numbered(source, theirs) else known.source
  ids = np.arange(len(theirs), dtype=np.int32)
  return Match(level, ids, _unnamed(without, len(theirs)))


def _by_name(
  known: Known, source: str, level: str, theirs: Sequence[str]
) -> Match:
  ours = list(known.names)
  unknown = [name for name in theirs if name not in ours]
  missing = [name for name in ours if name not in theirs]
  if unknown:
    lacking = f", and lacks {_listed(missing)}" if missing else ""
    raise UserError(
      f"{source} has {_listed(unknown)}, which the network does not know"
      f"{did_you_mean(unknown[0], missing)}{lacking}; rename or remove what is "
      f"none of the classes of {known.source}: {_listed(ours)}"
    )
  ids = np.array([ours.index(name) for name in theirs], np.int32)
  if missing:
    remark = (
      f"{source} has {len(theirs)} of the {len(ours)} classes, without "
      f"{_listed(missing)}"
    )
  else:
    remark = f"{source} has the classes in another order; matched by name"
  return Match(level, ids, remark)


def _listed(names: Sequence[str]) -> str:
  shown = ", ".join(map(repr, names[:_SHOWN]))
  more = len(names) - _SHOWN
  return f"{shown} and {more} more" if more > 0 else shown
