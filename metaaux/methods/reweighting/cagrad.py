"""CAGrad: near the mean gradient, the direction best for the worst task."""

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

# Of a norm in units of the root mean squared gradient norm.
_SMALLEST_NORM = 1e-6


def make(c: float = 0.5) -> Weighting:
  """The direction d = mean g + c ||mean g|| g_w / ||g_w||, as weights.

  Liu et al. 2021 (arml, section 4.2). With g_w = sum w_i g_i over all T tasks
  and w = argmin <g_w, mean g> + c ||mean g|| ||g_w|| over the simplex, d is
  sum_i (1 / T + c ||mean g|| / ||g_w|| w_i) g_i: weights that are divided by
  the primary task's, which is never 0. The usual division by 1 + c^2 drops
  out. K + 1 reverse and K + 1 forward passes.

  Args:
    c: how far from the mean gradient, >= 0; 0 is uniform weights.

  Returns:
    The weighting; weights > 0. Metric: `smallest_weight` over all tasks before
    the division, where the mean gradient alone has 1 / T.

  Raises:
    ValueError: c is negative.
  """
  if not c >= 0:
    raise ValueError(f"c={c!r} must be >= 0.")

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    del key
    weight_T = combination(gradients.gram(tasks).of_all, c)
    weight_K = relative_to_primary(weight_T, state.weight_K)
    return Weights(weight_K), {"smallest_weight": jnp.min(weight_T)}

  return weighting(equal_weights, step)


def combination(products_TxT: Array, c: float) -> Array:
  """Coefficients [T] of d in the gradients, from their products [T, T]."""
  A = in_units_of_mean(products_TxT)
  mean_T = jnp.full_like(A[0], 1 / len(A))
  radius = c * norm(A, mean_T)
  slope_of_mean = matmul(A, mean_T)
  largest = jnp.linalg.eigvalsh(A)[-1]

  def slope(w: Array) -> Array:
    return slope_of_mean + radius * matmul(A, w) / norm(A, w)

  def curvature(w: Array) -> Array:
    # A norm lies below the parabola that touches it: ||v|| <= ||v||^2 / (2 n)
    # + n / 2 for every n. With radius 0 the function is a plane.
    bound = radius * largest / norm(A, w)
    return jnp.maximum(bound, 1e-3)

  weight_T, _ = minimise(slope, curvature, mean_T)
  return mean_T + radius / norm(A, weight_T) * weight_T


def norm(products_TxT: Array, weight_T: Array) -> Array:
  """||sum w_i g_i||, at least 1e-6."""
  square = jnp.sum(weight_T * matmul(products_TxT, weight_T))
  return jnp.sqrt(jnp.maximum(square, _SMALLEST_NORM**2))
