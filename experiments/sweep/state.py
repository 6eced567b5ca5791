"""How far a run of a sweep is, read from its directory alone."""

import os
import signal
from collections.abc import Iterable
from typing import NamedTuple

from metaaux.errors import UserError
from metaaux.run import confidence_intervals, lock
from metaaux.run import directory as run_directory

from .. import results
from . import job as sweep_job

# In the order of the last lines and of the live table.
FINISHED, RUNNING, FAILED = "finished", "running", "failed"
STOPPED, WAITING = "stopped", "waiting"
STATUSES = (FINISHED, RUNNING, FAILED, STOPPED, WAITING)

# The run was asked to end, or was so before it listened. The same command
# resumes it.
_ASKED = (
  128 + signal.SIGTERM,
  128 + signal.SIGINT,
  -signal.SIGTERM,
  -signal.SIGINT,
)


class State(NamedTuple):
  """How far a run is.

  Attributes:
    status: one of `STATUSES`. "stopped" has begun and can be resumed, "failed"
      ended with an error or was killed.
    note: the accuracy, the newest line of the log, or the last error line.
  """

  status: str
  note: str = ""


def read(workdir: str) -> State:
  """The state of a run directory, which may be missing."""
  if os.path.exists(os.path.join(workdir, run_directory.RESULT)):
    return State(FINISHED, _accuracy(workdir))
  held, log = lock.is_held(workdir), sweep_job.read_log(workdir)
  if held:
    return State(RUNNING, log.line if log else "")
  if log is None:
    begun = os.path.exists(os.path.join(workdir, run_directory.CONFIG))
    return State(STOPPED if begun else WAITING)
  if log.status is None or log.status in _ASKED:
    return State(STOPPED, log.line)
  if log.status < 0:
    return State(FAILED, sweep_job.name_of_status(log.status))
  return State(FAILED, log.line or sweep_job.name_of_status(log.status))


def _accuracy(workdir: str) -> str:
  try:
    (found,) = results.load(workdir)
  except UserError as error:
    return str(error)
  return confidence_intervals.format_ci(found["mean"], found.get("ci95"))


def count(states: Iterable[State]) -> str:
  """`3 finished, 1 failed`."""
  found = [state.status for state in states]
  return ", ".join(
    f"{found.count(status)} {status}" for status in STATUSES if status in found
  )
