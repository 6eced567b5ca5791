"""The log of a stage: averages over intervals, all of them finite."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from metaaux import messages, parallel
from metaaux.errors import NonFiniteError
from metaaux.run import batches
from metaaux.run.logs import progress
from metaaux.run.logs import rows as rows_lib
from metaaux.run.opening import Run
from metaaux.stage import Stage

Seeded = Any
Row = dict[str, Any]

# Class names of a longer list.
_SHOWN = 10


def announce(run: Run, done: int) -> None:
  """Says what is trained on which data, and how much is done already.

  Args:
    run: the run that begins or goes on.
    done: updates of all stages in its newest checkpoint.
  """
  problem = run.problem
  names = problem.primary_names
  shown = ", ".join(names if len(names) <= _SHOWN else (*names[:_SHOWN], "..."))
  train, test = problem.train.shape[1], problem.tested().shape[1]
  what = f"images of {'x'.join(map(str, problem.spec.input_shape))}"
  if not problem.spec.is_image:
    what = f"vectors of {problem.spec.input_shape[0]} numbers"
  begun = f"; goes on after {messages.count(done, 'step')}" if done else ""
  messages.say(
    f"{run.config.method} on {run.config.dataset}: {train} training and {test} "
    f"test {what}, {len(names)} classes ({shown}){begun}"
  )
  for note in problem.notes:
    messages.say(note)


class StepLog:
  """Collects the metrics of steps and writes them an interval at a time.

  Metrics are fetched one interval late, so that the loop does not wait for the
  device. Rows go to metrics.jsonl, one a seed; a short text to the terminal.
  """

  def __init__(
    self,
    file: rows_lib.RowFile,
    run: Run,
    stage: Stage,
    offset: int,
    start: int,
  ) -> None:
    """Logs `stage`, which follows `offset` updates and begins at `start`.

    Args:
      file: of the rows.
      run: data and seeds.
      stage: the stage to log.
      offset: updates of the stages before it.
      start: updates of the stage that are done.
    """
    self._file, self._run, self._stage = file, run, stage
    self._offset = offset
    self._pending: list[tuple[int, Seeded]] = []
    self._late: list[tuple[int, Seeded]] = []
    self._last_finite: dict[str, tuple[int, float]] = {}
    self._alarmed = set[str]()  # kinds that were told
    spec = next(iter(stage.streams.values()))
    self._epoch = batches.steps_per_epoch(run, spec)
    label = f"{run.config.method}/{stage.name}"
    self._bar = progress.Progress(label, start, stage.num_steps)
    self._reached, self._compiled, self._fresh = start, set[str](), False

  @contextlib.contextmanager
  def compiling(self, what: str) -> Iterator[None]:
    """A block around calls of a program, the first of which compiles it."""
    if what in self._compiled:
      yield
      return
    with self._bar.waiting(what):
      yield
    self._compiled.add(what)
    self._fresh = True

  def add(self, step: int, values: Seeded) -> None:
    """Takes the metrics of one step, still on the device."""
    if self._fresh:
      self._bar.begin(step)
    self._reached, self._fresh = step, False
    self._pending.append((step, values))

  def turn(self) -> None:
    """Ends an interval and writes the one before it."""
    self._write_interval(self._late)
    self._late, self._pending = self._pending, []

  def drain(self) -> None:
    """Writes all metrics that it has taken.

    Raises:
      NonFiniteError: a metric of a step is not finite.
    """
    self.turn()
    self.turn()

  def close(self) -> None:
    """Ends the progress bar."""
    self._bar.close()

  def evaluation(self, step: int, rows: Sequence[Row]) -> None:
    """Writes the rows of an evaluation, and tells alarms of a new kind."""
    for row in rows:
      bad = [k for k, v in row.items() if _is_bad(v)]
      if bad:
        self.close()
        raise NonFiniteError(
          f"{bad[0]} on the {row['split']} split is {row[bad[0]]} after step "
          f"{step} of stage {self._stage.name} (seed {row['seed']})"
        )
    self._append(step, rows)
    accuracy = {
      split: np.mean([r["accuracy"] for r in rows if r["split"] == split])
      for split in dict.fromkeys(row["split"] for row in rows)
    }
    text = "  ".join(f"{k} {100 * v:.2f}%" for k, v in accuracy.items())
    self._bar.show(step, f"accuracy: {text}")
    for row in rows:
      if row["split"] == "meta":
        self._tell(step, row)

  def _tell(self, step: int, row: Row) -> None:
    for kind, text in self._stage.alarms(row).items():
      if kind not in self._alarmed:
        self._alarmed.add(kind)
        self._bar.note(f"warning: step {step}, seed {row['seed']}: {text}")

  def _append(self, step: int, rows: Sequence[Row]) -> None:
    common = {
      "step": step,
      "total_step": self._offset + step,
      "epoch": step / self._epoch,
      "stage": self._stage.name,
    }
    self._file.append([{**common, **row} for row in rows])

  def _write_interval(self, interval: list[tuple[int, Seeded]]) -> None:
    if not interval:
      return
    steps, values = zip(*interval, strict=True)
    host = [parallel.to_host(v, self._run.plan) for v in values]
    self._check_finite(steps, host)
    names = sorted({name for found in host for name in found})
    rows = []
    for i, seed in enumerate(self._run.seeds):
      means = {
        name: float(
          np.mean([found[name][i] for found in host if name in found])
        )
        for name in names
      }
      rows.append({"split": "batch", "seed": int(seed), **means})
    self._append(steps[-1], rows)
    loss = np.mean([row["loss"] for row in rows if "loss" in row] or [np.nan])
    text = "" if math.isnan(loss) else f"loss {loss:.4f}"
    self._bar.show(steps[-1], text, self._reached)

  def _check_finite(
    self, steps: Sequence[int], host: Sequence[dict[str, np.ndarray]]
  ) -> None:
    for step, found in zip(steps, host, strict=True):
      for name, values in found.items():
        if np.isfinite(values).all():
          self._last_finite[name] = step, float(values.max())
          continue
        seed = int(self._run.seeds[np.argmin(np.isfinite(values))])
        before = self._last_finite.get(name)
        known = f"last finite {before[1]:.3g} at {before[0]}" if before else ""
        rate = self._run.config.optimizer.learning_rate
        self.close()
        raise NonFiniteError(
          f"{name} is {values[~np.isfinite(values)][0]} at step {step} of "
          f"stage {self._stage.name} (seed {seed}; "
          f"{known or 'never finite before'}); lower optimizer.learning_rate "
          f"({rate:g}) or set optimizer.clip_norm"
        )


def _is_bad(value: Any) -> bool:
  return isinstance(value, float) and not math.isfinite(value)
