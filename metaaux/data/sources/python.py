"""Data from a function of the user: `python:MODULE:FUNCTION`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metaaux.config import user_code
from metaaux.data.sources import class_ids, foreign_files, split_names
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError


def load(where: str, part: split_names.Slice) -> source_lib.Source:
  """Loads a part of the data that a function returns.

  Args:
    where: import path of a function (name of a split) -> `source.Source`, the
      whole split. Its images and labels pass the checks of every source.
    part: the split, or a part of it.

  Raises:
    UserError: the function does not exist, takes other arguments, fails, or
      returns something else.
  """
  origin = f"dataset='python:{where}'"
  function = user_code.find("dataset", where)
  contract = "load(split) -> metaaux.data.Source(images, labels, names)"
  what = f"{origin}, split '{part.name}',"
  found = user_code.call(what, contract, function, part.name)
  if not isinstance(found, source_lib.Source):
    raise UserError(
      f"{origin} returned {type(found).__name__} for split '{part.name}'; "
      "return metaaux.data.Source(images, labels, names)"
    )
  found = _as_arrays(found, f"{origin}, split '{part.name}'")
  found = source_lib.check(found, f"python:{where}", part.pixel_range)
  return source_lib.cut(found, part)


def _as_arrays(found: source_lib.Source, origin: str) -> source_lib.Source:
  """Lists and tensors of other libraries as arrays; names as texts."""
  for name in ("labels", "names"):
    value = getattr(found, name)
    if not isinstance(value, Mapping):
      raise UserError(
        f"{origin}: {name} are {type(value).__name__}; return a dictionary, "
        f"level -> {name} of it"
      )
  if not found.labels or set(found.labels) != set(found.names):
    raise UserError(
      f"{origin}: labels have the levels {_listed(found.labels)}, names "
      f"{_listed(found.names)}; give both for the same levels, one or more"
    )
  for level, names in found.names.items():
    if isinstance(names, str) or not hasattr(names, "__iter__"):
      raise UserError(
        f"{origin}: the names of level '{level}' are {names!r}; give a name "
        "for each class"
      )
  try:
    images = np.asarray(found.images)
    labels = {str(k): np.asarray(v) for k, v in found.labels.items()}
  except (TypeError, ValueError, RuntimeError) as error:
    reason = " ".join(str(error).split())
    raise UserError(
      f"{origin}: images or labels are no arrays "
      f"({foreign_files.short(reason)}); return numpy arrays"
    ) from error
  return found._replace(
    images=images,
    labels={
      level: class_ids.read(ids, f"{origin}: the labels of '{level}'")
      for level, ids in labels.items()
    },
    names={str(k): tuple(map(str, v)) for k, v in found.names.items()},
  )


def _listed(levels: Mapping[Any, Any]) -> str:
  return ", ".join(map(str, levels)) or "none"
