"""Hands the runs of a sweep to a launcher until nothing is left to start."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from . import state as sweep_state
from .job import Job
from .launcher import Launcher
from .state import FAILED, FINISHED, RUNNING, WAITING, State
from .view import Show

_POLL_SECS = 0.5


class Outcome(NamedTuple):
  """How a sweep ended.

  Attributes:
    states: of all runs, by name.
    lost: what kept a launcher's job from running to its end, by name.
  """

  states: dict[str, State]
  lost: dict[str, str]


class _Work(NamedTuple):
  """Names of runs; the containers are changed in place.

  Attributes:
    queue: to be started, or waited for while another process holds them.
    active: handle -> name of the jobs that are under way.
    ours: that this sweep has started.
    held: that another process was seen to hold.
  """

  queue: list[str]
  active: dict[Any, str]
  ours: set[str]
  held: set[str]


def to_start(states: Mapping[str, State], *, retry: bool) -> list[str]:
  """Names of the runs that a sweep would start, or wait for."""
  left = (FINISHED,) if retry else (FINISHED, FAILED)
  return [name for name, state in states.items() if state.status not in left]


def drive(
  launcher: Launcher,
  jobs: Mapping[str, Job],
  show: Show,
  received: Mapping[str, int],
  *,
  retry: bool = False,
) -> Outcome:
  """Runs the jobs, and returns when none is under way.

  Args:
    launcher: that starts them.
    jobs: by name of the run.
    show: given the states a few times in a second.
    received: of `cli.listen`; a signal cancels what is under way.
    retry: start failed runs again.
  """
  states = _read(jobs, {})
  work = _Work(to_start(states, retry=retry), {}, set(), set())
  lost: dict[str, str] = {}
  cancelled = False
  while True:
    lost |= _collect(launcher, work, states)
    if not received:
      _submit(launcher, jobs, work, states)
    else:
      work.queue.clear()
      if not cancelled:
        launcher.cancel(list(work.active))
        cancelled = True
    show(states if cancelled else _as_shown(states, work))
    # A launcher can be done with a job whose process still writes.
    busy = [n for n in work.ours if states[n].status == RUNNING]
    if not (work.active or work.queue or busy):
      return Outcome(states, lost)
    time.sleep(_POLL_SECS)
    states = _read(jobs, states)


def _read(
  jobs: Mapping[str, Job], before: Mapping[str, State]
) -> dict[str, State]:
  return {
    name: before[name]
    if name in before and before[name].status == FINISHED
    else sweep_state.read(job.workdir)
    for name, job in jobs.items()
  }


def _collect(
  launcher: Launcher, work: _Work, states: Mapping[str, State]
) -> dict[str, str]:
  """Takes ended jobs out of `work`; what went wrong with them."""
  lost = {}
  for handle, name in list(work.active.items()):
    problem = launcher.ended(handle)
    if problem is not None:
      del work.active[handle]
      if problem:
        lost[name] = problem
      elif states[name].status == RUNNING:
        work.queue.append(name)  # another process was quicker to take it
  return lost


def _submit(
  launcher: Launcher,
  jobs: Mapping[str, Job],
  work: _Work,
  states: Mapping[str, State],
) -> None:
  """Starts what can be started; what another process did is left alone."""
  work.held.update(n for n in work.queue if states[n].status == RUNNING)
  work.queue[:] = [
    name
    for name in work.queue
    if states[name].status != FINISHED
    and not (name in work.held and states[name].status == FAILED)
  ]
  room = len(jobs) if launcher.width is None else launcher.width
  free = [n for n in work.queue if states[n].status != RUNNING]
  free = free[: max(0, room - len(work.active))]
  if not free:
    return
  handles: Sequence[Any] = launcher.submit([jobs[name] for name in free])
  work.active.update(zip(handles, free, strict=True))
  work.ours.update(free)
  work.queue[:] = [name for name in work.queue if name not in free]


def _as_shown(states: Mapping[str, State], work: _Work) -> dict[str, State]:
  """What is to be started is waiting, however its last attempt ended."""
  coming = {*work.queue, *work.active.values()}
  return {
    name: State(WAITING)
    if name in coming and state.status not in (FINISHED, RUNNING)
    else state
    for name, state in states.items()
  }
