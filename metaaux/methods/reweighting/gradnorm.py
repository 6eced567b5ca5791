"""GradNorm: tasks that learn slowly get the larger gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from metaaux.methods.reweighting import _gradients as gradients
from metaaux.methods.reweighting._core import (
  Array,
  Key,
  Metrics,
  Tasks,
  Weighting,
  ones,
  per_task,
  weighting,
)


class GradNormState(NamedTuple):
  """Weights, the losses of the first update, and how many there have been."""

  weight_K: Array
  first_loss_K: Array
  count: Array


def make(
  learning_rate: float = 0.05,
  *,
  gamma: float = 1.5,
  detach_target: bool = True,
  shift: ArrayLike = 0.0,
  as_code: bool = False,
) -> Weighting:
  """One step on sum_k | n_k - mean(n) r_k^gamma |, with n_k = ||a_k g_k||.

  Chen et al. 2018, over the auxiliary tasks; r_k is L_k / L_k(0) in terms of
  its mean over the tasks. K reverse passes; give `Tasks` the last shared layer
  alone, on which GradNorm is defined.

  Note: entries are clamped at 0 before the sum is made K, so that the weights
  stay on the simplex. The code of ARML clamps after that, takes losses as they
  are, of either sign (`as_code`), gamma 1 and does not detach the target.

  Args:
    learning_rate: of plain gradient descent on the weights. The code of ARML
      takes 0.05 on losses that are scaled by a half, which is 0.025 on losses
      that are not.
    gamma: strength of the balance; 0 asks for equal norms.
    detach_target: whether mean(n) r_k^gamma is constant in the step.
    shift: one number or [K], added to losses that may be negative before the
      ratio is formed.
    as_code: no shift, and the clamp last: the sum can be more than K, and a
      negative loss that grows more negative counts as slow.

  Returns:
    The weighting; weights >= 0, sum K without `as_code`. Metric: `imbalance`,
    the sum above.
  """

  def init(num_tasks: int) -> GradNormState:
    one_K = ones(num_tasks)
    return GradNormState(one_K, one_K, jnp.int32(0))

  def step(
    state: GradNormState, tasks: Tasks, key: Key
  ) -> tuple[GradNormState, Metrics]:
    del key
    num_tasks = len(state.weight_K)
    loss_K, square_K = gradients.squared_norms(tasks)
    if not as_code:
      loss_K = jnp.maximum(loss_K + per_task(shift, num_tasks), 0)
    first_K = jnp.where(state.count == 0, loss_K, state.first_loss_K)
    rate_K = relative_rates(loss_K, first_K, as_code=as_code)
    norm_K = jnp.sqrt(square_K)

    def imbalance(weight_K: Array) -> Array:
      weighted_K = weight_K * norm_K
      target_K = jnp.mean(weighted_K) * rate_K**gamma
      if detach_target:
        target_K = jax.lax.stop_gradient(target_K)
      return jnp.sum(jnp.abs(weighted_K - target_K))

    value, slope_K = jax.value_and_grad(imbalance)(state.weight_K)
    moved_K = state.weight_K - learning_rate * slope_K
    if not as_code:
      moved_K = jnp.maximum(moved_K, 0)
    total = jnp.sum(moved_K)
    nothing = total <= 0
    scaled_K = num_tasks * moved_K / jnp.where(nothing, 1, total)
    weight_K = jnp.where(nothing, state.weight_K, jnp.maximum(scaled_K, 0))
    state = GradNormState(weight_K, first_K, state.count + 1)
    return state, {"imbalance": value}

  return weighting(init, step)


def relative_rates(loss_K: Array, first_K: Array, *, as_code: bool) -> Array:
  """L_k / L_k(0) in terms of its mean over the tasks, [K]."""
  if as_code:
    rate_K = loss_K / first_K
    return rate_K / jnp.mean(rate_K)
  rate_K = loss_K / jnp.maximum(first_K, 1e-12)
  return rate_K / jnp.maximum(jnp.mean(rate_K), 1e-12)
