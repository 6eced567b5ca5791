"""Reads back the rows of metrics.jsonl, whatever has happened to the file.

A figure is a mean over evaluations, so that none of them may be missing without
notice. A file may hold zeros after a crash of the machine, half a line, a line
of something else, or a row twice with other numbers. The config says which
evaluations there have to be.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from metaaux import messages
from metaaux.errors import UserError
from metaaux.run.logs import rows as rows_lib
from metaaux.run.opening import Run
from metaaux.stage import Stage

Row = dict[str, Any]

_BATCH = "batch"
# Of an evaluation; every split has them.
_MEASURED = ("accuracy", "loss")


class Part(NamedTuple):
  """The rows of one stage.

  Attributes:
    name: of the stage.
    offset: updates of the stages before it.
    num_steps: updates of the stage.
    every: steps between evaluations; the last is at the end of the stage. 0:
      that one alone; None: the stage is never evaluated.
    may_lack: whether the rows may be missing, because another run trained the
      stage.
  """

  name: str
  offset: int
  num_steps: int
  every: int | None
  may_lack: bool

  def evaluates(self, step: int) -> bool:
    """Whether an evaluation follows a step of the stage."""
    if self.every is None:
      return False
    due = self.every > 0 and step % self.every == 0
    return due or step == self.num_steps


class Schedule(NamedTuple):
  """The rows that a run writes.

  Attributes:
    parts: stages in their order.
    seeds: numbers of the seeds; each has a row of its own.
    splits: the splits of an evaluation.
  """

  parts: tuple[Part, ...]
  seeds: tuple[int, ...]
  splits: tuple[str, ...]

  @property
  def num_steps(self) -> int:
    """Updates of all stages."""
    return sum(part.num_steps for part in self.parts)


def schedule(run: Run, stages: Sequence[Stage]) -> Schedule:
  """The rows of a run whose stages these are."""
  parts, offset = [], 0
  for stage in stages:
    every = run.config.eval_every if stage.predict else None
    may_lack = stage.reuse is not None and bool(run.config.cache)
    parts.append(Part(stage.name, offset, stage.num_steps, every, may_lack))
    offset += stage.num_steps
  splits = dict.fromkeys(("train", "meta", "test", *run.tests))
  return Schedule(tuple(parts), tuple(map(int, run.seeds)), tuple(splits))


class Kept(NamedTuple):
  """The content of a metrics file that can be trusted.

  Attributes:
    rows: rows of the run, each once, by step.
    lost: how many other lines stand before or between them.
  """

  rows: list[Row]
  lost: int


def read(path: str, wanted: Schedule) -> Kept:
  """The rows of a metrics file that the run wrote there.

  Two rows that contradict each other are both left out.

  Raises:
    UserError: the file is there and cannot be read.
  """
  found: dict[tuple[int, str, int], Row] = {}
  contradicted, lost, waiting = set(), 0, 0
  for row in rows_lib.read_lines(path):
    if not _is_of(wanted, row):
      waiting += 1
      continue
    lost, waiting = lost + waiting, 0
    key = row["total_step"], row["split"], row["seed"]
    if found.setdefault(key, row) != row:
      contradicted.add(key)
  lost += len(contradicted)
  rows = [row for key, row in found.items() if key not in contradicted]
  return Kept(sorted(rows, key=lambda row: row["total_step"]), lost)


def _is_of(wanted: Schedule, row: Any) -> bool:
  """Whether a run with this schedule writes such a row."""
  if not rows_lib.is_row(row) or row.get("seed") not in wanted.seeds:
    return False
  if any(isinstance(x, float) and not math.isfinite(x) for x in row.values()):
    return False
  step, total = row.get("step"), row["total_step"]
  part = next(
    (
      each
      for each in wanted.parts
      if each.offset < total <= each.offset + each.num_steps
    ),
    None,
  )
  if part is None or (row.get("stage"), step) != (
    part.name,
    total - part.offset,
  ):
    return False
  if row["split"] == _BATCH:
    return True
  measured = all(isinstance(row.get(name), float | int) for name in _MEASURED)
  return measured and row["split"] in wanted.splits and part.evaluates(step)


def first_lost(rows: Iterable[Row], wanted: Schedule) -> int | None:
  """Step, in updates of all stages, of the first evaluation without rows.

  It may be one that has not taken place yet; None: no evaluation lacks rows.

  Args:
    rows: of `read`.
    wanted: the rows that there have to be.
  """
  there = {(row["total_step"], row["split"], row["seed"]) for row in rows}
  stages = {row["stage"] for row in rows}
  for part in wanted.parts:
    if part.every is None or (part.may_lack and part.name not in stages):
      continue
    every = part.every or part.num_steps
    # Not a list, since there may be a great many.
    regular = range(every, part.num_steps, every) if every else ()
    last = (part.num_steps,) if part.num_steps else ()
    for step in itertools.chain(regular, last):
      total = part.offset + step
      if not all(
        (total, split, seed) in there
        for split in wanted.splits
        for seed in wanted.seeds
      ):
        return total
  return None


def keep(
  path: str,
  kept: Kept,
  wanted: Schedule,
  done: int,
  report: Callable[[str], None],
) -> list[Row]:
  """Drops rows of work that will be done again, and lines that are no rows.

  The file is replaced as a whole, so that a crash here loses nothing.

  Args:
    path: of a metrics file.
    kept: of `read`.
    wanted: the rows that there have to be.
    done: updates in the checkpoint from which the run goes on; all evaluations
      until then have rows.
    report: receives a line if rows of the training loss are lost.

  Returns:
    The rows that are now in the file.
  """
  rows = [row for row in kept.rows if row["total_step"] <= done]
  # Every checkpoint is preceded by the rows of its step.
  reached = max((row["total_step"] for row in rows), default=0)
  wrong = ""
  if done and kept.lost:
    wrong = f"{messages.count(kept.lost, 'line')} of {path} cannot be read"
  elif reached < _last_row(wanted, rows, done):
    wrong = f"{path} ends at step {reached}, the checkpoint is of step {done}"
  if wrong:
    report(
      f"{wrong}; the evaluations before the checkpoint are there, and the run "
      "goes on with a gap in its loss"
    )
  rows_lib.write_rows(path, rows)
  return rows


def _last_row(wanted: Schedule, rows: Iterable[Row], done: int) -> int:
  """Step of the last row before a checkpoint."""
  stages = {row["stage"] for row in rows}
  parts = [
    part
    for part in wanted.parts
    if part.offset < done and not (part.may_lack and part.name not in stages)
  ]
  last = parts[-1] if parts else None
  return min(done, last.offset + last.num_steps) if last else 0


def all_rows(path: str, wanted: Schedule) -> list[Row]:
  """All rows of a finished run.

  Raises:
    UserError: an evaluation is lost.
  """
  rows = read(path, wanted).rows
  lost = first_lost(rows, wanted)
  if lost is not None:
    raise UserError(
      f"{path} has lost rows of the evaluation at step {lost} while the run "
      "was writing it; look after the disk and start the same command again"
    )
  return rows
