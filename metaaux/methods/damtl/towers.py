"""Training a network for each task alone, from which others start.

The towers of cross-stitch networks and NDDR-CNN before their units are put in.
"""

from typing import Any, NamedTuple

from metaaux.methods import optim
from metaaux.methods import steps as steps_lib
from metaaux.methods.damtl import small_tasks as several
from metaaux.methods.damtl.big_task import BigTaskState
from metaaux.methods.damtl.small_tasks import Tasks
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import layered
from metaaux.models.layered import Staged
from metaaux.stage import Array, Batch, Batches, Key, Metrics, Stage

Tree = Any


class TowersState(NamedTuple):
  """Networks that share nothing, and their optimiser."""

  params: tuple[Tree, ...]
  optimizer: Tree


def stage(
  config: Any, tasks: Tasks, net: Staged, axis_name: str | None
) -> Stage:
  """Each tower on the cross-entropy of its task.

  Args:
    config: `damtl.tower_steps` (0: `num_steps`), `damtl.start`, `optimizer`.
    tasks: of the problem.
    net: sizes of all towers.
    axis_name: devices to average over, None on one device.
  """
  steps = config.damtl.tower_steps or config.num_steps
  optimizer = optim.make(OptimizerOptions.of(config.optimizer), steps)

  def init(
    key: Key, batch: Batch, previous: BigTaskState | None
  ) -> TowersState:
    auxiliary = {} if previous is None else previous.params
    params = several.networks(
      net, key, batch, tasks.sizes, auxiliary, config.damtl.start
    )
    return TowersState(params, optimizer.init(params))

  def update(
    state: TowersState, batches: Batches, key: Key, step: Array
  ) -> tuple[TowersState, Metrics]:
    del key

    def loss(params: Tree, stats: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
      logits = [
        layered.apply(net, tower, batches[name]["image"])
        for tower, name in zip(params, tasks.names, strict=True)
      ]
      total, terms = several.total_loss(config, tasks, logits, batches)
      return total, (stats, terms)

    params, _, optimizer_state, metrics = steps_lib.descend(
      loss, optimizer, state.params, {}, state.optimizer, step, axis_name
    )
    return TowersState(params, optimizer_state), metrics

  return Stage(
    name="towers",
    num_steps=steps,
    streams=several.streams(tasks),
    init=init,
    updates={"update": update},
    predict=None,
  )
