"""Training on labelled and unlabelled images: what its baselines share.

The comparators of Shi et al. 2020. A step takes B labelled images and B of the
pool; the primary loss is a mean over the first, the consistency loss over the
second, as the published code weighs them against each other. Both halves pass
the network together.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux import losses, models
from metaaux.methods import example_keys, optim, steps, task_set, views
from metaaux.methods import teacher as teacher_lib
from metaaux.methods.optim import OptimizerOptions
from metaaux.methods.task_set import Losses, TaskSet
from metaaux.models import ModelOptions
from metaaux.stage import (
  Array,
  Batch,
  Batches,
  Key,
  Metrics,
  Spec,
  Stage,
  StreamSpec,
)

Tree = Any


class Pass(NamedTuple):
  """One look at a batch, from which a method makes its losses.

  Attributes:
    logits: (params, images, number) -> logits [2 B, C] of a training-mode pass
      whose dropout is that of this number and whose statistics are dropped.
    params: of the network.
    teacher: averaged parameters, or () without a teacher.
    images: [2 B, H, W, C], the labelled ones first.
    view: the same images, augmented anew; () where the stage asks for none.
    keys: [2 B].
    first: logits [2 B, C] of the pass that the primary loss is taken of.
    half: B.
  """

  logits: Callable[[Tree, Array, int], Array]
  params: Tree
  teacher: Tree
  images: Array
  view: Any
  keys: Array
  first: Array
  half: int


class State(NamedTuple):
  """The network, its optimiser and its teacher."""

  params: Tree
  stats: Tree
  optimizer: Tree
  extra: Any


def stage(
  config: Any,
  spec: Spec,
  auxiliary: Callable[[Pass], tuple[Array, ...]],
  weights: dict[str, float],
  *,
  teacher: bool = False,
  second_view: bool = True,
  axis_name: str | None = None,
) -> Stage:
  """A stage that trains on the primary loss and on fixed multiples of others.

  Args:
    config: `consistency`, `semi_supervised.pool`, `model`, `optimizer`,
      `gamma`, `num_steps`, `sync_batch_norm`.
    spec: the problem.
    auxiliary: the other losses, scalars in the order of `weights`.
    weights: their names and weights; `consistency.weight`, if it is not 0,
      takes the place of the first.
    teacher: whether there is one.
    second_view: whether `auxiliary` looks at one.
    axis_name: devices to average over, None on one device.
  """
  network = models.make(
    ModelOptions.of(config.model),
    {"primary": spec.num_primary},
    axis_name=axis_name if config.sync_batch_norm else None,
  )
  highest = config.consistency.ema
  tasks = TaskSet(
    names=tuple(weights),
    streams={
      "train": StreamSpec("train", augment=True, second_view=second_view),
      "pool": StreamSpec(
        config.semi_supervised.pool, augment=True, second_view=second_view
      ),
    },
    init=partial(_init, network, teacher),
    losses=partial(_losses, network, config, auxiliary),
    predict=task_set.predictor(network),
    advance=lambda extra, params: (
      teacher_lib.follow(extra, params, highest) if teacher else extra
    ),
  )
  optimizer = optim.make(
    OptimizerOptions.of(config.optimizer), config.num_steps
  )
  first, *rest = weights.values()
  weight_K = jnp.array([config.consistency.weight or first, *rest])

  def init(key: Key, batch: Batch, previous: Any) -> State:
    del previous
    params, stats, extra = tasks.init(key, batch)
    return State(params, stats, optimizer.init(params), extra)

  def update(
    state: State, batches: Batches, key: Key, step: Array
  ) -> tuple[State, Metrics]:
    return task_set.descend(
      tasks, optimizer, state, batches, key, step, weight_K, axis_name=axis_name
    )

  return Stage(
    name="train",
    num_steps=config.num_steps,
    streams=tasks.streams,
    init=init,
    updates={"update": update},
    predict=steps.predictor(network),
    needs_unlabelled=True,
  )


def perturbed(config: Any, look: Pass) -> Array:
  """The second view of the images, on demand mirrored at random, with noise.

  Args:
    config: `consistency`.
    look: the images.
  """
  options = config.consistency
  mirror, noise = (example_keys.fold_keys(look.keys, 10 + i) for i in (1, 2))
  images = look.view
  if options.flip and images.ndim == 4:
    images = views.mirror(images, mirror)
  return views.add_noise(images, noise, options.noise)


def unlabelled(look: Pass, values_Bx: Array) -> Array:
  """The half that has no labels."""
  return values_Bx[look.half :]


def squared_difference(a_BxC: Array, b_BxC: Array) -> Array:
  """Of two softmax outputs, mean over the classes: [B]."""
  gap_BxC = jax.nn.softmax(a_BxC) - jax.nn.softmax(b_BxC)
  return (gap_BxC**2).mean(-1)


def _init(
  network: models.Network, teacher: bool, key: Key, batch: Batch
) -> tuple[Tree, Tree, Tree]:
  params, stats = network.init(key, batch["image"])
  return params, stats, teacher_lib.start(params) if teacher else ()


def _losses(
  network: models.Network,
  config: Any,
  auxiliary: Callable[[Pass], tuple[Array, ...]],
  params: Tree,
  stats: Tree,
  extra: Any,
  batches: Batches,
  key: Key,
) -> Losses:
  train, pool = batches["train"], batches["pool"]
  images = jnp.concatenate([train["image"], pool["image"]])
  view = ()
  if "view" in train:
    view = jnp.concatenate([train["view"], pool["view"]])
  keys = example_keys.keys_of_parts(key, (train, pool))

  def apply(params: Tree, images: Array, number: int) -> tuple[Array, Tree]:
    found, new = network.apply(
      params,
      stats,
      images,
      train=True,
      key=example_keys.fold_keys(keys, number),
    )
    return found["primary"], new

  first, new_stats = apply(params, images, 0)
  look = Pass(
    logits=lambda params, images, number: apply(params, images, number)[0],
    params=params,
    teacher=extra.params if isinstance(extra, teacher_lib.Teacher) else (),
    images=images,
    view=view,
    keys=keys,
    first=first,
    half=len(train["image"]),
  )
  own = first[: look.half]
  primary = losses.focal_loss(own, train["primary"], config.gamma).mean()
  metrics = {"accuracy": jnp.mean(own.argmax(-1) == train["primary"])}
  return Losses(primary, jnp.stack(auxiliary(look)), new_stats, metrics)
