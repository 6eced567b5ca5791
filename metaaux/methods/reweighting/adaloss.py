"""AdaLoss: the logarithm of each auxiliary loss instead of the loss."""

import jax.numpy as jnp
from jax.typing import ArrayLike

from metaaux.methods.reweighting import _gradients as gradients
from metaaux.methods.reweighting._core import (
  Key,
  Metrics,
  Tasks,
  Weighting,
  Weights,
  equal_weights,
  per_task,
  weighting,
)


def make(
  *,
  shift: ArrayLike = 0.0,
  loss_scale: float = 1.0,
  epsilon: float = 1e-6,
) -> Weighting:
  """1 / (s L_k + shift_k): the gradient of s L_m + sum log(s L_k + shift_k).

  Hu et al. 2019; needs the losses alone. A weight is in terms of the primary
  task's, so that the factor s = `loss_scale` of all losses matters: the code of
  ARML halves them and adds 1 to half a cosine, which is 2 / L_k, and
  2 / (L_k + 2) for the cosine.

  Args:
    shift: one number or [K], which keeps each logged loss positive: 1 for a
      cosine loss in [-1, 1]; with a scale of 1 its weight grows without limit
      where the cosine is -1.
    loss_scale: s > 0.
    epsilon: added to s L_k + shift_k, which counts as 0 where it is negative.

  Returns:
    The weighting; the weights do not sum to K.

  Raises:
    ValueError: loss_scale is not positive.
  """
  if not loss_scale > 0:
    raise ValueError(f"loss_scale={loss_scale!r} must be > 0.")

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    del key
    loss_K = gradients.auxiliary_losses(tasks)
    shifted_K = loss_scale * loss_K + per_task(shift, len(state.weight_K))
    return Weights(1 / (jnp.maximum(shifted_K, 0) + epsilon)), {}

  return weighting(equal_weights, step)
