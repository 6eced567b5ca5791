"""Squared distances by differences.

|x - y|^2 = |x|^2 + |y|^2 - 2 <x, y> is faster, but under an offset, or between
rows of one of several clusters far apart, it loses all digits.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

Array = jax.Array
# Numbers in a block of differences.
_BLOCK = 2**22


def squared(x: Array, y: Array, weight_D: Array | None = None) -> Array:
  """sum_d weight_d (x_d - y_d)^2 of rows that belong together.

  Args:
    x: float [..., D].
    y: float [..., D], of the same shape.
    weight_D: weights of the dimensions; None: ones.

  Returns:
    [...], right to the last digits also where it is small.
  """
  difference = x - y
  square = difference * difference
  if weight_D is None:
    return jnp.sum(square, axis=-1)
  return jnp.dot(square, weight_D, precision=lax.Precision.HIGHEST)


def pairwise(x_NxD: ArrayLike, y_MxD: ArrayLike) -> Array:
  """Squared distances of all pairs of rows, some rows of y at a time.

  Memory is for N M distances and a block of differences; differentiation takes
  no more, for it forms the differences again.

  Args:
    x_NxD: float [N, D].
    y_MxD: float [M, D].

  Returns:
    [N, M], float32 where both are less than that.

  Raises:
    ValueError: they are no matrices of floats with as many columns.
  """
  x_NxD, y_MxD = widened("x", x_NxD), widened("y", y_MxD)
  if x_NxD.shape[1] != y_MxD.shape[1]:
    raise ValueError(
      f"rows of {x_NxD.shape[1]} and of {y_MxD.shape[1]} columns have no "
      "distance; give both as many."
    )
  dtype = jnp.promote_types(x_NxD.dtype, y_MxD.dtype)
  x_NxD, y_MxD = x_NxD.astype(dtype), y_MxD.astype(dtype)

  @jax.checkpoint
  def to_row(y_D: Array) -> Array:
    return squared(x_NxD, jnp.broadcast_to(y_D[None], x_NxD.shape))

  size = max(1, _BLOCK // max(1, x_NxD.size))
  return lax.map(to_row, y_MxD, batch_size=size).T


def widened(name: str, x: ArrayLike) -> Array:
  """A matrix of floats in float32 or more.

  Raises:
    ValueError: it is something else.
  """
  x = native(name, x)
  if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.floating):
    raise ValueError(
      f"{name} is {x.dtype}{list(x.shape)}, expected floats [n, d]."
    )
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def native(name: str, x: ArrayLike) -> Array:
  """`jnp.asarray`, with a clear error for bytes in foreign order.

  Raises:
    ValueError: x is in big-endian order on a little-endian machine, or the
      other way round.
  """
  check_native(name, x)
  return jnp.asarray(x)


def check_native(name: str, x: ArrayLike) -> None:
  """Raises ValueError for bytes in an order that JAX does not take."""
  if isinstance(x, np.ndarray) and not x.dtype.isnative:
    raise ValueError(
      f"{name} is {x.dtype.str} (bytes in foreign order), which JAX does not "
      f"take; pass {name}.astype({x.dtype.name!r})."
    )
