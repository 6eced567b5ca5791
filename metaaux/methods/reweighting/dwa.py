"""Dynamic weight average: tasks whose loss has stopped falling weigh more."""

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
from metaaux.methods.reweighting._products import relative_to_primary


class DwaState(NamedTuple):
  """Weights; the losses' sum over `count` calls of this epoch; the means of the
  last epoch and of the one before; how many epochs are complete.
  """

  weight_K: Array
  loss_sum: Array
  count: Array
  last: Array
  before: Array
  epochs: Array


def make(
  updates_per_epoch: int,
  *,
  temperature: float = 2.0,
  with_primary: bool = False,
  shift: ArrayLike = 0.0,
) -> Weighting:
  """K softmax(ratio / temperature), ratio_k = L_k(e - 1) / L_k(e - 2).

  Liu, Johns & Davison 2019, L(e) the mean over epoch e; equal weights in the
  first two epochs. Needs the losses alone.

  Args:
    updates_per_epoch: calls of `update` in an epoch, >= 1.
    temperature: > 0; the larger, the more equal.
    with_primary: False: over the auxiliary tasks alone, sum K. True: the
      primary task takes part, and weights are in terms of its own.
    shift: one number or [K], added to auxiliary losses that may be negative.

  Returns:
    The weighting; weights >= 0.

  Raises:
    ValueError: updates_per_epoch is no positive integer or temperature <= 0.
  """
  if not isinstance(updates_per_epoch, int) or updates_per_epoch < 1:
    raise ValueError(
      f"updates_per_epoch={updates_per_epoch!r} must be an integer >= 1."
    )
  if not temperature > 0:
    raise ValueError(f"temperature={temperature!r} must be > 0.")

  def init(num_tasks: int) -> DwaState:
    one_T = ones(num_tasks + with_primary)
    none = jnp.int32(0)
    return DwaState(ones(num_tasks), 0 * one_T, none, one_T, one_T, none)

  def step(state: DwaState, tasks: Tasks, key: Key) -> tuple[DwaState, Metrics]:
    del key
    num_tasks = len(state.weight_K)
    losses = gradients.auxiliary_losses(tasks) + per_task(shift, num_tasks)
    if with_primary:
      losses = jnp.concatenate([gradients.primary_loss(tasks)[None], losses])
    total, count = state.loss_sum + losses, state.count + 1
    within = state._replace(loss_sum=total, count=count)
    state = end_epoch(state, total / updates_per_epoch)
    due = count == updates_per_epoch
    return jax.tree.map(lambda a, b: jnp.where(due, a, b), state, within), {}

  def end_epoch(state: DwaState, mean: Array) -> DwaState:
    before, last, epochs = state.last, mean, state.epochs + 1
    share = jax.nn.softmax(last / jnp.maximum(before, 1e-12) / temperature)
    if with_primary:
      weight_K = relative_to_primary(share, state.weight_K)
    else:
      weight_K = len(share) * share
    weight_K = jnp.where(epochs >= 2, weight_K, state.weight_K)
    zero = 0 * state.count
    return DwaState(weight_K, 0 * mean, zero, last, before, epochs)

  return weighting(init, step)
