"""Checks all that a run will do by its shapes, and computes nothing.

So slips, in a user's own code too, are found before a run directory is made,
and long before the first evaluation.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from metaaux import parallel
from metaaux.config import user_code
from metaaux.run import batches as batches_lib
from metaaux.run import compiled_programs
from metaaux.run import states as states_lib
from metaaux.run.opening import Run
from metaaux.stage import Stage

Seeded = Any


def check(run: Run, stages: Sequence[Stage]) -> None:
  """Finds what does not fit before anything is written or trained.

  Args:
    run: data and devices.
    stages: all stages of the method; those of a user's own code are traced.

  Raises:
    UserError: batches, images or memory do not fit; or a function fails, or
      does not keep to the contract.
  """
  batches_lib.check_batches(run, stages)
  own_code = any(user_code.is_path(run.config[key]) for key in user_code.KEYS)
  shapes = None
  for stage in stages:
    shapes = states_lib.shapes(run, stage, shapes)
    if own_code:
      trace(run, stage, shapes)
    states_lib.check_memory(run, stage, shapes)


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
  for update in compiled_programs.compile_updates(run, stage).values():
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
