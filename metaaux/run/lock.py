"""One process at a time in a run directory."""

import contextlib
import os
from collections.abc import Iterator

import filelock

from metaaux.errors import UserError

_FILE = ".lock"
# Who asks whether a directory is held, holds it for a moment.
_PATIENCE_SECS = 0.5


@contextlib.contextmanager
def hold(workdir: str) -> Iterator[None]:
  """Keeps other processes out of a run directory while this one writes to it.

  The system lifts the lock when the process ends, however that happens. A file
  system that knows no locks keeps nobody out.

  Args:
    workdir: made if missing.

  Raises:
    UserError: another process holds it.
  """
  lock = None
  # What else is wrong with the directory, its first use will tell.
  with contextlib.suppress(OSError, NotImplementedError):
    os.makedirs(workdir, exist_ok=True)
    lock = filelock.FileLock(os.path.join(workdir, _FILE))
    try:
      lock.acquire(timeout=_PATIENCE_SECS)
    except filelock.Timeout:
      raise UserError(
        f"workdir {workdir!r} is in use by another process; wait for its end, "
        "or choose another with --workdir=DIR"
      ) from None
  try:
    yield
  finally:
    if lock is not None:
      lock.release()


def is_held(workdir: str) -> bool:
  """Whether a process, this one or another, holds a run directory now.

  Args:
    workdir: may be missing.
  """
  path = os.path.join(workdir, _FILE)
  if not os.path.exists(path):
    return False
  lock = filelock.FileLock(path)
  try:
    lock.acquire(timeout=0)
  except filelock.Timeout:
    return True
  except (OSError, NotImplementedError):
    return False
  lock.release()
  return False
