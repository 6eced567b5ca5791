"""Arrays on disk, named by a hash of what made them."""

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
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
      files.open_regular(found.path) as file,
      np.load(file) as stored,
    ):
      return {key: stored[key] for key in stored if key != _MADE_OF}
  except _UNREADABLE as error:
    messages.warn(f"{found.path} cannot be read ({error}); it is made again")
    return None


def check(found: Entry) -> None:
  """Raises UserError if the file of an entry could not be written."""
  with _writing(found.path) as folder, tempfile.TemporaryFile(dir=folder):
    pass


def write(found: Entry, arrays: Arrays) -> None:
  """Writes the file of an entry, which is either absent or complete.

  Raises:
    UserError: the file cannot be written.
  """
  with _writing(found.path), files.replacing(found.path, shared=True) as file:
    np.savez(file, **arrays, **{_MADE_OF: np.asarray(found.made_of)})


@contextlib.contextmanager
def _writing(path: str) -> Iterator[str]:
  """The folder of a file of the cache, which is made if it is missing."""
  folder = os.path.dirname(path)
  try:
    os.makedirs(folder, exist_ok=True)
    yield folder
  except OSError as error:
    raise UserError(
      f"cannot write {path} ({error.strerror}); free space, or set "
      "config.cache to a folder that can be written"
    ) from None
