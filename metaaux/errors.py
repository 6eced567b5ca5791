"""The ways in which a run ends early that are no defect of the program."""


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
