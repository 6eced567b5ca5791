"""Says how long silent work, such as compiling, has taken so far."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator

# Seconds that nobody wonders about.
PATIENCE = 5.0


def live_times() -> Iterator[float]:
  """Seconds at which a line is written over: each one."""
  return itertools.count(PATIENCE, 1.0)


def plain_times() -> Iterator[float]:
  """Seconds at which a log gets a line: fewer and fewer as time goes on."""
  return itertools.chain(
    (PATIENCE, 30.0, 60.0, 120.0), itertools.count(300, 300)
  )


def duration(seconds: float) -> str:
  """`45 s`, `12 min`, `2 h 5 min`, `3 d 4 h`."""
  minutes = round(seconds / 60)
  if seconds < 99.5:
    return f"{max(0.0, seconds):.0f} s"
  if minutes < 100:
    return f"{minutes} min"
  hours, minutes = divmod(minutes, 60)
  if hours < 48:
    return f"{hours} h {minutes} min"
  return f"{hours // 24} d {hours % 24} h"


@contextlib.contextmanager
def watched(
  tell: Callable[[float], None],
  finish: Callable[[float], None],
  times: Iterable[float],
) -> Iterator[None]:
  """Tells, from a thread, how long the block has taken so far.

  Args:
    tell: receives the seconds so far.
    finish: receives the seconds in all, if `tell` was called.
    times: seconds after the beginning at which to call `tell`.
  """
  done, begun = threading.Event(), time.monotonic()
  told = []

  def run() -> None:
    for at in times:
      if done.wait(max(0.0, at - (time.monotonic() - begun))):
        return
      told.append(at)
      # A log that is closed is no reason to stop what is being waited for.
      with contextlib.suppress(OSError, ValueError):
        tell(time.monotonic() - begun)

  thread = threading.Thread(target=run, name="metaaux-waiting", daemon=True)
  thread.start()
  try:
    yield
  finally:
    done.set()
    thread.join()
  if told:
    with contextlib.suppress(OSError, ValueError):
      finish(time.monotonic() - begun)
