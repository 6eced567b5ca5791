"""Training on auxiliary labels that do not change: what baselines share.

Loss and network are those of MAXL's evaluator; only the labels differ.
"""

from collections.abc import Callable
from typing import Any

from metaaux import models
from metaaux.errors import UserError
from metaaux.methods import optim, steps
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import ModelOptions
from metaaux.stage import (
  Array,
  Batch,
  Batches,
  Key,
  Metrics,
  Prepare,
  Spec,
  Stage,
  State,
  StreamSpec,
)


def stage(
  config: Any,
  spec: Spec,
  *,
  new_state: Callable[[Any, Any, Any, Key, Any], State],
  labels_of: Callable[[State, Batch], Array],
  prepare: Prepare | None = None,
  axis_name: str | None = None,
) -> Stage:
  """Trains both heads on the primary and on fixed auxiliary labels.

  Args:
    config: `model`, `optimizer`, `gamma`, `auxiliary_weight`, `num_steps`,
      `sync_batch_norm`.
    spec: the problem.
    new_state: (params, stats, optimizer, key, third argument of `Stage.init`)
      -> a NamedTuple with the first three as fields of these names.
    labels_of: (state, batch) -> float [B, K], the auxiliary labels.
    prepare: what is computed on the whole pool before, or None.
    axis_name: devices to average over, None on one device.
  """
  network = models.make(
    ModelOptions.of(config.model),
    {"primary": spec.num_primary, "auxiliary": spec.num_auxiliary},
    axis_name=axis_name if config.sync_batch_norm else None,
  )
  optimizer = optim.make(
    OptimizerOptions.of(config.optimizer), config.num_steps
  )

  def init(key: Key, batch: Batch, given: Any) -> State:
    params, stats = network.init(key, batch["image"])
    return new_state(params, stats, optimizer.init(params), key, given)

  def update(
    state: State, batches: Batches, key: Key, step: Array
  ) -> tuple[State, Metrics]:
    batch = batches["train"]
    labels_BxK = labels_of(state, batch)

    def loss(params: Any, stats: Any) -> tuple[Array, Any]:
      return steps.joint_loss(
        network,
        params,
        stats,
        batch,
        labels_BxK,
        gamma=config.gamma,
        weight=config.auxiliary_weight,
        key=key,
      )

    params, stats, optimizer_state, metrics = steps.descend(
      loss,
      optimizer,
      state.params,
      state.stats,
      state.optimizer,
      step,
      axis_name,
    )
    state = state._replace(
      params=params, stats=stats, optimizer=optimizer_state
    )
    return state, metrics

  return Stage(
    name="train",
    num_steps=config.num_steps,
    streams={"train": StreamSpec(split="train", augment=True)},
    init=init,
    updates={"update": update},
    predict=steps.predictor(network),
    prepare=prepare,
  )


def check_human(spec: Spec, method: str) -> None:
  """Raises UserError if the data has no human labels for `method`."""
  if not spec.has_auxiliary:
    raise UserError(
      f"method={method!r} needs human auxiliary labels, and this data has "
      "none for the chosen psi; set config.aux to a finer label level and "
      "leave config.psi empty"
    )
