"""The ways in which a run ends early that are no defect of the program."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
  """The command, the configuration or the data is wrong (exit status 2).

  The message is one line: what is wrong, the value seen, what to do.
  """


class DamagedError(UserError):
  """A checkpoint cannot be read, or is not what was written."""


class NonFiniteError(FloatingPointError):
  """Training produced a value that is not finite (exit status 3)."""


class HostError(Exception):
  """Another host of the run is gone; the same command on all resumes (4)."""


class Stopped(Exception):
  """Training was asked to stop; the same command resumes (143 or 130)."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
  """` (did you mean 'x'?)` for the known word nearest to `name`, or nothing."""
  close = difflib.get_close_matches(str(name), list(known), n=1)
  return f" (did you mean {close[0]!r}?)" if close else ""
