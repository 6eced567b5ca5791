"""NumPy archives: `npz:PATH`, divided into splits or one set with domains."""

import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from metaaux import files
from metaaux.data.sources import archive as archive_lib
from metaaux.data.sources import class_ids, foreign_files, split_names
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError

_SPLITS = ("train", "test")
# Of an archive that is not divided.
_ALL = "all"
_IMAGES, _LABELS, _NAMES = ("x", "image"), ("y", "label"), "_names"
_REST = "x_unlabelled"
_CLASS_NAMES = "class" + _NAMES  # other than by the array of the labels
_BESIDE = "meta.json"
_WRITE = "write it again with numpy.savez, arrays of numbers only"
_SMALLER = "store fewer or smaller images"


def load(where: str, part: split_names.Slice) -> source_lib.Source:
  """Loads a part of an archive.

  `x_train` and `x_test` are uint8 [n, H, W] or [n, H, W, C], or floats in
  [0, 1]; other numbers, and [n, C, H, W], are read where they have only one
  reading, see `pixels.taken_for` and `source.check`. `y_train` and `y_test` are
  integers [n], or labels that `class_ids.read` understands, and their level is
  named after the number of classes, such as "10". `y_train_NAME` and
  `y_test_NAME` make a further level NAME. Where a label is -1 it is not known;
  `x_unlabelled`, if it is there, are further training rows of that kind. Rows
  [n, d] are vectors.

  An archive that is not divided has `x` (or `image`) and `y` (or `label`), and
  its split is `all`. Each further array of n integers is a level, such as
  `domain`. Lists `class_names` (or `y_names`), `domain_names` and so on may
  name the classes, in the archive or in a file `meta.json` beside it (there,
  as many names as classes).

  Args:
    where: path of the archive.
    part: the split, `train`, `test` or `all`, or a part of it.

  Raises:
    UserError: the file or an array is missing, broken or of the wrong kind.
  """
  origin = f"npz:{where}"
  path = foreign_files.expand(where, origin)
  archive = archive_lib.open_archive(
    path, origin, write=_WRITE, remedy=_SMALLER
  )
  if archive.is_one_array:
    raise UserError(f"{origin} is one array; write it with numpy.savez")
  with archive_lib.reading(origin, _WRITE):
    if "x_train" in archive or not any(key in archive for key in _IMAGES):
      split_names.check_name(part, _SPLITS, origin)
      return _read(archive, where, part)
    split_names.check_name(part, (_ALL,), origin)
    return _read_all(archive, beside(path), where, part)


def is_divided(where: str) -> bool:
  """Whether an archive has a training and a test part, or cannot be read."""
  path = pathlib.Path(where).expanduser()
  if not path.is_file():
    return True
  try:
    with zipfile.ZipFile(path) as archive:
      held = {name.removesuffix(".npy") for name in archive.namelist()}
  except (OSError, zipfile.BadZipFile):
    return True
  return "x_train" in held or not held.intersection(_IMAGES)


def _read(
  archive: Mapping[str, np.ndarray], where: str, part: split_names.Slice
) -> source_lib.Source:
  images = _array(archive, f"x_{part.name}", where)
  labels, names = {}, {}
  for suffix in _levels(archive):
    ids = {s: _labels(archive, f"y_{s}{suffix}", where) for s in _SPLITS}
    num_classes = _num_classes(ids, suffix, where)
    level = suffix.removeprefix("_") or str(num_classes)
    if level in labels:
      raise UserError(
        f"npz:{where}: y_train has {num_classes} classes, and so has the level "
        f"of y_train_{level}; rename one"
      )
    labels[level] = ids[part.name]
    names[level] = tuple(map(str, range(num_classes)))
  origin = f"npz:{where}, split '{part}'"
  others = [f"x_{split}" for split in _SPLITS if split != part.name]
  rest = archive.get(_REST)
  whole = source_lib.check(
    source_lib.Source(
      images, labels, names, unlabelled=rest if part.name == "train" else None
    ),
    origin,
    part.pixel_range,
    lambda: [archive[key] for key in others if key in archive],
  )
  return source_lib.cut(whole, part)


def _read_all(
  archive: Mapping[str, np.ndarray],
  beside: Mapping[str, Any],
  where: str,
  part: split_names.Slice,
) -> source_lib.Source:
  """The one set of images of an archive; `beside` has names that it lacks."""
  images_key = next(key for key in _IMAGES if key in archive)
  labels_key = next((key for key in _LABELS if key in archive), _LABELS[0])
  levels = [
    key
    for key in archive
    if key not in (images_key, _REST) and not key.endswith(_NAMES)
  ]
  labels, names = {}, {}
  for key in dict.fromkeys((labels_key, *levels)):
    ids = _labels(archive, key, where)
    count = _num_classes({_ALL: ids}, key, where)
    keys = (key + _NAMES, *((_CLASS_NAMES,) if key == labels_key else ()))
    found = [(n, archive[n]) for n in keys if n in archive]
    # A file beside may be that of other data.
    found += [(n, beside[n]) for n in keys if len(beside.get(n, ())) == count]
    names_key, own = found[0] if found else ("", range(count))
    own = tuple(map(str, own))
    if len(own) < count or len(set(own)) < len(own):
      raise UserError(
        f"npz:{where}: '{names_key}' has {len(set(own))} different names, but "
        f"'{key}' has the label {count - 1}; name every class, each its own"
      )
    level = str(len(own)) if key == labels_key else key
    labels[level], names[level] = ids, own
  origin = f"npz:{where}, split '{part}'"
  whole = source_lib.check(
    source_lib.Source(
      archive[images_key],
      labels,
      names,
      unlabelled=archive.get(_REST),
    ),
    origin,
    part.pixel_range,
  )
  return source_lib.cut(whole, part)


def beside(path: pathlib.Path) -> dict[str, list[Any]]:
  """The lists of names in the file beside an archive; {} without one."""
  try:
    found = files.read_json(path.parent / _BESIDE)
  except (OSError, ValueError):
    return {}
  pairs = found.items() if isinstance(found, dict) else ()
  return {
    key: value
    for key, value in pairs
    if key.endswith(_NAMES) and isinstance(value, list)
  }


def _levels(archive: Mapping[str, np.ndarray]) -> list[str]:
  """Suffixes of the label arrays; "" for the unnamed level, which is last."""
  named = [key for key in archive if key.startswith("y_train_")]
  return [key.removeprefix("y_train") for key in (*named, "y_train")]


def _array(
  archive: Mapping[str, np.ndarray], key: str, where: str
) -> np.ndarray:
  if key not in archive:
    raise UserError(
      f"npz:{where} has no array '{key}'; it has: {', '.join(archive)}"
    )
  return archive[key]


def _labels(
  archive: Mapping[str, np.ndarray], key: str, where: str
) -> np.ndarray:
  """One column of labels."""
  ids = _array(archive, key, where)
  return class_ids.read(ids, f"npz:{where}: '{key}'")


def _num_classes(ids: Mapping[str, np.ndarray], suffix: str, where: str) -> int:
  """Number of classes, which both splits together number 0 .. C - 1."""
  everything = np.concatenate(list(ids.values()))
  what = f"y_train{suffix} and y_test{suffix}"
  what = f"'{suffix}'" if _ALL in ids else what
  num_labels = len(everything)
  num_classes = 1 + int(everything.max(initial=0))
  if num_labels and everything.min() > 0:
    raise UserError(
      f"npz:{where}: the labels of {what} start at "
      f"{everything.min()}; number the classes from 0"
    )
  if num_classes > max(num_labels, 1):
    raise UserError(
      f"npz:{where}: {what} hold {num_labels} labels, but one is "
      f"{num_classes - 1}; "
      "number the classes from 0"
    )
  return num_classes
