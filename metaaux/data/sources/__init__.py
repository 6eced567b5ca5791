"""Data sources by name, such as `digits`, `tfds:NAME` or `npz:PATH`.

A new kind is a function (what follows the colon, slice) -> Source, and one line
in `SOURCES`; `python:MODULE:FUNCTION` reaches code outside the package.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from metaaux.data.sources import (
  decode,
  digits,
  foreign_files,
  hierarchy_file,
  selection,
  split_names,
)
from metaaux.data.sources import folder as folder_source
from metaaux.data.sources import npz as npz_source
from metaaux.data.sources import python as python_source
from metaaux.data.sources import source as source_lib
from metaaux.data.sources import tfds as tfds_source
from metaaux.data.sources.source import Source
from metaaux.errors import UserError

__all__ = ["SOURCES", "Source", "load"]

SOURCES: dict[str, Callable[[str, split_names.Slice], Source]] = {
  "digits": digits.load,
  "folder": folder_source.load,
  "npz": npz_source.load,
  "python": python_source.load,
  "tfds": tfds_source.load,
}

# They know the numbers of their pixels, of all splits together.
_READ = ("folder", "npz", "python")


def load(
  source: str,
  split: str,
  *,
  hierarchy: str = "",
  select: str = "",
  side: int = 0,
  **how: Any,
) -> Source:
  """Loads one split of a data source.

  Args:
    source: `digits`, `tfds:NAME`, `npz:PATH`, `folder:PATH` or
      `python:MODULE:FUNCTION`.
    split: `train`, `test` or another split of the source, or a part of one,
      such as `train[:90%]` or `test[1000:2000]`, or a sum of these; see
      `split_names` for all forms.
    hierarchy: path of a JSON file with further levels, see `hierarchy_file`;
      "" for none.
    select: "LEVEL=CLASS" keeps the examples of that class, and slices count
      these; the other levels keep the classes that occur there in the named
      splits, numbered from 0, and a level with one class is dropped. "": all.
    side: the middle square of each image, resized to this side; 0: images as
      they are stored.
    **how: `lazy`, `skip_broken`, `pixel_range` and `background` of
      `split_names.Slice`; `folder:` and `tfds:` can be lazy.

  Raises:
    UserError: the source, the split, the hierarchy, the selection or the data
      are wrong, or cannot be read.
  """
  kind, _, where = source.partition(":")
  if kind not in SOURCES or bool(where) != (kind != "digits"):
    raise UserError(
      f"dataset '{source}' is not understood; use digits, tfds:NAME, "
      "npz:PATH, folder:PATH or python:MODULE:FUNCTION" + _meant(source)
    )
  parts = split_names.parse(split)
  origin = f"{source}, split '{split}'"
  read: set[str] = set()

  def whole(part: split_names.Slice) -> Source:
    try:
      found = SOURCES[kind](where, part._replace(side=side, **how))
    except (OSError, MemoryError) as error:
      raise foreign_files.unreadable(origin, error) from error
    # A selection may be empty in one of the splits.
    if len(found.images) or not part.select:
      given = how.get("pixel_range", ())
      # What is not decoded yet is of bytes.
      is_read = kind in _READ or not (
        given or isinstance(found.images, np.ndarray)
      )
      found = source_lib.check(found, origin, given, is_read=is_read)
      found = source_lib.with_images(
        found, lambda images: decode.fit_all(images, side)
      )
    if part.name in read:  # whose unlabelled examples are there already
      found = found._replace(unlabelled=None)
    read.add(part.name)
    return hierarchy_file.add_levels(found, hierarchy) if hierarchy else found

  if select:
    return _selected(whole, parts, select, origin)
  pieces = [
    selection.cut(whole(split_names.Slice(part.name)), part)
    if part.per_class
    else whole(part)
    for part in parts
  ]
  return selection.join(pieces, origin)


def _meant(source: str) -> str:
  """A hint at the source string that a bare path should have been."""
  if os.path.isdir(os.path.expanduser(source)):
    return f" (did you mean 'folder:{source}'?)"
  return f" (did you mean 'npz:{source}'?)" if source.endswith(".npz") else ""


def _selected(
  whole: Callable[[split_names.Slice], Source],
  parts: tuple[split_names.Slice, ...],
  select: str,
  origin: str,
) -> Source:
  """The examples of one class, cut as `parts` say."""
  found = []
  for part in parts:
    piece = whole(split_names.Slice(part.name, select=select))
    piece = selection.only(
      piece, *selection.class_id(select, piece.names, origin)
    )
    if len(piece.images):
      found.append((piece, part))
  if not found:
    raise UserError(
      f"select='{select}' leaves no example of {origin}; add the splits that "
      "hold them, such as train+test"
    )
  # Of the uncut splits, so that small parts have the same classes.
  kept = selection.occurring([piece for piece, _ in found])
  if max(len(ids) for ids in kept.values()) < 2:
    raise UserError(
      f"select='{select}' leaves one class at every level of {origin}; choose "
      "a class of a coarser level"
    )
  pieces = [selection.cut(piece, part) for piece, part in found]
  return selection.renumbered(selection.join(pieces, origin), kept)
