"""NumPy archives: `npz:PATH` with x_train, y_train, x_test and y_test."""

import pathlib
import pickle
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from metaaux.data import arrays, slices
from metaaux.errors import UserError

_SPLITS = ("train", "test")
# What NumPy raises on archives that are cut short or are something else.
_BROKEN = (
  ValueError,
  EOFError,
  OSError,
  zipfile.BadZipFile,
  zlib.error,
  pickle.UnpicklingError,
)


def load(where: str, part: slices.Slice) -> arrays.Source:
  """Loads a part of an archive.

  `x_train` and `x_test` are uint8 [n, H, W] or [n, H, W, C], or floats in
  [0, 1]; `y_train` and `y_test` are integers [n], and their level is named
  after the number of classes, such as "10". Further levels NAME come from
  `y_train_NAME` with `y_test_NAME`.

  Args:
    where: path of the archive.
    part: the split, `train` or `test`, or a part of it.

  Raises:
    UserError: the file or an array is missing, broken or of the wrong kind.
  """
  path = pathlib.Path(where).expanduser()
  slices.check_name(part, _SPLITS, f"npz:{where}")
  if not path.is_file():
    raise UserError(f"npz:{where}: no such file; check the path")
  try:
    # NumPy, given the path, leaves a broken file open.
    with path.open("rb") as file:
      archive = np.load(file, allow_pickle=False)
      if not isinstance(archive, Mapping):
        raise UserError(f"npz:{where} is one array; write it with numpy.savez")
      return _read(archive, where, part)
  except UserError:
    raise
  except _BROKEN as error:
    raise UserError(
      f"npz:{where} cannot be read ({_first_line(error)}); write it again with "
      "numpy.savez, arrays of numbers only"
    ) from error


def _read(
  archive: Mapping[str, np.ndarray], where: str, part: slices.Slice
) -> arrays.Source:
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
  whole = arrays.check(arrays.Source(images, labels, names), origin)
  return arrays.cut(whole, part)


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
  """One column of labels; [n, 1], which some libraries write, becomes [n]."""
  ids = _array(archive, key, where)
  if ids.ndim == 2 and ids.shape[1] == 1:
    ids = ids[:, 0]
  if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
    raise UserError(
      f"npz:{where}: '{key}' is {ids.dtype} of shape {ids.shape}; store one "
      "integer class id an image"
    )
  return ids


def _num_classes(ids: Mapping[str, np.ndarray], suffix: str, where: str) -> int:
  """Classes are numbered 0 .. C - 1 over both splits together."""
  everything = np.concatenate(list(ids.values()))
  num_labels = len(everything)
  num_classes = 1 + int(everything.max(initial=0))
  if num_labels and everything.min() > 0:
    raise UserError(
      f"npz:{where}: the labels of y_train{suffix} and y_test{suffix} start at "
      f"{everything.min()}; number the classes from 0"
    )
  if num_classes > max(num_labels, 1):
    raise UserError(
      f"npz:{where}: y_train{suffix} and y_test{suffix} hold {num_labels} "
      f"labels, but one is {num_classes - 1}; number the classes from 0"
    )
  return num_classes


def _first_line(error: Exception) -> str:
  return (str(error).splitlines() or [type(error).__name__])[0]
