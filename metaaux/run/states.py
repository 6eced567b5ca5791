"""States of a stage for all seeds, new or from a checkpoint."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from metaaux import parallel
from metaaux.errors import UserError
from metaaux.parallel import hosts, memory
from metaaux.run import batches as batches_lib
from metaaux.run import prepare
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.opening import Run
from metaaux.stage import Stage

Seeded = Any


def fresh(
  run: Run, stage: Stage, previous: Seeded | None, prepared: Seeded | None
) -> Seeded:
  """States at the start of a stage.

  Args:
    run: data and devices.
    stage: the stage that begins.
    previous: states of the stage before, or None.
    prepared: what `stage.prepare` computed, or None.
  """
  init, arguments = _initialiser(run, stage, previous, prepared)
  return init(*arguments)[0]


def begin(
  run: Run, stage: Stage, previous: Seeded | None, workdir: str
) -> Seeded:
  """States at the start of a stage, after what it wants prepared.

  Args:
    run: data and devices.
    stage: that begins.
    previous: states of the stage before, or None.
    workdir: of the run, where `prepare` keeps what it computes; "": nowhere.
  """
  prepared = prepare.prepare(run, stage, previous, workdir)
  return fresh(run, stage, previous, prepared)


def shapes(run: Run, stage: Stage, previous: Seeded | None) -> Seeded:
  """Shapes of what `fresh` returns, as `jax.ShapeDtypeStruct`s.

  Args:
    run: data and devices.
    stage: the stage.
    previous: states of the stage before or their shapes, or None.

  Raises:
    UserError: the images do not fit the network.
  """
  prepared = stage.prepare and parallel.seeded_template(
    stage.prepare.shapes, run.plan
  )
  init, arguments = _initialiser(run, stage, previous, prepared)
  return jax.eval_shape(init, *arguments)[0]


def check_memory(run: Run, stage: Stage, shapes: Seeded) -> None:
  """Refuses a stage whose states do not fit into memory.

  Raises:
    UserError: parameters and optimiser states alone do not fit.
  """
  leaves = jax.tree_util.tree_leaves_with_path(shapes)
  if not leaves:
    return
  sizes = [math.prod(x.shape) * x.dtype.itemsize for _, x in leaves]
  total, there = sum(sizes), parallel.free_memory(run.plan)
  # The devices of a CPU have their memory together.
  if run.plan.devices[0].platform != "cpu":
    total //= run.plan.num_shards
  if there is None or total <= there:
    return
  path, largest = leaves[int(np.argmax(sizes))]
  name = jax.tree_util.keystr(path[1:], simple=True, separator="/")
  raise UserError(
    f"the parameters and optimiser states of stage {stage.name!r} would take "
    f"{memory.size(total)}, and {memory.size(there)} of memory are free; the "
    f"largest array is {name}, {largest.dtype}{list(largest.shape)}; lower "
    f"{memory.keys(run.config, of_states=True)}"
  )


def restore(
  run: Run, stage: Stage, previous: Seeded | None, manager: Any, step: int
) -> Seeded:
  """States of a stage from a checkpoint.

  Args:
    run: data and devices; any number of them, whatever wrote the checkpoint.
    stage: the stage in which the checkpoint was written.
    previous: states of the stage before or their shapes, or None.
    manager: of the checkpoints; only the first host reads.
    step: of the checkpoint, in updates of all stages.

  Raises:
    UserError: the checkpoint cannot be read, or holds other states.
  """
  wanted = parallel.host_template(shapes(run, stage, previous), run.plan)
  host = hosts.tree_of_first(
    lambda: checkpoint_format.restore(manager, step, wanted), wanted
  )
  return parallel.from_host(host, run.plan)


def _initialiser(
  run: Run, stage: Stage, previous: Seeded | None, prepared: Seeded | None
) -> tuple[Callable[..., tuple], tuple]:
  """A function that returns the states in a tuple, and its arguments."""

  def init(given: Any, inputs: Any, pool: Any, step: Any) -> tuple:
    batches = batches_lib.batches_at(run, stage, inputs, pool, step, None)
    batch = next(iter(batches.values()))
    key = batches_lib.key_of(inputs["seed"], "init")
    return (stage.init(key, batch, given if stage.prepare else given[0]),)

  if run.plan.vmap_seeds:
    given = (previous, prepared)
  else:
    nothing = (None,) * len(run.seeds)
    given = tuple(zip(previous or nothing, prepared or nothing, strict=True))
  inputs = batches_lib.inputs_at(run, stage, 0, None).value
  compiled = parallel.compile_step(init, run.plan)
  return compiled, (given, inputs, run.pool, np.int32(0))
