"""Training the network of an auxiliary big task, from which others start.

Stage "auxiliary" of Feng & Chen, before all tasks are trained.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from metaaux import losses
from metaaux.methods import optim
from metaaux.methods import steps as steps_lib
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import layered
from metaaux.models.layered import Staged
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

Tree = Any


class BigTaskState(NamedTuple):
  """The network of the big task and its optimiser."""

  params: Tree
  optimizer: Tree


def stages_before(
  config: Any, spec: Spec, net: Staged, axis_name: str | None
) -> tuple[Stage, ...]:
  """The stage, or none where nothing starts from its network.

  Args:
    config: `damtl.start`, and what `stage` reads.
    spec: see `stage`, as are the others.
    net: sizes.
    axis_name: devices.
  """
  if config.damtl.start == "random":
    return ()
  return (stage(config, spec, net, axis_name),)


def stage(config: Any, spec: Spec, net: Staged, axis_name: str | None) -> Stage:
  """Cross-entropy on the big task.

  Args:
    config: `damtl.auxiliary_steps` (0: `num_steps`), `damtl.optimizer`.
    spec: the problem, with `num_big`.
    net: sizes.
    axis_name: devices to average over, None on one device.
  """
  steps = config.damtl.auxiliary_steps or config.num_steps
  optimizer = optim.make(OptimizerOptions.of(config.damtl.optimizer), steps)

  def init(key: Key, batch: Batch, previous: State | None) -> BigTaskState:
    del previous
    params = layered.init(net, key, batch["image"], spec.num_big)
    return BigTaskState(params, optimizer.init(params))

  def update(
    state: BigTaskState, batches: Batches, key: Key, step: Array
  ) -> tuple[BigTaskState, Metrics]:
    del key
    batch = batches["big"]

    def loss(params: Tree, stats: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
      logits = layered.apply(net, params, batch["image"])
      hits = logits.argmax(-1) == batch["auxiliary"]
      value = losses.softmax_cross_entropy(logits, batch["auxiliary"]).mean()
      return value, (stats, {"auxiliary_accuracy": jnp.mean(hits)})

    params, _, optimizer_state, metrics = steps_lib.descend(
      loss, optimizer, state.params, {}, state.optimizer, step, axis_name
    )
    return BigTaskState(params, optimizer_state), metrics

  return Stage(
    name="auxiliary",
    num_steps=steps,
    streams={"big": StreamSpec(split="big", augment=True)},
    init=init,
    updates={"update": update},
    predict=None,
    reuse={
      "network": net._asdict(),
      "classes": spec.num_big,
      "optimizer": config.damtl.optimizer.to_dict(),
    },
  )
