"""One run of a sweep as a process of its own, wherever the sweep started it.

What the process prints goes to sweep.log in its run directory, between a line
with the command and one with the exit status. Where the second is missing, the
machine or the one who waited ended first.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from metaaux.run import lock

LOG = "sweep.log"
_POLL_SECS = 0.2
_TAIL_BYTES = 1 << 16
_COMMAND, _STATUS = "$ ", "exit status "

# The figures of a run depend on the number of threads, in their last digits,
# as sums are split among them. So it is set and never that of the machine.
_THREADS = (
  "PJRT_NPROC",
  "OMP_NUM_THREADS",
  "OPENBLAS_NUM_THREADS",
  "MKL_NUM_THREADS",
)


class Job(NamedTuple):
  """What another machine needs to know of a run.

  Attributes:
    flags: of `python -m metaaux.main`.
    workdir: its run directory, absolute.
    folder: working directory of the process, absolute.
    cores: threads of each pool.
  """

  flags: tuple[str, ...]
  workdir: str
  folder: str
  cores: int


class Log(NamedTuple):
  """The last attempt that a log tells of.

  Attributes:
    status: exit status, negative for a signal; None: the end is not known.
    line: the last line with "error:" in it, or else the last one; "" if none.
  """

  status: int | None
  line: str


def execute(job: Job, should_stop: Callable[[], bool] = lambda: False) -> None:
  """Runs the process to its end; does nothing while another holds the run.

  Args:
    job: of the run.
    should_stop: asked several times a second; when it is true, or at a
      KeyboardInterrupt, the process is asked to write a checkpoint and end.
  """
  if lock.is_held(job.workdir):
    return
  os.makedirs(job.workdir, exist_ok=True)
  command = [sys.executable, "-u", "-m", "metaaux.main", *job.flags]
  with open(os.path.join(job.workdir, LOG), "ab") as log:
    _write(log, f"{_COMMAND}{shlex.join(command)}")
    process = _start(job, command, log)
    try:
      status = _wait(process, should_stop)
    except BaseException:  # a time limit, as submitit tells of it
      process.terminate()
      _write(log, f"{_STATUS}{process.wait()}")
      raise
    _write(log, f"{_STATUS}{status}")


def _start(job: Job, command: list[str], log: BinaryIO) -> subprocess.Popen:
  # Slurm signals all processes of a job before its time is up. That is for
  # submitit; a run would be killed by it.
  main = threading.current_thread() is threading.main_thread()
  before = signal.signal(signal.SIGUSR2, signal.SIG_IGN) if main else None
  try:
    return subprocess.Popen(
      command,
      cwd=job.folder,
      env={**os.environ, **dict.fromkeys(_THREADS, str(job.cores))},
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=subprocess.STDOUT,
      # A Ctrl-C is for the sweep, which tells its runs.
      start_new_session=True,
    )
  finally:
    if main:
      signal.signal(signal.SIGUSR2, before)


def _write(log: BinaryIO, line: str) -> None:
  os.write(log.fileno(), f"{line}\n".encode())


def _wait(process: subprocess.Popen, should_stop: Callable[[], bool]) -> int:
  told = False
  while True:
    try:
      return process.wait(_POLL_SECS)
    except subprocess.TimeoutExpired:
      stop = should_stop()
    except KeyboardInterrupt:
      stop = True
    if stop and not told:
      process.terminate()
      told = True


def read_log(workdir: str) -> Log | None:
  """The last attempt at a run, None if a sweep never started it."""
  try:
    with open(os.path.join(workdir, LOG), "rb") as file:
      file.seek(max(0, os.path.getsize(file.name) - _TAIL_BYTES))
      text = file.read().decode(errors="replace")
  except FileNotFoundError:
    return None
  lines = re.split(r"[\r\n]+", text.strip())
  starts = [i for i, line in enumerate(lines) if line.startswith(_COMMAND)]
  lines = lines[starts[-1] + 1 :] if starts else lines
  status = None
  if lines and re.fullmatch(rf"{_STATUS}-?\d+", lines[-1]):
    status = int(lines.pop().removeprefix(_STATUS))
  told = [line for line in lines if "error:" in line.lower()] or lines
  return Log(status, told[-1].strip() if told else "")


def name_of_status(status: int) -> str:
  """`exit status 2`, or `killed by SIGKILL`."""
  if status >= 0:
    return f"{_STATUS}{status}"
  try:
    return f"killed by {signal.Signals(-status).name}"
  except ValueError:
    return f"killed by signal {-status}"
