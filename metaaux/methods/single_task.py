"""Single task: the primary task alone, the baseline of every comparison."""

from typing import Any, NamedTuple

from metaaux import models
from metaaux.methods import optim, steps
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import ModelOptions
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


class SingleTaskState(NamedTuple):
  """The network and its optimiser."""

  params: Any
  stats: Any
  optimizer: Any


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """Trains one head on the primary labels with the focal loss.

  Args:
    config: `model`, `optimizer`, `gamma`, `num_steps`, `sync_batch_norm`.
    spec: the problem.
    axis_name: devices to average over, None on one device.
  """
  network = models.make(
    ModelOptions.of(config.model),
    {"primary": spec.num_primary},
    axis_name=axis_name if config.sync_batch_norm else None,
  )
  optimizer = optim.make(
    OptimizerOptions.of(config.optimizer), config.num_steps
  )

  def init(key: Key, batch: Batch, previous: State | None) -> SingleTaskState:
    del previous
    params, stats = network.init(key, batch["image"])
    return SingleTaskState(params, stats, optimizer.init(params))

  def update(
    state: SingleTaskState, batches: Batches, key: Key, step: Array
  ) -> tuple[SingleTaskState, Metrics]:
    def loss(params: Any, stats: Any) -> tuple[Array, Any]:
      return steps.primary_loss(
        network,
        params,
        stats,
        batches["train"],
        gamma=config.gamma,
        key=key,
        group_of_class=spec.groups,
      )

    *new, metrics = steps.descend(loss, optimizer, *state, step, axis_name)
    return SingleTaskState(*new), metrics

  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams={"train": StreamSpec(split="train", augment=True)},
    init=init,
    updates={"update": update},
    predict=steps.predictor(network),
  )
  return (stage,)
