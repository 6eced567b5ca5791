"""The one table of keys: default, meaning, values and readers of each.

Defaults, validation, the help, docs/keys.md and what tables show of a config
come from here. A new key is a line in the group that it belongs to.
"""

import itertools
from collections.abc import Mapping
from typing import Any

from metaaux.config.keys import (
  damtl,
  data,
  maxl,
  meta_mtl,
  run,
  task_weights,
  training,
)
from metaaux.config.keys.key import SET, Group, Key
from metaaux.config.keys.names import METHODS as METHODS
from metaaux.config.keys.names import WEIGHTINGS as WEIGHTINGS

GROUPS: tuple[Group, ...] = (
  *data.GROUPS,
  *run.GROUPS,
  *training.GROUPS,
  *maxl.GROUPS,
  *meta_mtl.GROUPS,
  *task_weights.GROUPS,
  *damtl.GROUPS,
)
KEYS: Mapping[str, Key] = dict(
  itertools.chain.from_iterable(group.keys.items() for group in GROUPS)
)
# Rules that read an option, by its name below `weighting.options`.
WEIGHTING_OPTIONS: Mapping[str, tuple[str, ...]] = {
  name.rpartition(".")[2]: key.when["weighting.name"]
  for name, key in KEYS.items()
  if name.startswith("weighting.options.")
}


def defaults() -> dict[str, Any]:
  """All keys with their defaults, nested."""
  found: dict[str, Any] = {}
  for name, key in KEYS.items():
    *groups, last = name.split(".")
    inner = found
    for name_of_group in groups:
      inner = inner.setdefault(name_of_group, {})
    inner[last] = key.default
  return found


def flat_defaults() -> dict[str, Any]:
  """Dotted name -> default, of all keys."""
  return {name: key.default for name, key in KEYS.items()}


def headings() -> dict[str, list[str]]:
  """Names of keys by heading; groups of one heading are joined."""
  found: dict[str, list[str]] = {}
  for group in GROUPS:
    found.setdefault(group.heading, []).extend(group.keys)
  return found


def depends(method: str, name: str) -> bool:
  """Whether a method depends on a key, whatever the values of others.

  Args:
    method: of `METHODS`, or an import path, which may read every key.
    name: of a key.
  """
  methods = KEYS[name].methods
  return not methods or method in methods or method not in METHODS


def is_read(name: str, values: Mapping[str, Any]) -> bool:
  """Whether a key has an effect beside the values of the others.

  Args:
    name: of a key.
    values: dotted name -> value, of all keys.
  """
  return depends(values["method"], name) and all(
    _holds(other, values[other], wanted)
    for other, wanted in KEYS[name].when.items()
  )


def _holds(name: str, value: Any, wanted: tuple[Any, ...]) -> bool:
  if wanted is SET:
    return bool(value)
  # Code of somebody else reads what it likes.
  return value in wanted or (KEYS[name].own_code and ":" in value)
