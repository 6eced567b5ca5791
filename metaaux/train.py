"""The one training loop: batches, updates, evaluations, logs, checkpoints."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaaux import config as config_lib
from metaaux import evaluate, files, messages, methods, parallel
from metaaux.config import user_code
from metaaux.errors import Stopped
from metaaux.parallel import hosts, memory
from metaaux.run import batches as batches_lib
from metaaux.run import (
  compiled_programs,
  data_record,
  opening,
  rehearsal,
  run_files,
  shared_stages,
  unread,
)
from metaaux.run import directory as run_directory
from metaaux.run import states as states_lib
from metaaux.run.checkpoints import best
from metaaux.run.logs import (
  correct_images,
  event_files,
  recovered_rows,
  step_log,
)
from metaaux.run.opening import Run
from metaaux.stage import Stage

Seeded = Any


class Loop(NamedTuple):
  """What the loop of one stage needs besides its state.

  Attributes:
    run: config, devices, data and seeds.
    stage: the stage to train.
    offset: updates of the stages before it.
    is_last: whether its evaluations make the result.
    programs: compiled updates, of the stages before, too.
    out: the files of the run.
    should_stop: as of `train_and_evaluate`.
  """

  run: Run
  stage: Stage
  offset: int
  is_last: bool
  programs: compiled_programs.Programs
  out: run_files.Writer
  should_stop: Callable[[], bool]


def train_and_evaluate(
  config: Any,
  workdir: str,
  *,
  overwrite: bool = False,
  should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
  """Trains all stages of a config's method; resumes what the workdir holds.

  Args:
    config: see `config.base`.
    workdir: the run directory.
    overwrite: starts anew instead of resuming.
    should_stop: asked after every step; True saves a checkpoint and stops. With
      several hosts they agree on it where metrics or checkpoints are due.

  Returns:
    What result.json holds, on every host. A finished run is not run again.

  Raises:
    UserError: config, data or workdir are wrong.
    NonFiniteError: a metric became NaN or infinite; the last checkpoint stays.
    Stopped: `should_stop` said so; the same call resumes.
  """
  config_lib.validate(config)
  with memory.explained(config):
    return _run(config, workdir, overwrite, should_stop)


def _run(
  config: Any, workdir: str, overwrite: bool, should_stop: Callable[[], bool]
) -> dict[str, Any]:
  """Opens the run, finds what is wrong with it, trains and concludes."""
  started = time.time()
  hosts.check_same(
    "their config or versions", lambda: run_directory.contents(config)
  )
  if not overwrite:
    finished = hosts.on_first(lambda: data_record.finished(workdir, config))
    if finished is not None:
      return finished
  hosts.on_first(lambda: event_files.check(config.tensorboard))
  run = hosts.together(lambda: opening.open_run(config))
  watched, unread_keys = user_code.watched(config)
  unread.report_images(config)
  stages = methods.make(watched, run.problem.spec, axis_name=run.plan.axis_name)
  rehearsal.check(run, stages)
  with run_files.claimed(run, workdir, overwrite=overwrite):
    run = opening.with_extra_tests(run)
    opening.check_hosts(run)
    # What is computed on the host may read a key as late as in the last stage.
    late = any(stage.prepare for stage in stages)
    unread.report_keys([] if late else unread_keys(), config)
    _train_stages(run, stages, workdir, should_stop)
    result = hosts.on_first(lambda: _conclude(run, stages, workdir, started))
    unread.report_keys(unread_keys() if late else [], config)
    return result


def _train_stages(
  run: Run,
  stages: Sequence[Stage],
  workdir: str,
  should_stop: Callable[[], bool],
) -> None:
  """Trains what the newest checkpoint leaves to do."""
  programs = compiled_programs.Programs(run)
  states, offset = None, 0
  with run_files.open_writer(run, stages, workdir) as out:
    step_log.announce(run, out.done)
    for stage in stages:
      if out.done <= offset + stage.num_steps:
        is_last = stage is stages[-1]
        loop = Loop(run, stage, offset, is_last, programs, out, should_stop)
        states = train_stage(loop, states)
      else:
        states = states_lib.shapes(run, stage, states)
      offset += stage.num_steps
    out.saver.finish(offset)


def _conclude(
  run: Run, stages: Sequence[Stage], workdir: str, started: float
) -> dict[str, Any]:
  """Writes result.json of a run whose rows are all there; returns it."""
  wanted = recovered_rows.schedule(run, stages)
  rows = recovered_rows.all_rows(
    os.path.join(workdir, run_directory.METRICS), wanted
  )
  seconds = time.time() - started
  result = evaluate.summarise(run, wanted.num_steps, rows, seconds)
  kept = correct_images.read(workdir, result)
  if kept is None:
    messages.warn(
      f"{workdir} lacks evaluations in {run_directory.CORRECT}/, so that the "
      "result has no interval that covers the test images"
    )
  result["ci95_with_images"] = correct_images.half_width(kept)
  files.write_json(os.path.join(workdir, run_directory.RESULT), result)
  return result


def train_stage(loop: Loop, previous: Seeded) -> Seeded:
  """Runs one stage from where its checkpoint stands to its end.

  Args:
    loop: the stage and its surroundings.
    previous: states of the stage before or their shapes, or None.

  Returns:
    The states at the end of the stage.
  """
  run, stage, offset, out = loop.run, loop.stage, loop.offset, loop.out
  config, total = run.config, stage.num_steps
  start = max(0, out.done - offset)
  states = None if start or offset else shared_stages.load(run, stage)
  if states is not None:
    out.saver.save(total, parallel.to_host(states, run.plan))
    return states
  if start:
    manager, step = out.saver.manager, offset + start
    states = states_lib.restore(run, stage, previous, manager, step)
  else:
    states = states_lib.begin(run, stage, previous, out.workdir)
  updates = loop.programs.of(stage)
  evaluation = _evaluation(loop)
  log = step_log.StepLog(out.rows, run, stage, offset, start)
  inputs = None
  for step in range(start, total):
    inputs = batches_lib.inputs_at(run, stage, step, inputs)
    phase = stage.phase(step)
    with log.compiling(f"compiling the {phase} step"):
      states, values = updates[phase](
        states, inputs.value, run.pool, np.int32(step)
      )
    now = step + 1
    log.add(now, values)
    last, stop = now == total, _is_told_to_stop(loop, now)
    if last or _due(config.log_every, now):
      log.turn()
    improved = False
    if evaluation and (last or _due(config.eval_every, now)):
      log.drain()
      with log.compiling("compiling and evaluating"):
        rows = evaluation(states, now)
      log.evaluation(now, rows)
      if loop.is_last and config.keep_best:
        at, name = offset + now, config.keep_best
        improved = best.improves(out.scores, at, name, rows)
    if last or stop or improved or _due(config.checkpoint_every, now):
      # Only a state whose metrics are known to be finite is saved.
      log.drain()
      out.saver.save(offset + now, parallel.to_host(states, run.plan))
    if stop and not last:
      log.close()
      out.saver.wait()
      raise Stopped(
        f"stopped after step {now} of {total}; the same command resumes"
      )
  log.close()
  if start < total:
    shared_stages.store(run, stage, states)
  return states


def _evaluation(loop: Loop) -> Callable[[Seeded, int], Any] | None:
  """(states, step) -> rows; None for a stage that is not evaluated."""
  run, stage = loop.run, loop.stage
  if not stage.predict:
    return None
  labels, positions = run.problem.test["primary"], run.problem.tested()

  def keep(step: int, correct_SxN: np.ndarray) -> None:
    """Keeps what the result needs; before its rows, so that none lacks it."""
    wanted = correct_images.is_kept(run.config, step, stage.num_steps)
    if loop.is_last and wanted and hosts.is_first():
      at, workdir = loop.offset + step, loop.out.workdir
      correct_images.write(workdir, at, correct_SxN, positions, labels)

  return evaluate.make(stage, run, keep)


def _is_told_to_stop(loop: Loop, step: int) -> bool:
  told, config = loop.should_stop(), loop.run.config
  if hosts.count() == 1:
    return told
  # Where hosts wait for the device anyway; they must stop at the same step.
  every = config.log_every, config.eval_every, config.checkpoint_every
  return any(_due(each, step) for each in every) and hosts.any_of(told)


def _due(every: int, step: int) -> bool:
  return every > 0 and step % every == 0
