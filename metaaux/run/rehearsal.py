"""Traces all that a stage will run, and computes nothing.

So slips in a user's own code are found before a run directory is made, and long
before the first evaluation.
"""

from typing import Any

import jax
import numpy as np

from metaaux import parallel
from metaaux.run import batches as batches_lib
from metaaux.run import programs
from metaaux.run.open import Run
from metaaux.stage import Stage

Seeded = Any


def trace(run: Run, stage: Stage, states: Seeded) -> None:
  """Traces the updates of a stage and the functions that its evaluation calls.

  Args:
    run: data and devices.
    stage: the stage.
    states: states of the stage, or their shapes.

  Raises:
    UserError: a function fails, or does not keep to the contract.
  """
  inputs = batches_lib.inputs_at(run, stage, 0, None).value
  common = run.pool, np.int32(0)
  stage.phase(0)
  for update in programs.compile_updates(run, stage).values():
    jax.eval_shape(update, states, inputs, *common)

  def evaluate(state: Any, own: Any, pool: Any, step: Any) -> tuple:
    batches = batches_lib.batches_at(run, stage, own, pool, step, None)
    batch = next(iter(batches.values()))
    found = [
      function(state, batch["image"])
      for function in (stage.predict, stage.attributes)
      if function
    ]
    found += [stage.targets(state, batch)] if stage.targets else []
    found += [stage.probe(state, batches, step)] if stage.probe else []
    return (found,)

  jax.eval_shape(
    parallel.compile_step(evaluate, run.plan), states, inputs, *common
  )
