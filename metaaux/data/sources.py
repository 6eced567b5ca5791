"""Data sources by name: `digits`, `tfds:NAME`, `npz:PATH`, `folder:PATH`.

A new kind is a function (what follows the colon, slice) -> Source, and one line
in `SOURCES`.
"""

from collections.abc import Callable

from metaaux.data import (
  arrays,
  digits,
  folder_source,
  hierarchy_file,
  npz_source,
  slices,
  tfds_source,
)
from metaaux.data.arrays import Source
from metaaux.errors import UserError

__all__ = ["SOURCES", "Source", "load"]

SOURCES: dict[str, Callable[[str, slices.Slice], Source]] = {
  "digits": digits.load,
  "folder": folder_source.load,
  "npz": npz_source.load,
  "tfds": tfds_source.load,
}


def load(source: str, split: str, *, hierarchy: str = "") -> Source:
  """Loads one split of a data source into memory.

  Args:
    source: `digits`, `tfds:NAME`, `npz:PATH` or `folder:PATH`.
    split: `train`, `test` or another split of the source, or a part of one,
      such as `train[:90%]` or `test[1000:2000]`.
    hierarchy: path of a JSON file with further levels, see `hierarchy_file`;
      "" for none.

  Raises:
    UserError: the source, the split, the hierarchy or the data are wrong.
  """
  kind, _, where = source.partition(":")
  if kind not in SOURCES or bool(where) != (kind != "digits"):
    raise UserError(
      f"dataset '{source}' is not understood; use digits, tfds:NAME, "
      "npz:PATH or folder:PATH"
    )
  part = slices.parse(split)
  found = arrays.check(SOURCES[kind](where, part), f"{source}, split '{split}'")
  return hierarchy_file.add_levels(found, hierarchy) if hierarchy else found
