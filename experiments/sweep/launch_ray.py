"""Runs as tasks on a Ray cluster that is there already."""

import signal
from collections.abc import Sequence
from typing import Any

from metaaux.errors import UserError

from . import job as sweep_job
from .job import Job
from .launcher import Launcher, Options, needs, problem


def open_launcher(options: Options) -> Launcher:
  """See `launcher.Launcher`; Ray places the tasks by cores and GPUs.

  Raises:
    UserError: Ray is missing, or there is no cluster at the address.
  """
  ray = needs("ray")
  numbers = (signal.SIGTERM, signal.SIGINT)
  before = [signal.getsignal(number) for number in numbers]
  try:
    ray.init(
      address=options.address, log_to_driver=False, logging_level="ERROR"
    )
  except (ConnectionError, ValueError, RuntimeError) as error:
    raise UserError(
      f"no Ray cluster at --address={options.address} ({problem(error)}); "
      "start one with `ray start --head`"
    ) from None
  finally:
    # Ray has its own; ours wait for the runs' checkpoints.
    for number, handler in zip(numbers, before, strict=True):
      signal.signal(number, handler)
  cores = options.cores or 1
  task = ray.remote(num_cpus=cores, num_gpus=options.gpus, max_retries=0)(
    sweep_job.execute
  )

  def submit(jobs: Sequence[Job]) -> list[Any]:
    return [task.remote(job) for job in jobs]

  def ended(reference: Any) -> str | None:
    if not ray.wait([reference], timeout=0)[0]:
      return None
    try:
      ray.get(reference)
    except ray.exceptions.TaskCancelledError:
      return ""
    except ray.exceptions.RayError as error:
      return problem(error)
    return ""

  def cancel(references: Sequence[Any]) -> None:
    for reference in references:
      ray.cancel(reference)

  return Launcher(
    options.workers or None, cores, submit, ended, cancel, ray.shutdown
  )
