"""OL_AUX: weights grow by the products of auxiliary and primary gradients."""

from typing import NamedTuple

import jax.numpy as jnp

from metaaux import simplex
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


class OlAuxState(NamedTuple):
  """Weights, and the sum of the products over `count` calls."""

  weight_K: Array
  product_K: Array
  count: Array


def make(
  learning_rate: float = 0.05, *, horizon: int = 1, project: bool = False
) -> Weighting:
  """a <- max(a + learning_rate sum <g_m, g_k>, 0), the sum over a horizon.

  Lin et al. 2019. One reverse and one forward pass.

  Args:
    learning_rate: of the weights. The code of ARML takes 0.05 on losses that
      are scaled by a half, which is 0.0125 on losses that are not.
    horizon: how many updates are summed before the weights move, >= 1.
    project: whether the weights are projected on the simplex of sum K; without
      that they can grow without limit.

  Returns:
    The weighting; weights >= 0, sum K only with `project`.

  Raises:
    ValueError: the horizon is no positive integer.
  """
  if not isinstance(horizon, int) or horizon < 1:
    raise ValueError(f"horizon={horizon!r} must be an integer >= 1.")

  def init(num_tasks: int) -> OlAuxState:
    one_K = ones(num_tasks)
    return OlAuxState(one_K, 0 * one_K, jnp.int32(0))

  def step(
    state: OlAuxState, tasks: Tasks, key: Key
  ) -> tuple[OlAuxState, Metrics]:
    del key
    _, primary = gradients.gradient(tasks, tasks.primary_loss)
    product_K = state.product_K + gradients.inner_products(tasks, primary)
    count = state.count + 1
    moved_K = state.weight_K + learning_rate * product_K
    if project:
      moved_K = simplex.project(moved_K, total=len(moved_K))
    else:
      moved_K = jnp.maximum(moved_K, 0)
    due = count == horizon
    return OlAuxState(
      jnp.where(due, moved_K, state.weight_K),
      jnp.where(due, 0, product_K),
      jnp.where(due, 0, count),
    ), {}

  return weighting(init, step)
