"""Weights of all T = K + 1 tasks from the products of their gradients."""

from functools import partial

import jax
import jax.numpy as jnp

Array = jax.Array

# In lower precision, such as TF32, small eigenvalues drown in the rounding.
matmul = partial(jnp.matmul, precision="highest")


def in_units_of_mean(products_TxT: Array) -> Array:
  """Divided by the mean squared norm; all zeros stay zeros."""
  mean = jnp.trace(products_TxT) / len(products_TxT)
  return products_TxT / jnp.where(mean == 0, 1, mean)


def cosines(products_TxT: Array) -> tuple[Array, Array, Array]:
  """Cosines of all pairs, inverse norms, and who has a gradient at all.

  Args:
    products_TxT: <g_i, g_j>.

  Returns:
    [T, T] with ones on the diagonal, also for a task whose gradient is zero,
    the rest of whose row is 0; inverse norms [T], 0 for such a task; and 1 or
    0 [T], 0 for such a task.
  """
  square_T = jnp.diagonal(products_TxT)
  zero_T = square_T == 0
  inverse_T = jnp.where(
    zero_T, 0, jax.lax.rsqrt(jnp.where(zero_T, 1, square_T))
  )
  cosine_TxT = products_TxT * inverse_T[:, None] * inverse_T[None]
  cosine_TxT = jnp.fill_diagonal(cosine_TxT, 1, inplace=False)
  return cosine_TxT, inverse_T, 1 - zero_T.astype(square_T.dtype)


def relative_to_primary(
  weight_T: Array, old_K: Array, smallest: float = 0.0
) -> Array:
  """Weights of the auxiliary tasks where that of the primary task is 1.

  Args:
    weight_T: of all tasks, the primary one first.
    old_K: what is kept if the primary weight is no positive part (1e-6) of the
      sum of absolute weights: no scale of the others makes it 1.
    smallest: share of that sum which a smaller primary weight counts as, so
      that the absolute weights of the others sum to 1 / smallest at most; the
      direction is then another one. 0: no bound.

  Returns:
    weight_T[1:] / weight_T[0], [K].
  """
  primary, total = weight_T[0], jnp.sum(jnp.abs(weight_T))
  # False for a NaN, which has to show.
  useless = primary <= 1e-6 * total
  primary = jnp.maximum(primary, smallest * total)
  return jnp.where(
    useless, old_K, weight_T[1:] / jnp.where(useless, 1, primary)
  )
