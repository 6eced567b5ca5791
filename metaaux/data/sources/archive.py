"""Reads NumPy files, and their headers before any memory is needed."""

import contextlib
import math
import pathlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from metaaux import files
from metaaux.data.sources import foreign_files
from metaaux.errors import UserError
from metaaux.parallel import memory

# Of the array in an .npy file, which has no name.
ONLY = ""


class Archive(Mapping):
  """Arrays by name; a look-up reads the array, and nothing keeps it."""

  def __init__(self, path: pathlib.Path, origin: str, remedy: str) -> None:
    """The arrays of a file.

    Args:
      path: of a regular file.
      origin: what messages call it.
      remedy: what to do where an array does not fit into memory.
    """
    self._path, self._origin, self._remedy = path, origin, remedy
    with files.open_regular(path) as stream:
      self.is_one_array = stream.read(6) == b"\x93NUMPY"
      stream.seek(0)
      if self.is_one_array:
        self._members = {ONLY: ONLY}
      else:
        with zipfile.ZipFile(stream) as members:
          names = [n for n in members.namelist() if n.endswith(".npy")]
          self._members = {n.removesuffix(".npy"): n for n in names}

  def __getitem__(self, key: str) -> np.ndarray:
    with self._opened(self._members[key]) as (stream, length):
      shape, dtype, start = _header(stream)
      nbytes = math.prod(shape) * dtype.itemsize
      if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"{key or 'it'} is an array of {dtype}{list(shape)}")
      if nbytes > length - start:
        raise ValueError(
          f"{key or 'it'} is to be {dtype}{list(shape)}, "
          f"{memory.size(nbytes)}, and has {memory.size(length - start)}"
        )
      named = f"{self._origin}, {key}" if key else self._origin
      what = f"{named} ({dtype}{list(shape)})"
      memory.check(nbytes, what, self._remedy)
    with self._opened(self._members[key]) as (stream, _):
      return np.lib.format.read_array(stream, allow_pickle=False)

  def __contains__(self, key: object) -> bool:
    return key in self._members

  def __iter__(self) -> Iterator[str]:
    return iter(self._members)

  def __len__(self) -> int:
    return len(self._members)

  @contextlib.contextmanager
  def _opened(self, name: str) -> Iterator[tuple[Any, int]]:
    """A member, and its bytes as the file counts them."""
    with files.open_regular(self._path) as stream:
      if self.is_one_array:
        yield stream, self._path.stat().st_size
        return
      with zipfile.ZipFile(stream) as members, members.open(name) as member:
        yield member, members.getinfo(name).file_size


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype, int]:
  """Shape and dtype of an array, and where its numbers begin."""
  version = np.lib.format.read_magic(stream)
  read = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
  }.get(version)
  if read is None:
    raise ValueError(f"version {version} of the format is not known")
  shape, _, dtype = read(stream)
  return shape, dtype, stream.tell()


def open_archive(
  path: pathlib.Path, origin: str, *, write: str, remedy: str
) -> Archive:
  """Opens an .npz or .npy file; `reading` explains errors of later look-ups.

  Args:
    path: of the file.
    origin: name of the file in messages.
    write: how to make the file, for messages about a damaged one.
    remedy: what to do where an array does not fit into memory.

  Raises:
    UserError: the file is not of this kind.
  """
  if not path.is_file():
    raise UserError(f"{origin}: no such file; check the path")
  with reading(origin, write):
    return Archive(path, origin, remedy)


@contextlib.contextmanager
def reading(origin: str, write: str) -> Iterator[None]:
  """Explains the errors of NumPy on files that are cut short or foreign."""
  try:
    yield
  except UserError:
    raise
  # Damaged headers and members end in nearly every error there is.
  except Exception as error:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    reason = getattr(error, "strerror", None) or reason
    raise UserError(
      f"{origin} cannot be read ({foreign_files.short(reason)}); {write}"
    ) from error
