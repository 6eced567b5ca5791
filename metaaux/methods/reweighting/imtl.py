"""IMTL-G: a combination with the same projection on every gradient."""

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
from metaaux.methods.reweighting._products import cosines, relative_to_primary

# Singular values below this part of the largest are rounding: gradients of one
# direction have a cosine that is 1 but for some 1e-7.
_SINGULAR = 1e-5


def make(*, smallest: float = 0.0) -> Weighting:
  """Weights a with <sum a_i g_i, g_j / ||g_j||> equal for all j, over a_m.

  Liu et al. 2021, "Towards Impartial Multi-task Learning", the gradient part.
  K + 1 reverse and K + 1 forward passes.

  Note: solved for b_i = a_i ||g_i|| by least squares, which finds one of many
  solutions, all of one direction, where gradients are parallel and the
  published formula is singular; a task without gradient gets 0. Weights can be
  negative; where the primary one is not positive, they stay as they are. A task
  of small gradients gets a large weight, with no limit by itself.

  Args:
    smallest: share of all weights which the primary one counts as at least, so
      that the others sum to 1 / smallest at most; 0: as published, no bound.

  Returns:
    The weighting; weights of either sign, no fixed sum.

  Raises:
    ValueError: smallest is not in [0, 1).
  """
  if not 0 <= smallest < 1:
    raise ValueError(f"smallest={smallest!r} must be in [0, 1).")

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    del key
    weight_T = equal_projections(gradients.gram(tasks).of_all)
    weight_K = relative_to_primary(weight_T, state.weight_K, smallest)
    return Weights(weight_K), {}

  return weighting(equal_weights, step)


def equal_projections(products_TxT: Array) -> Array:
  """Coefficients [T] that sum to 1, from the gradients' products [T, T].

  In b the conditions are C b = p for one number p, with C the cosines, and
  sum b_i / ||g_i|| = 1: T + 1 linear equations for b and p.
  """
  cosine_TxT, inverse_norm_T, active_T = cosines(products_TxT)
  # Proportions are all that matters; so the last row is of order 1.
  largest = jnp.max(inverse_norm_T)
  total_T = inverse_norm_T / jnp.where(largest == 0, 1, largest)
  system = jnp.concatenate([cosine_TxT, -active_T[:, None]], axis=1)
  last_row = jnp.concatenate([total_T, jnp.zeros_like(total_T[:1])])
  system = jnp.concatenate([system, last_row[None]])
  right = jnp.zeros_like(last_row).at[-1].set(1)
  solution = jnp.linalg.lstsq(system, right, rcond=_SINGULAR)[0]
  return solution[:-1] * inverse_norm_T
