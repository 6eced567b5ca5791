"""CAGrad: near the mean gradient, the direction best for the worst task."""

from typing import NamedTuple

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
from metaaux.methods.reweighting._products import (
  in_units_of_mean,
  matmul,
  relative_to_primary,
)
from metaaux.methods.reweighting._solvers import minimise

# Of a norm in units of the root mean squared gradient norm.
_SMALLEST_NORM = 1e-6
_SEARCH_STEPS = 100


def make(c: float = 0.5) -> Weighting:
  """The direction d = mean g + c ||mean g|| g_w / ||g_w||, as weights.

  Liu et al. 2021. With g_w = sum w_i g_i over all T tasks and
  w = argmin <g_w, mean g> + c ||mean g|| ||g_w|| over the simplex, d is
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
  """Coefficients [T] of d in the gradients, from their products [T, T].

  For the right s, w is the minimiser of a quadratic: a norm is the least of
  ||g_w||^2 / (2 s) + s / 2 over all s, at s = ||g_w||. NaN if none is found.
  """
  A = in_units_of_mean(products_TxT)
  mean_T = jnp.full_like(A[0], 1 / len(A))
  radius = c * norm(A, mean_T)
  weight_T, length = _worst_case(A, mean_T, radius) if c else (mean_T, 1)
  return mean_T + radius / length * weight_T


class _Search(NamedTuple):
  """Norms between which the right one lies, and what was found there.

  `excess` is (||g_w|| / s)^2 - 1, which falls with s; over 1 / s^2 it is a
  straight line as long as the same weights are positive.
  """

  low: Array
  high: Array
  excess_low: Array
  excess_high: Array
  s: Array
  excess: Array
  weight_T: Array
  count: Array


def _worst_case(A: Array, mean_T: Array, radius: Array) -> tuple[Array, Array]:
  """w [T] and ||g_w||, of A in units of its mean."""
  tilt_T = matmul(A, mean_T)
  eps = jnp.finfo(A.dtype).eps

  def at(s: Array, start_T: Array) -> tuple[Array, Array]:
    weight_T = minimise(A, -s / radius * tilt_T, start_T).weight_K
    return weight_T, (norm(A, weight_T) / s) ** 2 - 1

  def unfinished(search: _Search) -> Array:
    wide = search.high > (1 + 8 * eps) * search.low
    off = jnp.abs(search.excess) > 8 * len(A) * eps
    return wide & off & (search.count < _SEARCH_STEPS)

  def step(search: _Search) -> _Search:
    # By turns halves the range and goes along the line.
    first, last = search.high**-2, search.low**-2
    share = -search.excess_high / (search.excess_low - search.excess_high)
    line = (first + share * (last - first)) ** -0.5
    half = jnp.sqrt(search.low) * jnp.sqrt(search.high)
    inside = (line > search.low) & (line < search.high)
    s = jnp.where(inside & (search.count % 2 == 1), line, half)
    weight_T, excess = at(s, search.weight_T)
    short = excess > 0
    return _Search(
      jnp.where(short, s, search.low),
      jnp.where(short, search.high, s),
      jnp.where(short, excess, search.excess_low),
      jnp.where(short, search.excess_high, excess),
      s,
      excess,
      weight_T,
      search.count + 1,
    )

  high = jnp.sqrt(jnp.max(jnp.diagonal(A)))
  low = 0 * high + _SMALLEST_NORM
  high = jnp.maximum(2 * high, 2 * low)
  weight_T, excess_low = at(low, mean_T)
  _, excess_high = at(high, mean_T)
  first = _Search(
    low,
    high,
    excess_low,
    excess_high,
    low,
    # At the smallest norm the search is over before it begins.
    jnp.maximum(excess_low, 0),
    weight_T,
    jnp.zeros_like(low, jnp.int32),
  )
  last = jax.lax.while_loop(unfinished, step, first)
  return last.weight_T, norm(A, last.weight_T)


def norm(products_TxT: Array, weight_T: Array) -> Array:
  """||sum w_i g_i||, at least 1e-6."""
  square = jnp.sum(weight_T * matmul(products_TxT, weight_T))
  return jnp.sqrt(jnp.maximum(square, _SMALLEST_NORM**2))
