"""What `experiments.sweep` asks of each way to start runs."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from metaaux.errors import UserError

from .job import Job

NAMES = ("local", "slurm", "ray")


class Options(NamedTuple):
  """How many runs at once, and on what.

  Attributes:
    name: of the sweep.
    folder: of the sweep, absolute.
    workers: runs at once; 0: as many as there is room for.
    cores: of each run; 0: one, or its share of this machine (local).
    gpus: of each run (slurm, ray).
    address: of the Ray cluster.
    slurm: parameters of submitit, and "cluster".
  """

  name: str
  folder: str
  workers: int
  cores: int
  gpus: int
  address: str
  slurm: Mapping[str, Any]


class Launcher(NamedTuple):
  """Starts jobs, which `job.execute` runs, and tells when they ended.

  Attributes:
    width: jobs that it takes at once, None: any number.
    cores: of each job.
    submit: jobs -> a handle for each.
    ended: handle -> None while the job is under way; then "", or what kept it
      from running to its end.
    cancel: asks the jobs of these handles to end; those that have begun write a
      checkpoint.
    close: lets go of what it holds; jobs have ended.
  """

  width: int | None
  cores: int
  submit: Callable[[Sequence[Job]], list[Any]]
  ended: Callable[[Any], str | None]
  cancel: Callable[[Sequence[Any]], None]
  close: Callable[[], None]


def open_launcher(name: str, options: Options) -> Launcher:
  """The launcher of this name.

  Raises:
    UserError: what it needs is not there, or an option does not suit it.
  """
  for given, known in (("gpus", ("slurm", "ray")), ("slurm", ("slurm",))):
    if getattr(options, given) and name not in known:
      raise UserError(
        f"--{given} is of no use to --launcher={name}; it is for "
        f"{' and '.join(known)}"
      )
  module = importlib.import_module(f".launch_{name}", __package__)
  return module.open_launcher(options)


def needs(package: str) -> ModuleType:
  """An optional package.

  Raises:
    UserError: it is not installed; the message says how to.
  """
  try:
    return importlib.import_module(package)
  except ImportError as error:
    extra = {"submitit": "slurm"}.get(package, package)
    raise UserError(
      f"{package} is missing ({error}); pip install 'metaaux[{extra}]'"
    ) from None


def problem(error: BaseException | None) -> str:
  """One line on what ended a job; "" for None."""
  if error is None:
    return ""
  return " ".join(f"{type(error).__name__}: {error}".split())
