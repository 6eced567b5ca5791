"""Uncertainty weighting: a task's weight is the inverse of its noise."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
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
from metaaux.methods.reweighting._products import relative_to_primary


class UncertaintyState(NamedTuple):
  """Weights, log-variances s and the state of their optimiser."""

  weight_K: Array
  log_variance: Array
  optimizer: Any


def make(
  optimizer: optax.GradientTransformation | None = None,
  *,
  with_primary: bool = False,
  shift: ArrayLike = 0.0,
  start: float = -0.5,
) -> Weighting:
  """Weights proportional to e^-s, s learned on sum L_i / (2 e^s_i) + s_i / 2.

  Kendall, Gal & Cipolla 2018; needs the losses alone. Where losses stand still,
  e^s_i = L_i.

  Args:
    optimizer: of s; None: plain gradient descent at rate 0.01.
    with_primary: False: over the auxiliary tasks alone, in proportion, sum K.
      True: the primary task has an s too, and weights are e^(s_m - s_k), which
      do not sum to K.
    shift: one number or [K], added to auxiliary losses that may be negative.
    start: of every s; the weights start at 1.

  Returns:
    The weighting.
  """
  optimizer = optax.sgd(0.01) if optimizer is None else optimizer

  def init(num_tasks: int) -> UncertaintyState:
    s = start * ones(num_tasks + with_primary)
    return UncertaintyState(ones(num_tasks), s, optimizer.init(s))

  def step(
    state: UncertaintyState, tasks: Tasks, key: Key
  ) -> tuple[UncertaintyState, Metrics]:
    del key
    num_tasks = len(state.weight_K)
    losses = gradients.auxiliary_losses(tasks) + per_task(shift, num_tasks)
    if with_primary:
      losses = jnp.concatenate([gradients.primary_loss(tasks)[None], losses])
    s = state.log_variance
    slope = (1 - losses * jnp.exp(-s)) / 2
    updates, optimizer_state = optimizer.update(slope, state.optimizer, s)
    s = optax.apply_updates(s, updates)
    share = jax.nn.softmax(-s)
    if with_primary:
      weight_K = relative_to_primary(share, state.weight_K)
    else:
      weight_K = num_tasks * share
    return UncertaintyState(weight_K, s, optimizer_state), {}

  return weighting(init, step)
