"""Runs on this machine: a few at once, each on its own cores."""

import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from metaaux.parallel import threads

from . import job as sweep_job
from .job import Job
from .launcher import Launcher, Options, problem


def core_sets(available: Sequence[int], workers: int, cores: int) -> list[set]:
  """Cores of each worker; they are shared only where there are too few."""
  count = len(available)
  return [
    {available[i % count] for i in range(worker * cores, (worker + 1) * cores)}
    for worker in range(workers)
  ]


def open_launcher(options: Options) -> Launcher:
  """See `launcher.Launcher`; a worker is a thread that waits for a process."""
  available = threads.available_cores()
  workers = options.workers or max(1, len(available) // max(1, options.cores))
  cores = options.cores or max(1, len(available) // workers)
  sets: queue.SimpleQueue[set] = queue.SimpleQueue()
  for each in core_sets(available, workers, cores):
    sets.put(each)
  stop = threading.Event()

  def pin() -> None:
    chosen = sets.get()
    # Of this thread, and of the processes that it will start.
    if hasattr(os, "sched_setaffinity"):
      os.sched_setaffinity(0, chosen)

  pool = ThreadPoolExecutor(workers, initializer=pin)

  def submit(jobs: Sequence[Job]) -> list[Future]:
    return [pool.submit(sweep_job.execute, job, stop.is_set) for job in jobs]

  def ended(future: Future) -> str | None:
    if not future.done():
      return None
    return "" if future.cancelled() else problem(future.exception())

  def cancel(futures: Sequence[Future]) -> None:
    stop.set()
    for future in futures:
      future.cancel()

  def close() -> None:
    stop.set()
    pool.shutdown(cancel_futures=True)

  return Launcher(workers, cores, submit, ended, cancel, close)
