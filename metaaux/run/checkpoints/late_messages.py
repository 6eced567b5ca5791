"""Silences late warnings of orbax's unfinished reads and writes.

Once one leaf of a checkpoint has failed, orbax waits for the others no more.
Their errors would be tracebacks on stderr, beside the one line that says what
is wrong.
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
  """Silences the other leaves of a checkpoint after one of them has failed.

  Some warn only when their reads and writes end, after the block: the hook
  stays once a leaf has failed.
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
