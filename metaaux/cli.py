"""What the command lines share: arguments, exit statuses, one-line errors."""

import argparse
import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from metaaux.errors import HostError, NonFiniteError, Stopped, UserError

EXIT_USAGE, EXIT_NON_FINITE, EXIT_HOST = 2, 3, 4

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Parser(argparse.ArgumentParser):
  """A parser whose complaints are of our kind: one line, exit status 2."""

  def error(self, message: str) -> NoReturn:
    raise UserError(f"{message}; {self.prog} --help lists what there is")


def parser(module: str, text: str) -> argparse.ArgumentParser:
  """An argument parser that raises UserError.

  Args:
    module: that `python -m` runs.
    text: what --help says above the list of flags, line by line as it is.
  """
  return _Parser(
    prog=f"python -m {module}",
    usage=argparse.SUPPRESS,
    description=text,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )


def fail(error: BaseException | str, status: int = EXIT_USAGE) -> int:
  """Prints one line on stderr, whatever the error holds; returns the status."""
  text = " ".join(str(error).split()) or type(error).__name__
  print(f"error: {text}", file=sys.stderr)
  return status


def listen() -> dict[str, int]:
  """Remembers the first SIGTERM or SIGINT; a second one ends at once.

  Returns:
    A dict that gets the key "signal" when one arrives.
  """
  received: dict[str, int] = {}

  def remember(number: int, frame: object) -> None:
    del frame
    received["signal"] = number
    # Not print, which may be what was interrupted.
    os.write(2, b"stopping after this step; once more stops at once\n")
    for each in (signal.SIGTERM, signal.SIGINT):
      signal.signal(each, signal.SIG_DFL)

  for each in (signal.SIGTERM, signal.SIGINT):
    signal.signal(each, remember)
  return received


@contextlib.contextmanager
def listening() -> Iterator[dict[str, int]]:
  """As `listen`, until the block ends: then signals do what they did before.

  For commands that are called by a notebook or a program, which goes on.
  """
  before = {
    each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)
  }
  received = listen()
  try:
    yield received
  finally:
    for each, handler in before.items():
      # None: set by something else than Python, which cannot set it again.
      if handler is not None:
        signal.signal(each, handler)


def status_of(command: Callable[[], None], received: dict[str, int]) -> int:
  """Runs a command; the exit status that its end deserves.

  Args:
    command: returns when all is well.
    received: of `listen`.
  """
  try:
    command()
  except UserError as error:
    return fail(error, EXIT_USAGE)
  except NonFiniteError as error:
    return fail(error, EXIT_NON_FINITE)
  except HostError as error:
    return fail(error, EXIT_HOST)
  except OSError as error:
    if error.errno not in _FULL:
      raise
    what = f"{error.filename}: " if error.filename else ""
    return fail(
      f"{what}{error.strerror}; make room and start the same command again"
    )
  except Stopped as error:
    print(error, file=sys.stderr)
    # Without one here, another host was told to stop.
    return 128 + received.get("signal", signal.SIGTERM)
  return 0
