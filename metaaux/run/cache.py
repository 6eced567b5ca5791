"""Arrays on disk, named by a hash of what made them."""

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from metaaux import files, messages
from metaaux.errors import UserError

Arrays = Mapping[str, np.ndarray]

# Of a stored file: what its arrays were made of, for who looks into it.
_MADE_OF = "made_of"

# What numpy and zipfile say of a file that is damaged.
_UNREADABLE = (
  OSError,
  ValueError,
  EOFError,
  RuntimeError,
  MemoryError,  # of a header that says too much
  zipfile.BadZipFile,
)


class Entry(NamedTuple):
  """A file of the cache, and in JSON what its arrays depend on."""

  path: str
  made_of: str


def entry(folder: str, name: str, made_of: Mapping[str, Any]) -> Entry:
  """The entry folder/NAME-HASH.npz.

  Args:
    folder: of the cache, made when something is written; a `~` at its beginning
      is the home directory.
    name: what the arrays are, such as "embedding".
    made_of: everything that the arrays depend on, JSON-able.
  """
  text = json.dumps(made_of, sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()[:16]
  path = os.path.join(os.path.expanduser(folder), f"{name}-{digest}.npz")
  return Entry(path, text)


def read(found: Entry) -> Arrays | None:
  """The arrays of an entry; None where its file is missing or damaged."""
  if not os.path.exists(found.path):
    return None
  try:
    with (
      files.open_regular(found.path, "rb") as file,
      np.load(file) as stored,
    ):
      return {key: stored[key] for key in stored if key != _MADE_OF}
  except _UNREADABLE as error:
    messages.warn(f"{found.path} cannot be read ({error}); it is made again")
    return None


def check(found: Entry) -> None:
  """Raises UserError if the file of an entry could not be written."""
  _write(found.path, None)


def write(found: Entry, arrays: Arrays) -> None:
  """Writes the file of an entry, which is either absent or complete.

  Raises:
    UserError: the file cannot be written.
  """
  _write(found.path, {**arrays, _MADE_OF: np.asarray(found.made_of)})


def _write(path: str, arrays: Arrays | None) -> None:
  partial = f"{path}.{os.getpid()}{files.PARTIAL}"
  try:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
      with open(partial, "wb") as file:
        if arrays is not None:
          np.savez(file, **arrays)
      if arrays is not None:
        os.replace(partial, path)
    finally:
      with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
  except OSError as error:
    raise UserError(
      f"cannot write {path} ({error.strerror}); free space, or set "
      "config.cache to a folder that can be written"
    ) from None
