"""Auto-Lambda: weights learned through one step of the network."""

from typing import Any, NamedTuple

import jax
import optax

from metaaux.methods.reweighting import _gradients as gradients
from metaaux.methods.reweighting._core import (
  Array,
  Key,
  Metrics,
  Tasks,
  Weighting,
  ones,
  weighting,
)


class AutoLambdaState(NamedTuple):
  """Weights and the state of their optimiser."""

  weight_K: Array
  optimizer: Any


def make(
  inner_lr: float,
  *,
  optimizer: optax.GradientTransformation | None = None,
  start: float = 0.1,
) -> Weighting:
  """A step on V(theta - inner_lr grad(L_m + sum lambda_k L_k)) in lambda.

  Liu et al. 2022, with V the primary loss on a second batch,
  `Tasks.held_out_loss`. The lambda_k enter through the inner step alone,
  linearly: the gradient is -inner_lr <grad V(theta'), g_k(theta)>, exact for
  plain SGD with two reverse passes and one forward pass.

  Note: published with a central difference in place of the forward pass, and
  with the momentum and weight decay of the network's optimiser in the inner
  step. Here, as in all weightings, the primary weight is 1; there it is
  learned too, from the same start.

  Args:
    inner_lr: of the inner step > 0, the network's learning rate.
    optimizer: of the weights; None: Adam at rate 1e-4.
    start: of all weights.

  Returns:
    The weighting; weights of either sign, no fixed sum. Metric:
    `held_out_loss`, V after the inner step.

  Raises:
    ValueError: inner_lr is not positive.
  """
  if not inner_lr > 0:
    raise ValueError(f"inner_lr={inner_lr!r} must be > 0.")
  optimizer = optax.adam(1e-4) if optimizer is None else optimizer

  def init(num_tasks: int) -> AutoLambdaState:
    weight_K = start * ones(num_tasks)
    return AutoLambdaState(weight_K, optimizer.init(weight_K))

  def step(
    state: AutoLambdaState, tasks: Tasks, key: Key
  ) -> tuple[AutoLambdaState, Metrics]:
    del key
    value, slope_K = weight_gradient(tasks, state.weight_K, inner_lr)
    updates, optimizer_state = optimizer.update(
      slope_K, state.optimizer, state.weight_K
    )
    weight_K = optax.apply_updates(state.weight_K, updates)
    return AutoLambdaState(weight_K, optimizer_state), {"held_out_loss": value}

  return weighting(init, step)


def weight_gradient(
  tasks: Tasks, weight_K: Array, inner_lr: float
) -> tuple[Array, Array]:
  """V after the inner step, and its gradient [K] for the weights."""
  grads = gradients.sum_gradient(tasks, weight_K)
  moved = jax.tree.map(
    lambda x, g: (x - inner_lr * g).astype(x.dtype), tasks.params, grads
  )
  held_out_loss = tasks.held_out_loss or tasks.primary_loss
  value, outer = gradients.gradient(tasks._replace(params=moved), held_out_loss)
  # The direction is of the moved point, the losses are at the old one.
  return value, -inner_lr * gradients.inner_products(tasks, outer)
