"""Files that are either absent or complete, and are opened only if regular."""

import errno
import json
import os
from typing import IO, Any

# Ends the name of a file that is being written.
PARTIAL = ".partial"


def open_regular(path: str, mode: str, **options: Any) -> IO[Any]:
  """As `open`, for reading what may be a pipe or a device, without end.

  Raises:
    OSError: also if it is no regular file.
  """
  if os.path.exists(path) and not os.path.isfile(path):
    what = errno.EISDIR if os.path.isdir(path) else errno.EINVAL
    said = os.strerror(what) if os.path.isdir(path) else "no regular file"
    raise OSError(what, said, path)
  return open(path, mode, **options)


def write_json(path: str, value: Any) -> None:
  """Writes a file that is either absent or complete, also after a crash."""
  text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
  write_text(path, text + "\n")


def write_text(path: str, text: str) -> None:
  """Writes text to a file that is absent or complete, also after a crash."""
  # The name is fixed, so that what a killed process leaves is found again.
  with open(path + PARTIAL, "w", encoding="utf-8") as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  os.replace(path + PARTIAL, path)
