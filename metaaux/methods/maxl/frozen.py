"""MAXL without learning labels: its generator stays as it was initialised.

A random network gives similar images similar labels. Training on them says what
soft labels are worth before anything is learned of them: beside `uniform`,
which says nothing of an image, and `random`, whose labels no network can guess,
it is the control for the training of the generator.
"""

from typing import Any, NamedTuple

import jax

from metaaux import models
from metaaux.methods.maxl import fixed_labels
from metaaux.methods.maxl import losses as maxl_losses
from metaaux.stage import Array, Batch, Key, Spec, Stage


class FrozenState(NamedTuple):
  """The network and its optimiser, and the generator, which stays."""

  params: Any
  stats: Any
  optimizer: Any
  meta_params: Any
  meta_stats: Any


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """Trains both heads as MAXL does, on the labels that MAXL starts from.

  Args:
    config: as for `fixed_labels.stage`; the generator is of `model`, too.
    spec: the problem.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: the config asks for dropout, which MAXL has none of.
  """
  models.refuse_dropout(config, "dropout", "block_dropout")
  sync_axis = axis_name if config.sync_batch_norm else None
  generator = maxl_losses.label_generator(config, spec, sync_axis)

  def new_state(
    params: Any, stats: Any, optimizer: Any, key: Key, image_BxHxWxC: Array
  ) -> FrozenState:
    meta = maxl_losses.initial_generator(generator, key, image_BxHxWxC)
    return FrozenState(params, stats, optimizer, *meta)

  def labels_of(state: FrozenState, batch: Batch) -> Array:
    labels_BxK = maxl_losses.labels(
      generator, spec.psi, state.meta_params, state.meta_stats, batch
    )
    return jax.lax.stop_gradient(labels_BxK)

  stage = fixed_labels.stage(
    config,
    spec,
    new_state=new_state,
    labels_of=labels_of,
    axis_name=axis_name,
  )
  init = stage.init
  return (
    stage._replace(
      # The generator, too, is made for images of this shape.
      init=lambda key, batch, given: init(key, batch, batch["image"]),
      targets=labels_of,
    ),
  )
