"""The compiled programs of a run's updates."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from metaaux import parallel
from metaaux.run import batches as batches_lib
from metaaux.run.opening import Run
from metaaux.stage import Stage

Seeded = Any
# (states, inputs, pool, step) -> (states, metrics)
Compiled = Callable[..., tuple[Seeded, Seeded]]


class Programs:
  """Compiled updates of a run, those of stages of one program only once."""

  def __init__(self, run: Run) -> None:
    """Has none yet; `run` says for which devices and seeds they will be."""
    self._run = run
    self._shared: dict[str, Mapping[str, Compiled]] = {}

  def of(self, stage: Stage) -> Mapping[str, Compiled]:
    """The updates of a stage by phase; see `Stage.program`."""
    if not stage.program:
      return compile_updates(self._run, stage)
    if stage.program not in self._shared:
      self._shared[stage.program] = compile_updates(self._run, stage)
    return self._shared[stage.program]


def compile_updates(run: Run, stage: Stage) -> dict[str, Compiled]:
  """All updates of a stage by phase; each is compiled when it first runs."""
  return {phase: compile_update(run, stage, phase) for phase in stage.updates}


def compile_update(run: Run, stage: Stage, phase: str) -> Compiled:
  """One update of all seeds on all devices, batches included."""
  update = stage.updates[phase]

  def step_fn(state: Any, inputs: Any, pool: Any, step: Any) -> tuple:
    batches = batches_lib.batches_at(run, stage, inputs, pool, step, state)
    key = jax.random.fold_in(batches_lib.key_of(inputs["seed"], "update"), step)
    state, values = update(state, batches, key, step)
    return state, dict(values)

  return parallel.compile_step(step_fn, run.plan, donate=True)
