"""What the leaves of a checkpoint say after orbax has given up on one.

Its reads and writes are tasks that nobody waits for then; their errors would be
tracebacks on stderr, beside the one line that says what is wrong.
"""

import contextlib
import functools
import gc
import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def hidden() -> Iterator[None]:
  """Hides what the leaves say that are left when orbax gives up on one.

  Some speak only when their reads and writes end: the hook stays, once it has
  given up.
  """
  logging.getLogger("asyncio").addFilter(_is_of_others)
  hook = sys.unraisablehook
  if getattr(hook, "func", None) is not _without_late_leaves:
    sys.unraisablehook = functools.partial(_without_late_leaves, hook)
  try:
    yield
  except Exception:
    gc.collect()
    raise
  sys.unraisablehook = hook


def _is_of_others(record: logging.LogRecord) -> bool:
  """Whether a task that nobody waited for read no leaf."""
  error = record.exc_info[1] if record.exc_info else None
  return "tensorstore" not in f"{record.getMessage()} {error}"


def _without_late_leaves(hook: Callable[[Any], None], found: Any) -> None:
  late = inspect.iscoroutine(found.object)
  if not late and "Event loop is closed" not in str(found.exc_value):
    hook(found)
