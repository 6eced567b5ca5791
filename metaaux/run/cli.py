"""What the command lines share: arguments, exit statuses, one-line errors."""

import argparse
import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from metaaux import messages
from metaaux.errors import HostError, NonFiniteError, Stopped, UserError

EXIT_USAGE, EXIT_NON_FINITE, EXIT_HOST = 2, 3, 4

# Of a path, in characters and in folders.
_LONGEST, _DEEPEST = 4096, 500

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Parser(argparse.ArgumentParser):
  """A parser whose complaints are of our kind: one line, exit status 2."""

  def error(self, message: str) -> NoReturn:
    raise UserError(f"{message}; {self.prog} --help lists what there is")


def parser(program: str, text: str) -> argparse.ArgumentParser:
  """An argument parser that raises UserError.

  Args:
    program: what is typed before the flags.
    text: what --help says above the list of flags, line by line as it is.
  """
  return _Parser(
    prog=program,
    usage=argparse.SUPPRESS,
    description=text,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )


def path(text: str) -> str:
  """Of a flag: a path, in which a `~` at the beginning is the home directory.

  Raises:
    argparse.ArgumentTypeError: no file can be called so.
  """
  if "\0" in text:
    raise argparse.ArgumentTypeError(f"{text!r} has a zero byte in it")
  if len(text) > _LONGEST or text.count("/") > _DEEPEST:
    raise argparse.ArgumentTypeError(f"{text[:40]!r}... is too long for a path")
  return os.path.expanduser(text)


def find_code_here() -> None:
  """Lets a console script find code of one's own, as `python -m` does."""
  if not sys.flags.safe_path and os.getcwd() not in sys.path:
    sys.path.insert(0, os.getcwd())


def fail(error: BaseException | str, status: int = EXIT_USAGE) -> int:
  """Prints one line on stderr, whatever the error holds; returns the status."""
  text = " ".join(str(error).split()) or type(error).__name__
  messages.say(f"error: {text}")
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
    messages.signal_safe(b"stopping after this step; once more stops at once\n")
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


def status_of(
  command: Callable[[], None],
  received: dict[str, int],
  *,
  prints: bool = True,
) -> int:
  """Runs a command; the exit status that its end deserves.

  Args:
    command: returns when all is well.
    received: of `listen`.
    prints: whether the command was for nothing if its output is lost.
  """
  with messages.tolerant() as out:
    status = _status_of(command, received)
    if out.error is None or status:
      return status
    said = f"what stdout was to hold is lost ({out.error.strerror})"
    if prints:
      return fail(f"{said}; make room and start the same command again")
    messages.say(f"warning: {said}")
    return status


def _status_of(command: Callable[[], None], received: dict[str, int]) -> int:
  try:
    command()
  except UserError as error:
    return fail(error, EXIT_USAGE)
  except NonFiniteError as error:
    return fail(error, EXIT_NON_FINITE)
  except HostError as error:
    return fail(error, EXIT_HOST)
  except MemoryError as error:
    return fail(
      f"there is not enough memory ({error}); lower what is asked for"
    )
  except OSError as error:
    if error.errno is None:
      raise
    what = f"{error.filename}: " if error.filename else ""
    return fail(f"{what}{error.strerror}; {_advice(error)}")
  except Stopped as error:
    messages.say(str(error))
    # Without one here, another host was told to stop.
    return 128 + received.get("signal", signal.SIGTERM)
  return 0


def _advice(error: OSError) -> str:
  if error.errno in _FULL:
    return "make room and start the same command again"
  return "look after the file or folder and start the same command again"
