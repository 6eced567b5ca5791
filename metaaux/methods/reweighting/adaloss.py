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


def make(*, shift: ArrayLike = 0.0, epsilon: float = 1e-6) -> Weighting:
  """1 / (L_k + shift_k): the gradient of L_m + sum log(L_k + shift_k).

  Hu et al. 2019 (arml, section 4.1); needs the losses alone.

  Args:
    shift: one number or [K], which keeps each logged loss positive: 1 for a
      cosine loss in [-1, 1].
    epsilon: added to L_k + shift_k, which counts as 0 where it is negative.

  Returns:
    The weighting; the weights do not sum to K.
  """

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    del key
    loss_K = gradients.auxiliary_losses(tasks)
    shifted_K = loss_K + per_task(shift, len(state.weight_K))
    return Weights(1 / (jnp.maximum(shifted_K, 0) + epsilon)), {}

  return weighting(equal_weights, step)
