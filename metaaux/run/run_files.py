"""The files of a run while it trains: held by one process, recovered, written.

The first host alone touches the run directory. The others learn from it what
there is, and have a `Writer` that leaves no file.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from metaaux import messages
from metaaux.parallel import hosts
from metaaux.run import data_record, lock
from metaaux.run import directory as run_directory
from metaaux.run.checkpoints import best
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.checkpoints import writer as checkpoint_writer
from metaaux.run.logs import event_files, recovered_rows
from metaaux.run.logs import rows as rows_lib
from metaaux.run.opening import Run
from metaaux.stage import Stage


class Writer(NamedTuple):
  """What a run has written, and what writes more of it.

  Attributes:
    workdir: the run directory.
    done: updates of all stages that the newest checkpoint holds.
    scores: of `best`, by updates of all stages; grows with each evaluation.
    saver: of the checkpoints.
    rows: of metrics.jsonl.
  """

  workdir: str
  done: int
  scores: dict[int, float]
  saver: checkpoint_writer.Saver
  rows: rows_lib.RowFile


@contextlib.contextmanager
def claimed(run: Run, workdir: str, *, overwrite: bool) -> Iterator[None]:
  """Holds a run directory that belongs to this run, or is made for it now.

  Args:
    run: config and data.
    workdir: made if missing.
    overwrite: removes what an earlier run left there.

  Raises:
    UserError: it cannot be written, another process holds it, or it holds a run
      of another config or of other data.
  """
  with contextlib.ExitStack() as held:

    def claim() -> None:
      held.enter_context(lock.hold(workdir))
      known = None if overwrite else data_record.read(workdir)
      now = data_record.describe(run.config, run.problem, known)
      data_record.check(workdir, known, now)
      run_directory.prepare(workdir, run.config, overwrite=overwrite, data=now)

    hosts.on_first(claim)
    yield


@contextlib.contextmanager
def open_writer(
  run: Run, stages: Sequence[Stage], workdir: str
) -> Iterator[Writer]:
  """Takes the files back to the newest whole checkpoint, and adds to them.

  Args:
    run: config and seeds.
    stages: of the method.
    workdir: the run directory, which is claimed.

  Raises:
    UserError: what is there cannot be gone on with.
  """
  scores: dict[int, float] = {}
  with contextlib.ExitStack() as stack:
    found = hosts.only_on_first(
      lambda: _recover(stack, run, stages, workdir, scores)
    )
    # The others are told the numbers.
    done, known = hosts.on_first(lambda: found.numbers)
    scores.update(known)
    manager, events = (found.manager, found.events) if found else (None, None)
    path = os.path.join(workdir, run_directory.METRICS)
    target = path if found else os.devnull
    raw = stack.enter_context(open(target, "ab", buffering=0))
    rows = rows_lib.RowFile(raw, events)
    saver = checkpoint_writer.Saver(manager, rows)
    stack.callback(saver.close)
    yield Writer(workdir, done, scores, saver, rows)


class _Recovered(NamedTuple):
  """The first host's files, open, and what they say."""

  manager: Any
  events: event_files.EventFiles | None
  numbers: tuple[int, list[tuple[int, float]]]  # updates done, scores


def _recover(
  stack: contextlib.ExitStack,
  run: Run,
  stages: Sequence[Stage],
  workdir: str,
  scores: dict[int, float],
) -> _Recovered:
  """Removes what is damaged, or was written after the newest checkpoint.

  Args:
    stack: closes what is opened here.
    run: config and seeds.
    stages: of the method.
    workdir: the run directory.
    scores: may grow while checkpoints are written, and say which one stays.
  """
  path = os.path.join(workdir, run_directory.METRICS)
  wanted = recovered_rows.schedule(run, stages)
  manager = stack.enter_context(
    checkpoint_format.open_manager(
      os.path.join(workdir, run_directory.CHECKPOINTS),
      run.config.keep_checkpoints,
      keep_steps=_embedded(stages),
      best=lambda steps: best.step(steps, scores),
    )
  )
  kept = recovered_rows.read(path, wanted)
  step = checkpoint_format.recover(
    manager,
    messages.warn,
    lost=recovered_rows.first_lost(kept.rows, wanted),
    last=wanted.num_steps,
  )
  done = step or 0
  rows = recovered_rows.keep(path, kept, wanted, done, messages.warn)
  events = stack.enter_context(
    event_files.following(workdir, rows, run.config.tensorboard)
  )
  known = best.scores(run.config, rows, stages)
  return _Recovered(manager, events, (done, list(known.items())))


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
