"""Opens a run again, from its checkpoints and on one device."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from metaaux import messages, methods
from metaaux.errors import DamagedError, UserError
from metaaux.run import data_record, opening
from metaaux.run import directory as run_directory
from metaaux.run import states as states_lib
from metaaux.run.checkpoints import best
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.logs import rows as rows_lib
from metaaux.run.opening import Run
from metaaux.stage import Stage

Seeded = Any


class Restored(NamedTuple):
  """A run that was opened again.

  Attributes:
    run: data and one device; other test sets are left out.
    stage: the stage in which the checkpoint was written.
    states: states of all seeds.
    step: updates of the stage that the states have seen.
  """

  run: Run
  stage: Stage
  states: Seeded
  step: int


def restore(
  workdir: str,
  name: str = "",
  *,
  best_one: bool = False,
  elsewhere: bool = False,
) -> Restored:
  """Opens the directory of a run, finished or not, and writes nothing.

  Args:
    workdir: directory of the run.
    name: of the stage whose newest checkpoint is read, or the one before it if
      that is damaged; "": the last stage, which trains the primary task.
    best_one: whether to read the checkpoint that `keep_best` kept instead.
    elsewhere: whether the run will be evaluated on other data, so that its own
      data may have changed.

  Raises:
    UserError: there is no run, no such stage or no checkpoint of it, or the
      data of the run is not at hand or has changed.
  """
  config = run_directory.load_config(workdir)
  directory = os.path.join(workdir, run_directory.CHECKPOINTS)
  if not os.path.isdir(directory):
    raise UserError(f"{workdir!r} has no checkpoint yet; train the run first")
  # On one device any batch size will do.
  config.update(parallel="none", extra_test=())
  with checkpoint_format.open_manager(directory) as manager:
    saved = checkpoint_format.all_steps(manager)
    if not saved:
      raise UserError(f"{workdir!r} has no checkpoint yet; train the run first")
    run = _with_own_data(opening.open_run(config), workdir, elsewhere)
    *before, stage = _until(methods.make(config, run.problem.spec), name)
    shapes, offset = None, sum(each.num_steps for each in before)
    for each in before:
      shapes = states_lib.shapes(run, each, shapes)
    steps = _of_stage(saved, stage, offset, workdir)
    if best_one:
      steps = _best(steps, run, (*before, stage), workdir)
    states, done = _first_whole(
      steps, lambda at: states_lib.restore(run, stage, shapes, manager, at)
    )
  return Restored(run, stage, states, done - offset)


def _with_own_data(run: Run, workdir: str, elsewhere: bool) -> Run:
  """The run, with the class names that its network has learned."""
  stored = data_record.read(workdir)
  if stored is None:
    messages.say(
      f"{workdir!r} has no {run_directory.DATA}, as runs of older versions: "
      "whether its data and the names of its classes are still the same is not "
      "known"
    )
    return run
  now = data_record.describe(run.config, run.problem, stored)
  if not elsewhere:
    data_record.check(workdir, stored, now)
    return run
  changed = data_record.differences(stored, now)
  if changed:
    messages.warn(f"{changed} since the run began")
  names = tuple(stored["class_names"])
  if len(names) != run.problem.spec.num_primary:
    raise UserError(
      f"{workdir!r} was trained on {len(names)} classes, and its data has "
      f"{run.problem.spec.num_primary} now; restore the data"
    )
  return run._replace(problem=run.problem._replace(primary_names=names))


def _best(
  steps: Sequence[int], run: Run, stages: Sequence[Stage], workdir: str
) -> list[int]:
  """The step of the best checkpoint."""
  if not run.config.keep_best:
    raise UserError(
      f"{workdir!r} keeps no best checkpoint; train with --config.keep_best="
      "accuracy"
    )
  rows = rows_lib.read_rows(os.path.join(workdir, run_directory.METRICS))
  step = best.step(steps, best.scores(run.config, rows, stages))
  if step is None:
    raise UserError(
      f"no checkpoint of {workdir!r} has been evaluated yet; resume the run"
    )
  return [step]


def _first_whole(
  steps: Sequence[int], read: Callable[[int], Seeded]
) -> tuple[Seeded, int]:
  """The first states that can be read, and their step."""
  *others, last = steps
  for step in others:
    try:
      return read(step), step
    except DamagedError as error:
      messages.warn(f"{error}; an older one is read instead")
  try:
    return read(last), last
  except DamagedError as error:
    raise DamagedError(
      f"{error}; the command that trains the run goes on from what is whole"
    ) from error


def _until(stages: Sequence[Stage], name: str) -> Sequence[Stage]:
  """The stages up to the one of this name."""
  names = [stage.name for stage in stages]
  if name and name not in names:
    raise UserError(
      f"the run has no stage {name!r}; its stages: {', '.join(names)}"
    )
  return stages[: names.index(name) + 1] if name else stages


def _of_stage(
  saved: list[int], stage: Stage, offset: int, workdir: str
) -> list[int]:
  """The saved steps that a stage wrote, the newest first."""
  end = offset + stage.num_steps
  steps = [step for step in saved if offset < step <= end]
  if steps:
    return steps[::-1]
  if saved[-1] <= offset:
    raise UserError(
      f"the newest checkpoint of {workdir!r} is of step {saved[-1]}; stage "
      f"{stage.name!r} is trained after step {offset}: resume the run first"
    )
  raise UserError(
    f"stage {stage.name!r} of {workdir!r} was trained until step {end} and its "
    "checkpoint was not kept; train the run again with --overwrite"
  )
