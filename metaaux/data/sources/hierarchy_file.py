"""Adds levels of labels to a source, from a JSON file of the user.

    {"levels": {"groups": {"names": ["round", "straight"],
                           "of": "10",
                           "parent": [0, 1, 1, 0, 1, 1, 0, 1, 0, 0]}}}

adds the level "groups" with two classes; an example with class i at level "10"
(the level that `of` names) gets the class `parent[i]`. Levels are added in the
order of the file, so that one may build on another.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metaaux import files
from metaaux.data.sources import foreign_files
from metaaux.data.sources.source import Source
from metaaux.errors import UserError

_KEYS = ("names", "of", "parent")


def add_levels(source: Source, path: str) -> Source:
  """`source` with the levels of the file; UserError if the file is wrong."""
  for level, entry in _read(path).items():
    source = _add(source, level, entry, f"hierarchy '{path}', levels.{level}")
  return source


def _read(path: str) -> Mapping[str, Any]:
  try:
    content = files.read_json(foreign_files.expand(path, f"hierarchy '{path}'"))
  except OSError as error:
    raise UserError(
      f"hierarchy '{path}' cannot be read ({error.strerror}); check the path"
    ) from error
  except UserError:
    raise
  except ValueError as error:
    raise UserError(
      f"hierarchy '{path}' is not JSON ({error}); correct it"
    ) from error
  if not isinstance(content, dict) or list(content) != ["levels"]:
    raise UserError(
      f"hierarchy '{path}' must be an object with the one key 'levels'"
    )
  if not isinstance(content["levels"], dict) or not content["levels"]:
    raise UserError(
      f"hierarchy '{path}': 'levels' must be an object, level name -> "
      f"{', '.join(_KEYS)}"
    )
  return content["levels"]


def _add(source: Source, level: str, entry: object, at: str) -> Source:
  """`source` with one more level."""
  if level in source.labels:
    raise UserError(f"{at}: there is a level of that name; choose another")
  if not isinstance(entry, dict) or sorted(entry) != sorted(_KEYS):
    seen = (
      ", ".join(entry)
      if isinstance(entry, dict)
      else foreign_files.short(repr(entry))
    )
    raise UserError(
      f"{at} must have the keys {', '.join(_KEYS)}; it has {seen}"
    )
  names, of, parent = (entry[key] for key in _KEYS)
  if not isinstance(of, str) or of not in source.labels:
    raise UserError(
      f"{at}.of={of!r} is not a level; known: {', '.join(source.labels)}"
    )
  _check_names(names, f"{at}.names")
  _check_parent(parent, len(source.names[of]), len(names), f"{at}.parent")
  for i in sorted(set(range(len(names))) - set(parent)):
    raise UserError(f"{at}.parent never says {i} ('{names[i]}'); remove it")
  ids = np.array(parent, np.int32)[source.labels[of]]
  return source._replace(
    labels={**source.labels, level: ids},
    names={**source.names, level: tuple(names)},
  )


def _check_names(names: object, at: str) -> None:
  if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
    raise UserError(
      f"{at}={foreign_files.short(repr(names))} must be a list of class names"
    )
  if len(names) < 2:
    raise UserError(f"{at} has {len(names)} classes; it needs two or more")
  if len(set(names)) < len(names):
    raise UserError(f"{at} has a name twice: {', '.join(names)}")


def _check_parent(
  parent: object, num_children: int, num_classes: int, at: str
) -> None:
  if not isinstance(parent, list) or len(parent) != num_children:
    seen = (
      len(parent)
      if isinstance(parent, list)
      else foreign_files.short(repr(parent))
    )
    raise UserError(
      f"{at} must list one class id for each of the {num_children} classes "
      f"below; it has {seen}"
    )
  for i, p in enumerate(parent):
    if type(p) is not int or not 0 <= p < num_classes:
      raise UserError(
        f"{at}[{i}]={p!r} is not a class id; use 0..{num_classes - 1}"
      )
