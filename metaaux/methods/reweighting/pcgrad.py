"""PCGrad: each gradient loses what contradicts the others."""

import jax
import jax.numpy as jnp

from metaaux.methods.reweighting import _gradients as gradients
from metaaux.methods.reweighting._core import (
  Array,
  Key,
  Metrics,
  Tasks,
  Weighting,
  Weights,
  equal_weights,
  weighting,
)
from metaaux.methods.reweighting._products import relative_to_primary


def make() -> Weighting:
  """The sum of the projected gradients as weights, over the primary task's.

  Yu et al. 2020, algorithm 1: each g_i of all T tasks meets the others in
  random order, and where <g_i, g_j> < 0 with the g_i so far, it loses its
  component along the original g_j. All of that is linear in the original
  gradients, so that it needs their products alone: K + 1 reverse and K + 1
  forward passes. The key gives the order.

  Returns:
    The weighting; weights > 0, no fixed sum: 1 where nothing is in conflict.
    Metric: `conflicts`, the share of pairs (i, j) that are.
  """

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    products_TxT = gradients.gram(tasks).of_all
    weight_T = projected_sum(products_TxT, key)
    num_tasks = len(weight_T)
    pairs = num_tasks * (num_tasks - 1)
    metrics = {"conflicts": jnp.sum(products_TxT < 0) / pairs}
    return Weights(relative_to_primary(weight_T, state.weight_K)), metrics

  return weighting(equal_weights, step)


def projected_sum(products_TxT: Array, key: Key) -> Array:
  """Coefficients [T], all >= 1, of the sum of the projected gradients."""
  num_tasks = len(products_TxT)
  square_T = jnp.diagonal(products_TxT)
  # A gradient of zero is in conflict with none.
  inverse_T = jnp.where(
    square_T > 0, 1 / jnp.where(square_T > 0, square_T, 1), 0
  )

  def of_task(i: Array, key: Key) -> Array:
    def meet(own_T: Array, j: Array) -> tuple[Array, None]:
      product = jnp.sum(own_T * products_TxT[j])
      conflict = jnp.where(j == i, 0, jnp.minimum(product, 0))
      return own_T.at[j].add(-conflict * inverse_T[j]), None

    order_T = jax.random.permutation(key, num_tasks)
    start_T = (jnp.arange(num_tasks) == i).astype(products_TxT.dtype)
    return jax.lax.scan(meet, start_T, order_T)[0]

  keys = jax.random.split(key, num_tasks)
  rows_TxT = jax.vmap(of_task)(jnp.arange(num_tasks), keys)
  return jnp.sum(rows_TxT, axis=0)
