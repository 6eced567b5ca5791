"""Files that are either absent or complete, and are opened only if regular."""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from typing import IO, Any

# Ends the name of a file that is being written.
PARTIAL = ".partial"
_LARGEST_JSON = 64 * 2**20


def open_regular(
  path: str | os.PathLike[str], mode: str = "rb", **options: Any
) -> IO[Any]:
  """Opens a regular file for reading; a pipe or a device would never end.

  Raises:
    OSError: the path leads to something else, or cannot be opened.
  """
  return open(path, mode, opener=_open_regular, **options)


def _open_regular(path: str, flags: int) -> int:
  """A descriptor of a regular file, or OSError."""
  # Opening a pipe would wait for who writes to it.
  number = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
  kind = os.fstat(number).st_mode
  if stat.S_ISREG(kind):
    return number
  os.close(number)
  if stat.S_ISDIR(kind):
    raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
  raise OSError(errno.EINVAL, "no regular file", path)


def read_json(path: str | os.PathLike[str], limit: int = _LARGEST_JSON) -> Any:
  """The content of a JSON file.

  Raises:
    OSError: the file cannot be read, or is not a regular one.
    ValueError: the content is not JSON, too large, or too deep.
  """
  with open_regular(path) as file:
    content = file.read(limit + 1)
  if len(content) > limit:
    raise ValueError(f"more than {limit // 2**20} MiB")
  try:
    return json.loads(content.decode("utf-8"))
  except RecursionError:
    raise ValueError("nested too deeply") from None


def write_json(path: str, value: Any) -> None:
  """Writes a file that is either absent or complete, also after a crash."""
  text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
  write_text(path, text + "\n")


def write_text(path: str, text: str) -> None:
  """Writes text to a file that is absent or complete, also after a crash."""
  with replacing(path) as file:
    file.write(text.encode())


@contextlib.contextmanager
def replacing(path: str, *, shared: bool = False) -> Iterator[IO[bytes]]:
  """A file to write, which takes the place of `path` once it is complete.

  If the body fails, `path` stays as it was.

  Args:
    path: in a folder that exists.
    shared: whether other processes may write the same path now. If not, the
      name is fixed, so that what a killed process leaves is found again.

  Yields:
    The file, opened for writing bytes.
  """
  partial = f"{path}.{os.getpid()}{PARTIAL}" if shared else path + PARTIAL
  try:
    with open(partial, "wb") as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    os.replace(partial, path)
  except BaseException:
    with contextlib.suppress(OSError):
      os.unlink(partial)
    raise
