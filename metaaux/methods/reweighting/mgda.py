"""MGDA: the shortest convex combination of all gradients."""

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
from metaaux.methods.reweighting._products import (
  in_units_of_mean,
  matmul,
  relative_to_primary,
)
from metaaux.methods.reweighting._solvers import minimise


def make(*, smallest: float = 0.1) -> Weighting:
  """argmin ||sum w_i g_i||^2 over the simplex of all tasks, divided by w_m.

  Sener & Koltun 2018. Going down this combination makes no task worse. K + 1
  reverse and K + 1 forward passes.

  Args:
    smallest: what a primary weight w_m below it counts as, so that the
      auxiliary ones sum to 1 / smallest at most, which the learning rate of the
      network has to stand. Below it the direction is another one; where the
      shortest combination leaves the primary task out, no scale would do.

  Returns:
    The weighting; weights >= 0. Metric: `smallest_norm`, of the combination in
    terms of the root mean squared gradient norm; 0 at a Pareto-stationary
    point.

  Raises:
    ValueError: smallest is not in (0, 1).
  """
  if not 0 < smallest < 1:
    raise ValueError(f"smallest={smallest!r} must be in (0, 1).")

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    del key
    products_TxT = in_units_of_mean(gradients.gram(tasks).of_all)
    weight_T = shortest(products_TxT)
    square = jnp.sum(weight_T * matmul(products_TxT, weight_T))
    floored_T = weight_T.at[0].max(smallest)
    weight_K = relative_to_primary(floored_T, state.weight_K)
    # Rounding makes a square of zero negative.
    norm = jnp.sqrt(jnp.maximum(square, 0))
    return Weights(weight_K), {"smallest_norm": norm}

  return weighting(equal_weights, step)


def shortest(products_TxT: Array) -> Array:
  """The minimiser [T] of w^T A w over {w >= 0, sum w = 1}; NaN if not found.

  Among equally short combinations, the one next to equal weights.
  """
  equal_T = jnp.full_like(products_TxT[0], 1 / len(products_TxT))
  return minimise(products_TxT, 0 * equal_T, equal_T).weight_K
