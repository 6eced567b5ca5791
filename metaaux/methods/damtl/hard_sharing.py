"""Hard sharing: one network for all tasks, with logits for each.

"Multi" of Feng & Chen, tables 4 and 5: convolutions and hidden dense layers are
common, and descend on sum_j alpha CE_j.
"""

from functools import partial
from typing import Any, NamedTuple

from metaaux.methods import optim, steps
from metaaux.methods.damtl import big_task
from metaaux.methods.damtl import small_tasks as several
from metaaux.methods.damtl.big_task import BigTaskState
from metaaux.methods.damtl.small_tasks import Tasks
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import ModelOptions, layered
from metaaux.models.layered import Staged
from metaaux.stage import Array, Batch, Batches, Key, Metrics, Spec, Stage

Tree = Any


class SharingState(NamedTuple):
  """Common layers with the logits of each task, and the optimiser."""

  params: Tree  # {"trunk": tree, "logits": (tree, ...)}
  optimizer: Tree


class Problem(NamedTuple):
  """What does not change while training."""

  config: Any
  tasks: Tasks
  net: Staged
  optimizer: optim.Optimizer
  axis_name: str | None


def of_task(problem: Problem, params: Tree, task: int) -> Tree:
  """The network of a task."""
  logits = f"dense_{problem.net.num_dense - 1}"
  return {**params["trunk"], logits: params["logits"][task]}


def update(
  problem: Problem,
  state: SharingState,
  batches: Batches,
  key: Key,
  step: Array,
) -> tuple[SharingState, Metrics]:
  """One step on the losses of all tasks."""
  del key
  config, tasks, net = problem.config, problem.tasks, problem.net

  def loss(params: Tree, stats: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
    logits = [
      layered.apply(net, of_task(problem, params, j), batches[name]["image"])
      for j, name in enumerate(tasks.names)
    ]
    total, terms = several.total_loss(config, tasks, logits, batches)
    return total, (stats, terms)

  params, _, optimizer, metrics = steps.descend(
    loss,
    problem.optimizer,
    state.params,
    {},
    state.optimizer,
    step,
    problem.axis_name,
  )
  return SharingState(params, optimizer), metrics


def init_state(
  problem: Problem, key: Key, batch: Batch, previous: BigTaskState | None
) -> SharingState:
  """The layers of the first task's network, and the logits of all."""
  networks = several.networks(
    problem.net,
    key,
    batch,
    problem.tasks.sizes,
    previous.params if previous is not None else {},
    problem.config.damtl.start,
  )
  last = f"dense_{problem.net.num_dense - 1}"
  trunk = {name: x for name, x in networks[0].items() if name != last}
  params = {"trunk": trunk, "logits": tuple(one[last] for one in networks)}
  return SharingState(params, problem.optimizer.init(params))


def predict(problem: Problem, state: SharingState, images: Array) -> Array:
  """Logits of all tasks side by side."""

  def logits(j: int) -> Array:
    return layered.apply(problem.net, of_task(problem, state.params, j), images)

  return several.side_by_side(logits, problem.tasks)


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """Training of the common network; before it that of the big task.

  Args:
    config: `damtl.start` and what `small_tasks` reads of it; `model`,
      `optimizer`, `batch_size` (a task), `num_steps`.
    spec: the problem, with `groups` and `num_big`.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: the data has no tasks.
  """
  tasks = several.find(config, spec)
  problem = Problem(
    config,
    tasks,
    layered.make(ModelOptions.of(config.model)),
    optim.make(OptimizerOptions.of(config.optimizer), config.num_steps),
    axis_name,
  )
  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams=several.streams(tasks),
    init=partial(init_state, problem),
    updates={"update": partial(update, problem)},
    predict=partial(predict, problem),
  )
  before = big_task.stages_before(config, spec, problem.net, axis_name)
  return *before, stage
