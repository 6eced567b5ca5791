"""Pseudo-task augmentation, control F: many decoders of the one task.

Meyerson & Miikkulainen 2018, as Gui et al. 2020 compare with it: T decoders
read the main labels from the shared layers; the first is trained and the others
keep their random weights. The shared layers descend on the mean of all losses,
and the first decoder predicts. One decoder is single-task training.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux.methods import optim, steps
from metaaux.methods.meta_mtl import decoders
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
  State,
  StreamSpec,
)


class PTAState(NamedTuple):
  """The network and the optimiser of F and D_0."""

  params: Params
  optimizer: Any


class Problem(NamedTuple):
  """What does not change while training."""

  net: Decoders
  optimizer: optim.Optimizer
  num_decoders: int


def init_state(
  problem: Problem, key: Key, batch: Batch, previous: State | None
) -> PTAState:
  """Independent random weights of every decoder."""
  del previous
  params = decoders.init(problem.net, key, batch["image"])
  trained = params.shared, params.main
  return PTAState(params, problem.optimizer.init(trained))


def update(
  problem: Problem, state: PTAState, batches: Batches, key: Key, step: Array
) -> tuple[PTAState, Metrics]:
  """One step of F and D_0 on the mean loss of all decoders."""
  net, count = problem.net, problem.num_decoders
  batch = batches["train"]
  others = jax.tree.map(lambda x: x[: count - 1], state.params.auxiliary)

  def loss(
    trained: tuple[Any, Any], stats: Any
  ) -> tuple[Array, tuple[Any, Metrics]]:
    params = Params(*trained, state.params.auxiliary)
    main, accuracy = decoders.main_loss(net, params, batch, key)
    metrics = {"primary_loss": main, "accuracy": accuracy}
    if count == 1:
      return main, (stats, metrics)
    labels_TxB = jnp.tile(batch["primary"], (count - 1, 1))
    loss_T, _ = decoders.auxiliary_losses(
      net, params._replace(auxiliary=others), batch, labels_TxB, key
    )
    return (main + loss_T.sum()) / count, (stats, metrics)

  trained, _, optimizer, metrics = steps.descend(
    loss,
    problem.optimizer,
    (state.params.shared, state.params.main),
    {},
    state.optimizer,
    step,
    net.axis_name,
  )
  params = Params(*trained, state.params.auxiliary)
  return PTAState(params, optimizer), metrics


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """The one stage of PTA-F.

  Args:
    config: `partition.num_tasks` (decoders in all), `optimizer`, `model`,
      `gamma`, `num_steps`.
    spec: the problem.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: the network has batch norm.
  """
  count = config.partition.num_tasks
  net = decoders.make(
    config,
    spec,
    num_tasks=max(1, count - 1),
    num_classes=spec.num_primary,
    axis_name=axis_name,
  )
  problem = Problem(
    net,
    optim.make(OptimizerOptions.of(config.optimizer), config.num_steps),
    count,
  )
  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams={"train": StreamSpec(split="train", augment=True)},
    init=partial(init_state, problem),
    updates={"update": partial(update, problem)},
    predict=lambda state, images: decoders.predict(net, state.params, images),
  )
  return (stage,)
