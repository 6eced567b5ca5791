"""Runs as a job array of Slurm, by submitit."""

import os
from collections.abc import Sequence
from typing import Any

from metaaux.errors import UserError

from . import job as sweep_job
from .job import Job
from .launcher import Launcher, Options, needs, problem

# A run of many hours is not rare, and one that is cut off can be resumed.
_TIMEOUT_MIN = 24 * 60


def open_launcher(options: Options) -> Launcher:
  """See `launcher.Launcher`; all jobs that are given together are one array.

  With `cluster=local` jobs are processes of this machine.

  Raises:
    UserError: submitit or Slurm is missing, or submitit does not know a
      parameter.
  """
  submitit = needs("submitit")
  given = dict(options.slurm)
  cluster = given.pop("cluster", "slurm")
  cores = options.cores or 1
  parameters: dict[str, Any] = {
    "name": options.name,
    "timeout_min": _TIMEOUT_MIN,
    "cpus_per_task": cores,
  }
  if options.gpus:
    parameters["gpus_per_node"] = options.gpus
  if options.workers:
    parameters["slurm_array_parallelism"] = options.workers
  try:
    executor = submitit.AutoExecutor(
      os.path.join(options.folder, "slurm"), cluster=cluster
    )
    executor.update_parameters(**(parameters | given))
  except (NameError, TypeError, ValueError, RuntimeError) as error:
    raise UserError(
      f"--launcher=slurm: submitit says {problem(error)}; --slurm.KEY=VALUE "
      "sets a parameter, and --slurm.cluster=local tries it without Slurm"
    ) from None

  def submit(jobs: Sequence[Job]) -> list[Any]:
    try:
      return executor.map_array(sweep_job.execute, jobs)
    except (RuntimeError, OSError) as error:  # sbatch refuses them
      raise UserError(
        f"--launcher=slurm: {problem(error)}; see --slurm.KEY=VALUE in --help"
      ) from None

  def ended(job: Any) -> str | None:
    if not job.done():
      return None
    try:
      return problem(job.exception())
    except Exception as error:  # Of submitit; whatever it is, the job is over.
      return problem(error)

  def cancel(jobs: Sequence[Any]) -> None:
    for job in jobs:
      job.cancel(check=False)

  # Without Slurm nobody holds jobs back.
  width = None if cluster == "slurm" else options.workers or os.cpu_count()
  return Launcher(width, cores, submit, ended, cancel, lambda: None)
