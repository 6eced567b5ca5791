"""The one training loop: batches, updates, evaluations, logs, checkpoints."""

import contextlib
import itertools
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
  data_record,
  lock,
  prepare,
  rehearsal,
  shared_stages,
  unread,
)
from metaaux.run import directory as run_directory
from metaaux.run import open as open_lib
from metaaux.run import programs as programs_lib
from metaaux.run import states as states_lib
from metaaux.run.checkpoints import best
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.checkpoints import writer as checkpoint_writer
from metaaux.run.logs import correct, event_files, recovered_rows, step_log
from metaaux.run.logs import rows as rows_lib
from metaaux.run.open import Run
from metaaux.stage import Stage

Seeded = Any


class Loop(NamedTuple):
  """What the loop of one stage needs besides its state."""

  run: Run
  stage: Stage
  offset: int  # updates of the stages before this one
  saver: checkpoint_writer.Saver
  file: rows_lib.RowFile  # metrics.jsonl
  should_stop: Callable[[], bool]
  workdir: str
  programs: programs_lib.Programs
  # Of `keep_best`, see `best`; None: the stage keeps no best.
  scores: dict[int, float] | None = None
  is_last: bool = False  # whether its evaluations make the result


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
  started = time.time()
  hosts.check_same(
    "their config or versions", lambda: run_directory.contents(config)
  )
  finished = None
  if not overwrite:
    finished = hosts.on_first(lambda: data_record.finished(workdir, config))
  if finished is not None:
    return finished
  hosts.on_first(lambda: event_files.check(config.tensorboard))
  run = hosts.together(lambda: open_lib.open_run(config))
  watched, unread_keys = user_code.watched(config)
  unread.report_images(config)
  stages = methods.make(watched, run.problem.spec, axis_name=run.plan.axis_name)
  _check_stages(run, stages)
  with contextlib.ExitStack() as held:

    def claim() -> None:
      held.enter_context(lock.hold(workdir))
      known = None if overwrite else data_record.read(workdir)
      now = data_record.describe(config, run.problem, known)
      data_record.check(workdir, known, now)
      run_directory.prepare(workdir, config, overwrite=overwrite, data=now)

    hosts.on_first(claim)
    run = open_lib.with_extra_tests(run)
    open_lib.check_hosts(run)
    # What is computed on the host may read a key as late as in the last stage.
    late = any(stage.prepare for stage in stages)
    unread.report_keys([] if late else unread_keys(), config)
    result = _train_stages(run, stages, workdir, should_stop, started)
    unread.report_keys(unread_keys() if late else [], config)
    return result


def _train_stages(
  run: Run,
  stages: Sequence[Stage],
  workdir: str,
  should_stop: Callable[[], bool],
  started: float,
) -> dict[str, Any]:
  """Trains what the newest checkpoint leaves to do; writes the result."""
  path = os.path.join(workdir, run_directory.METRICS)
  wanted = recovered_rows.schedule(run, stages)
  with contextlib.ExitStack() as stack:
    scores: dict[int, float] = {}
    managers, events = [], []  # one on the host that writes, else none

    def recover() -> tuple[int, list[tuple[int, float]]]:
      manager = stack.enter_context(_manager(run, stages, workdir, scores))
      managers.append(manager)
      kept = recovered_rows.read(path, wanted)
      found = checkpoint_format.recover(
        manager,
        messages.warn,
        lost=recovered_rows.first_lost(kept.rows, wanted),
        last=wanted.num_steps,
      )
      done = found or 0
      rows = recovered_rows.keep(path, kept, wanted, done, messages.warn)
      following = event_files.following(workdir, rows, run.config.tensorboard)
      events.append(stack.enter_context(following))
      return done, list(best.scores(run.config, rows, stages).items())

    done, known = hosts.on_first(recover)
    scores.update(known)
    step_log.announce(run, done)
    target = path if managers else os.devnull
    raw = stack.enter_context(open(target, "ab", buffering=0))
    file = rows_lib.RowFile(raw, events[0] if events else None)
    saver = checkpoint_writer.Saver(managers[0] if managers else None, file)
    stack.callback(saver.close)
    states, offset, programs = None, 0, programs_lib.Programs(run)
    for stage in stages:
      if done <= offset + stage.num_steps:
        is_last = stage is stages[-1]
        loop = Loop(
          run,
          stage,
          offset,
          saver,
          file,
          should_stop,
          workdir,
          programs,
          scores=scores if is_last and run.config.keep_best else None,
          is_last=is_last,
        )
        states = train_stage(loop, states, done)
      else:
        states = states_lib.shapes(run, stage, states)
      offset += stage.num_steps
    saver.finish(offset)

  return hosts.on_first(
    lambda: _conclude(run, workdir, wanted, offset, started)
  )


def _conclude(
  run: Run,
  workdir: str,
  wanted: recovered_rows.Schedule,
  num_steps: int,
  started: float,
) -> dict[str, Any]:
  """Writes result.json of a run whose rows are all there; returns it."""
  rows = recovered_rows.all_rows(
    os.path.join(workdir, run_directory.METRICS), wanted
  )
  result = evaluate.summarise(run, num_steps, rows, time.time() - started)
  kept = correct.read(workdir, result)
  if kept is None:
    messages.warn(
      f"{workdir} lacks evaluations in {run_directory.CORRECT}/, so that the "
      "result has no interval that covers the test images"
    )
  result["ci95_with_images"] = correct.half_width(kept)
  files.write_json(os.path.join(workdir, run_directory.RESULT), result)
  return result


def _manager(
  run: Run, stages: Sequence[Stage], workdir: str, scores: dict[int, float]
) -> Any:
  """The checkpoints of a run; `scores` may grow while they are written."""
  return checkpoint_format.open_manager(
    os.path.join(workdir, run_directory.CHECKPOINTS),
    run.config.keep_checkpoints,
    keep_steps=_embedded(stages),
    best=lambda steps: best.step(steps, scores),
  )


def _check_stages(run: Run, stages: Sequence[Stage]) -> None:
  """Finds what does not fit before anything is written or trained."""
  batches_lib.check_batches(run, stages)
  shapes = None
  for stage in stages:
    shapes = states_lib.shapes(run, stage, shapes)
    if any(user_code.is_path(run.config[key]) for key in user_code.KEYS):
      rehearsal.trace(run, stage, shapes)
    states_lib.check_memory(run, stage, shapes)


def _embedded(stages: Sequence[Stage]) -> list[int]:
  """Steps at which an embedding is trained and the primary task begins.

  Their checkpoints are kept, for who wants to look at the embedding.
  """
  steps, offset = [], 0
  for stage, following in itertools.pairwise(stages):
    offset += stage.num_steps
    if stage.predict is None and following.predict is not None:
      steps.append(offset)
  return steps


def train_stage(loop: Loop, previous: Seeded, done: int) -> Seeded:
  """Runs one stage from where its checkpoint stands to its end.

  Args:
    loop: the stage and its surroundings.
    previous: states of the stage before, or None.
    done: updates of all stages that the newest checkpoint holds.

  Returns:
    The states at the end of the stage.
  """
  run, stage, offset = loop.run, loop.stage, loop.offset
  config, total = run.config, stage.num_steps
  start = max(0, done - offset)
  states = None if start or offset else shared_stages.load(run, stage)
  if states is not None:
    loop.saver.save(total, parallel.to_host(states, run.plan))
    return states
  states = initial_states(loop, previous, start)
  updates = loop.programs.of(stage)
  evaluation = None
  if stage.predict:
    evaluation = evaluate.make(stage, run, _keeper(loop))
  log = step_log.StepLog(loop.file, run, stage, offset, start)
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
      improved = _is_best(loop, offset + now, rows)
    if last or stop or improved or _due(config.checkpoint_every, now):
      # Only a state whose metrics are known to be finite is saved.
      log.drain()
      loop.saver.save(offset + now, parallel.to_host(states, run.plan))
    if stop and not last:
      log.close()
      loop.saver.wait()
      raise Stopped(
        f"stopped after step {now} of {total}; the same command resumes"
      )
  log.close()
  if start < total:
    shared_stages.store(run, stage, states)
  return states


def _keeper(loop: Loop) -> Callable[[int, np.ndarray], None]:
  """Keeps on which test images the seeds are right, where the result needs it.

  Before the rows of the evaluation, so that no result lacks it.
  """
  problem, total = loop.run.problem, loop.stage.num_steps

  def keep(step: int, correct_SxN: np.ndarray) -> None:
    wanted = loop.is_last and correct.is_kept(loop.run.config, step, total)
    if wanted and hosts.is_first():
      labels = problem.test["primary"]
      correct.write(
        loop.workdir, loop.offset + step, correct_SxN, problem.tested(), labels
      )

  return keep


def _is_told_to_stop(loop: Loop, step: int) -> bool:
  told, config = loop.should_stop(), loop.run.config
  if hosts.count() == 1:
    return told
  # Where hosts wait for the device anyway; they must stop at the same step.
  every = config.log_every, config.eval_every, config.checkpoint_every
  return any(_due(each, step) for each in every) and hosts.any_of(told)


def _is_best(loop: Loop, step: int, rows: Sequence[Any]) -> bool:
  """Whether `keep_best` asks for a checkpoint of this evaluation."""
  if loop.scores is None:
    return False
  loop.scores[step] = best.score(loop.run.config.keep_best, rows)
  return best.step(loop.scores, loop.scores) == step


def _due(every: int, step: int) -> bool:
  return every > 0 and step % every == 0


def initial_states(loop: Loop, previous: Seeded, start: int) -> Seeded:
  """States of all seeds: fresh at the start of a stage, else restored."""
  run, stage, step = loop.run, loop.stage, loop.offset + start
  if start:
    return states_lib.restore(run, stage, previous, loop.saver.manager, step)
  prepared = prepare.prepare(run, stage, previous, loop.workdir)
  return states_lib.fresh(run, stage, previous, prepared)
