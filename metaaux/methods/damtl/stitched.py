"""Cross-stitch networks and NDDR-CNN: towers that mix their features.

Misra et al. 2016 and Gao et al. 2019 as baselines of DAMTL. Each task has a
tower that is first trained alone; then a unit after every convolution and
pooling mixes the features of all towers, and everything learns together. A
task's images pass through all towers and are judged by its own:

  stage "auxiliary": the big task, where towers start from it
  stage "towers":    W_j <- CE_j, each alone
  stage "train":     F~_j = unit_j(F_1, ..., F_M)
    all descend on sum_j alpha CE_j
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux.methods import optim, steps
from metaaux.methods.damtl import big_task, sharing_units, towers
from metaaux.methods.damtl import small_tasks as several
from metaaux.methods.damtl.small_tasks import Tasks
from metaaux.methods.damtl.towers import TowersState
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import ModelOptions, layered
from metaaux.models.layered import Staged
from metaaux.stage import Array, Batch, Batches, Key, Metrics, Spec, Stage

Tree = Any


class StitchedState(NamedTuple):
  """Towers, a unit after each convolution, running statistics, optimisers."""

  params: tuple[Tree, ...]
  units: tuple[Tree, ...]
  stats: tuple[Tree, ...]
  optimizer: Tree
  unit_optimizer: Tree


class Problem(NamedTuple):
  """What does not change while training."""

  config: Any
  tasks: Tasks
  net: Staged
  unit: str  # cross_stitch | nddr
  optimizer: optim.Optimizer  # of pairs: towers, units
  axis_name: str | None


def mixed(
  problem: Problem,
  unit: Tree,
  stats: Tree,
  features: Sequence[Array],
  train: bool,
) -> tuple[list[Array], Tree]:
  """Features of all towers after a unit, and the new running statistics.

  Args:
    problem: the fixed parts.
    unit: its parameters.
    stats: of batch norm, {} without.
    features: of each tower, [M B, h, w, C]; the images of task j are the j-th
      B of them.
    train: normalise by the batch, and update the running statistics.
  """
  if problem.unit == "cross_stitch":
    return sharing_units.cross_stitch(features, unit["mix"]), stats
  found = sharing_units.nddr(features, unit["kernel"], unit["bias"])
  if not stats:
    return found, stats
  count = len(problem.tasks.sizes)
  # The statistics are of a task's images, in each tower: [task, tower, C].
  parts = jnp.stack(found, -2).reshape(
    count, -1, *features[0].shape[1:3], count, features[0].shape[-1]
  )
  normed, stats = sharing_units.batch_norm(
    parts,
    unit["scale"],
    unit["shift"],
    stats,
    train=train,
    axis_name=problem.axis_name if problem.config.sync_batch_norm else None,
  )
  shape = features[0].shape
  return [
    jax.nn.relu(normed[..., j, :]).reshape(shape) for j in range(count)
  ], stats


def forward(
  problem: Problem,
  params: Sequence[Tree],
  units: Sequence[Tree],
  stats: Sequence[Tree],
  images: Array,
  *,
  train: bool,
) -> tuple[list[Array], tuple[Tree, ...]]:
  """Logits of each task for its own images, and the running statistics.

  Args:
    problem: the fixed parts.
    params: of each tower.
    units: of each convolution.
    stats: likewise.
    images: [M, B, H, W, C], of each task.
    train: see `mixed`.
  """
  net, count = problem.net, len(images)
  together = images.reshape(-1, *images.shape[2:])
  features, found = [together] * count, []
  for i, (unit, own) in enumerate(zip(units, stats, strict=True)):
    features = [
      layered.convolve(net, tower[f"conv_{i}"], x)
      for tower, x in zip(params, features, strict=True)
    ]
    features, own = mixed(problem, unit, own, features, train)
    found.append(own)
  logits = []
  for j, (tower, x) in enumerate(zip(params, features, strict=True)):
    own = x.reshape(count, images.shape[1], -1)[j]
    logits.append(layered.classify(net, tower, own)[0])
  return logits, tuple(found)


def update(
  problem: Problem,
  state: StitchedState,
  batches: Batches,
  key: Key,
  step: Array,
) -> tuple[StitchedState, Metrics]:
  """One step of towers and units together."""
  del key
  images = jnp.stack([batches[name]["image"] for name in problem.tasks.names])

  def loss(learned: Tree, stats: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
    logits, stats = forward(problem, *learned, stats, images, train=True)
    value, terms = several.total_loss(
      problem.config, problem.tasks, logits, batches
    )
    return value, (stats, terms)

  learned, stats, optimizers, metrics = steps.descend(
    loss,
    problem.optimizer,
    (state.params, state.units),
    state.stats,
    (state.optimizer, state.unit_optimizer),
    step,
    problem.axis_name,
  )
  return StitchedState(*learned, stats, *optimizers), metrics


def init_units(problem: Problem) -> tuple[tuple[Tree, ...], tuple[Tree, ...]]:
  """Units that keep most of each tower's own features; their statistics."""
  config, count = problem.config.damtl, len(problem.tasks.sizes)
  if problem.unit == "cross_stitch":
    mixes = [
      sharing_units.init_cross_stitch(
        count, c if config.unit_channels else None
      )
      for c in problem.net.widths
    ]
    return tuple({"mix": mix} for mix in mixes), ({},) * len(mixes)
  units, stats = [], []
  for c in problem.net.widths:
    unit = {
      "kernel": sharing_units.init_nddr(count, c),
      "bias": jnp.zeros((count, c)),
    }
    if config.unit_norm:
      unit |= {"scale": jnp.ones((count, c)), "shift": jnp.zeros((count, c))}
    units.append(unit)
    shape = (count, count, c)
    stats.append(
      {"mean": jnp.zeros(shape), "var": jnp.ones(shape)}
      if config.unit_norm
      else {}
    )
  return tuple(units), tuple(stats)


def init_state(
  problem: Problem, key: Key, batch: Batch, previous: TowersState
) -> StitchedState:
  """The trained towers, and units between them."""
  del key, batch
  units, stats = init_units(problem)
  params = jax.tree.map(jnp.copy, previous.params)
  optimizers = problem.optimizer.init((params, units))
  return StitchedState(params, units, stats, *optimizers)


def predict(problem: Problem, state: StitchedState, images: Array) -> Array:
  """Logits of all tasks side by side."""
  count = len(problem.tasks.sizes)
  repeated = jnp.broadcast_to(images[None], (count, *images.shape))
  logits, _ = forward(
    problem, state.params, state.units, state.stats, repeated, train=False
  )
  return several.side_by_side(logits.__getitem__, problem.tasks)


def make(
  config: Any, spec: Spec, *, unit: str, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """The big task if towers start from it, the towers, and all together.

  Args:
    config: `damtl.start`, `.tower_steps`, `.unit_rate` and what units read;
      `model`, `optimizer`, `batch_size` (a task), `num_steps`.
    spec: the problem, with `groups` and `num_big`.
    unit: "cross_stitch" or "nddr".
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: the data has no tasks.
  """
  tasks = several.find(config, spec)
  of_towers = OptimizerOptions.of(config.optimizer)
  of_units = of_towers._replace(
    learning_rate=of_towers.learning_rate * config.damtl.unit_rate
  )
  problem = Problem(
    config,
    tasks,
    layered.make(ModelOptions.of(config.model)),
    unit,
    optim.pair(
      optim.make(of_towers, config.num_steps),
      optim.make(of_units, config.num_steps),
    ),
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
  return *before, towers.stage(config, tasks, problem.net, axis_name), stage
