"""The scaled simplex {x >= 0, sum x = total}, where task weights live.

Task weights of ARML (Shi et al. 2020, arXiv:2010.08244) sum to the number of
tasks, so `total` is K there and not 1.
"""

import math
import numbers

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

Array = jax.Array


def project(v: ArrayLike, total: ArrayLike = 1.0) -> Array:
  """Nearest point of {x >= 0, sum x = total}, in Euclidean distance.

  x = max(v - tau, 0) with the one tau that gives the sum; with v sorted in
  descending order, tau = (v_1 + ... + v_j - total) / j for the last j at which
  that is below v_j (Duchi et al. 2008, figure 1). Differentiable where no entry
  sits at the threshold, zero derivatives outside the support.

  Note: the largest entry is subtracted first, which changes nothing but the
  rounding: in float32 the plain form is wrong by orders of magnitude for
  entries that dwarf `total`. One entry alone gives `total` exactly.

  Args:
    v: float [..., K], K >= 1; below float32 it is widened to float32. A NaN
      makes its row NaN; -inf is an entry that gets nothing.
    total: sum of the result, a scalar > 0, which may be traced.

  Returns:
    [..., K] along the last axis.

  Raises:
    ValueError: v is not floating or has no last axis, total is no positive
      number.
  """
  v, total = _checked(v, total)
  # Constant under differentiation: shifting v does not move the projection.
  v = v - jax.lax.stop_gradient(jnp.max(v, axis=-1, keepdims=True))
  largest_first = -jnp.sort(-v, axis=-1)
  count = 1 + jax.lax.broadcasted_iota(v.dtype, v.shape, v.ndim - 1)
  threshold = (jnp.cumsum(largest_first, axis=-1) - total) / count
  # The condition holds for a prefix, so that its length gives the last index.
  support = jnp.sum(largest_first > threshold, axis=-1, keepdims=True)
  # A row with a NaN has no support; index 0 keeps it NaN.
  last = jnp.maximum(support - 1, 0)
  tau = jnp.take_along_axis(threshold, last, axis=-1)
  # Not jnp.maximum, whose derivative at the corner is a half.
  return jnp.where(v <= tau, 0, v - tau)


def shift_clamp(v: ArrayLike, total: ArrayLike = 1.0) -> Array:
  """Shift to the sum, then clamp at zero: what the code of ARML does.

  Adds (total - sum v) / K to every entry and replaces what is still negative
  by 0. Equal to `project` while nothing is negative; otherwise the sum of the
  result exceeds `total`.

  Args:
    v: float [..., K], K >= 1; below float32 it is widened to float32.
    total: sum that is aimed at, a scalar > 0, which may be traced.

  Returns:
    [..., K] along the last axis.

  Raises:
    ValueError: as of `project`.
  """
  v, total = _checked(v, total)
  v = v + (total - jnp.sum(v, axis=-1, keepdims=True)) / v.shape[-1]
  return jnp.where(v <= 0, 0, v)


def _checked(v: ArrayLike, total: ArrayLike) -> tuple[Array, Array]:
  """Both arguments as arrays of one floating dtype."""
  dtype, shape = jnp.result_type(v), jnp.shape(v)
  if not jnp.issubdtype(dtype, jnp.floating) or 0 in (shape or (0,)):
    raise ValueError(
      f"v is {_describe(v)}, expected floats [..., K] with K >= 1."
    )
  if np.ndim(total) != 0:
    raise ValueError(f"total is {_describe(total)}, expected a scalar.")
  if isinstance(total, numbers.Real) and not 0 < total < math.inf:
    raise ValueError(f"total={total!r} is not a finite number > 0.")
  dtype = jnp.promote_types(dtype, jnp.float32)
  # Reals are weakly typed, so that a Python number takes the dtype of v.
  return jnp.asarray(v, dtype), jnp.asarray(total, dtype)


def _describe(x: ArrayLike) -> str:
  return f"{np.result_type(x)}{list(np.shape(x))}"
