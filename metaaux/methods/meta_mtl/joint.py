"""Joint multi-task learning: all tasks descend together, no outer update.

The MTL baseline of Gui et al. 2020, whose equation 3 is the plain sum of
L_0 .. L_T, `auxiliary_weight` 1; each is a mean over its own batch, the
auxiliary tasks share theirs. The sum grows with T, and with it the step: beside
other methods at one rate, weights of 1 / T or a lower rate are the fair form.
"""

from functools import partial
from typing import Any, NamedTuple

import jax

from metaaux.methods import optim, steps
from metaaux.methods.meta_mtl import cluster_tasks, decoders
from metaaux.methods.meta_mtl.decoders import Decoders, Params
from metaaux.methods.optim import OptimizerOptions
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


class JointState(NamedTuple):
  """The network, its optimiser, and the auxiliary labels [T, n]."""

  params: Params
  optimizer: Any
  labels: Array


class Problem(NamedTuple):
  """What does not change while training."""

  net: Decoders
  optimizer: optim.Optimizer
  weight: float  # of each auxiliary loss


def init_state(
  problem: Problem, key: Key, batch: Batch, given: tuple[Any, Array]
) -> JointState:
  """Random weights; of what was prepared only the labels are used."""
  _, labels_TxN = given
  params = decoders.init(problem.net, key, batch["image"])
  return JointState(params, problem.optimizer.init(params), labels_TxN)


def update(
  problem: Problem, state: JointState, batches: Batches, key: Key, step: Array
) -> tuple[JointState, Metrics]:
  """One step of all parameters on L_0 + weight sum_t L_t."""
  net = problem.net
  main_key, pool_key = jax.random.split(key)
  pool = batches["pool"]

  def loss(params: Params, stats: Any) -> tuple[Array, tuple[Any, Metrics]]:
    main, accuracy = decoders.main_loss(net, params, batches["train"], main_key)
    labels_TxB = state.labels[:, pool["index"]]
    loss_T, accuracy_T = decoders.auxiliary_losses(
      net, params, pool, labels_TxB, pool_key
    )
    metrics = {
      "primary_loss": main,
      "accuracy": accuracy,
      "auxiliary_loss": loss_T.mean(),
      "auxiliary_accuracy": accuracy_T.mean(),
    }
    return main + problem.weight * loss_T.sum(), (stats, metrics)

  params, _, optimizer, metrics = steps.descend(
    loss,
    problem.optimizer,
    state.params,
    {},
    state.optimizer,
    step,
    net.axis_name,
  )
  return JointState(params, optimizer, state.labels), metrics


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """The stages of joint training: train the embedding, then the network.

  Args:
    config: `embedding`, `partition` (`batch_size` is that of the auxiliary
      tasks; 0: as the primary one), `auxiliary_weight` (of each task),
      `optimizer`, `model`, `gamma`, `num_steps`.
    spec: the problem.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: options that exclude each other.
  """
  problem = Problem(
    cluster_tasks.network(config, spec, axis_name),
    optim.make(OptimizerOptions.of(config.optimizer), config.num_steps),
    config.auxiliary_weight,
  )
  pool = "all" if config.partition.images == "all" else "train"
  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams={
      "train": StreamSpec(split="train", augment=True),
      "pool": StreamSpec(
        split=pool,
        augment=True,
        batch_size=config.partition.batch_size,
        size_key="partition.batch_size",
      ),
    },
    init=partial(init_state, problem),
    updates={"update": partial(update, problem)},
    predict=lambda state, images: decoders.predict(
      problem.net, state.params, images
    ),
    prepare=cluster_tasks.prepare(config, spec),
  )
  return (*cluster_tasks.stages(config, spec, axis_name), stage)
