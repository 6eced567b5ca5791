"""Lines for people, which may fail to arrive without harm to the work.

A pipe can have no reader any more, a stream can be closed from the start or
know no signs but those of ASCII. What was to be said is then lost, or said in
other signs; what was trained is not.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

# Signs that a stream may lack; any other becomes a question mark.
_PLAIN = str.maketrans(
  {
    "±": "+-",
    "×": "x",
    "·": "*",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "’": "'",
    "“": '"',
    "”": '"',
    "†": "+",
    "‡": "++",
    "█": "#",
  }
)


class Tolerant:
  """A text stream whose writes never fail, around one whose writes may.

  Attributes:
    within: the stream that gets what it can take.
    error: of the last text that could not be written, None: there is none. A
      reader who has read enough is no error.
  """

  def __init__(self, stream: Any) -> None:
    """Writes to `stream`; None, as Python has it for a closed one: nowhere."""
    self.within, self.error = stream, None

  def __getattr__(self, name: str) -> Any:
    """Whatever else there is to know of the stream within."""
    return getattr(self.within, name)

  def write(self, text: str) -> int:
    """Writes what can be written, at once."""
    if self.within is not None:
      self._try(self._put, text)
      self._try(self.within.flush)
    return len(text)

  def _put(self, text: str) -> None:
    if not text.isascii():
      text = plain(text, getattr(self.within, "encoding", None) or "utf-8")
    self.within.write(text)

  def _try(self, action: Callable[..., Any], *arguments: str) -> None:
    try:
      action(*arguments)
    except OSError as error:
      if error.errno != errno.EPIPE:
        self.error = error
    except ValueError:  # it is closed
      pass

  def flush(self) -> None:
    """Has nothing left to do."""

  def isatty(self) -> bool:
    """Whether it is a terminal."""
    try:
      return self.within is not None and self.within.isatty()
    except ValueError:
      return False

  def settle(self) -> None:
    """Leaves nothing to Python that it would fail to write when it ends."""
    try:
      if self.within is not None:
        self.within.flush()
    except (OSError, ValueError):
      with contextlib.suppress(OSError, ValueError, AttributeError):
        number = self.within.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def plain(text: str, encoding: str) -> str:
  """The text in signs that an encoding has."""

  def known(sign: str) -> str:
    try:
      sign.encode(encoding)
      return sign
    except UnicodeEncodeError:
      return sign.translate(_PLAIN).encode(encoding, "replace").decode(encoding)

  return "".join(map(known, text))


@contextlib.contextmanager
def tolerant() -> Iterator[Tolerant]:
  """While a command runs: what it, or a library, prints never ends it.

  Yields:
    The stream that is sys.stdout meanwhile.
  """
  _keep_numbers()
  out, err = Tolerant(sys.stdout), Tolerant(sys.stderr)
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      yield out
    finally:
      out.settle()
      err.settle()


def say(text: str) -> None:
  """One line on stderr, or nowhere."""
  Tolerant(sys.stderr).write(text + "\n")


def signal_safe(line: bytes) -> None:
  """Writes to stderr from a handler of signals, or nowhere.

  Not by print, which may be what was interrupted.
  """
  # A stderr that was closed from the start: its number is another file's.
  if sys.__stderr__ is None:
    return
  with contextlib.suppress(OSError):
    os.write(2, line)


def _keep_numbers() -> None:
  """Opens what of stdin, stdout and stderr is closed, as nothing.

  Otherwise the next file would get the number, and with it what libraries
  write to it.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      # The lowest number that is free is this one.
      os.open(os.devnull, os.O_RDWR)


def count(number: int, noun: str) -> str:
  """`1 seed`, `5 seeds`."""
  return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def warn(text: str) -> None:
  """One line on stderr about something that the run can do without."""
  say(f"warning: {text}")
