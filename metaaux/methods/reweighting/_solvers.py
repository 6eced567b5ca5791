"""Quadratic minimisation over the scaled simplex, for a handful of weights.

An active-set method in units in which every gradient has length 1: lengths that
differ by orders of magnitude, to which methods that go down a slope are blind,
cost it nothing. In names, C is the matrix and a the row of the one equation in
these units.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from metaaux.methods.reweighting._core import Array
from metaaux.methods.reweighting._products import matmul

# In terms of the rounding of a sum of K numbers: what ends the refinement, and
# what counts as optimal.
_TIGHT, _ACCEPTED = 8, 200
_REFINEMENTS = 30


class Solution(NamedTuple):
  """Where a minimisation has ended.

  Attributes:
    weight_K: the weights, NaN where they are not optimal.
    optimal: bool, whether the conditions of an optimum hold, each in terms of
      what is added up in it.
    steps: int32, linear systems solved.
  """

  weight_K: Array
  optimal: Array
  steps: Array


def minimise(
  products_KxK: Array,
  slope_K: Array,
  start_K: Array,
  total: ArrayLike = 1.0,
) -> Solution:
  """argmin w^T A w - 2 b^T w over {w >= 0, sum w = total}, exactly.

  With v_k = ||g_k|| w_k and ||g_k||^2 the diagonal of A, the matrix has a
  diagonal of ones. A face of the simplex is minimised over by one linear
  system; the face changes until no weight is negative and no other one wants to
  grow. The matrix may be singular: a small multiple of the identity is added
  together with its pull to the point before, until that makes no difference
  (proximal point iteration). Of equally good weights it finds those next to
  `start_K` in these units.

  Args:
    products_KxK: A, positive semidefinite but for rounding. A weight whose
      diagonal is 0 is measured like that of the shortest gradient.
    slope_K: b.
    start_K: where to start, >= 0, not all 0; entries of 0 are taken as likely
      to stay so.
    total: what the weights sum to, > 0.

  Returns:
    The solution.
  """
  C, q_K, unit_K, total = _in_units(products_KxK, slope_K, total)
  start_K = start_K / (unit_K * total)
  start_K = start_K / jnp.sum(unit_K * start_K)
  rounding = len(q_K) * jnp.finfo(C.dtype).eps
  # What rounding has made of zero eigenvalues may be below zero.
  lowest = jnp.minimum(jnp.linalg.eigvalsh(C)[0], 0)
  # Linear systems lose half of the digits at most, which refinement wins back.
  added = jnp.sqrt(jnp.finfo(C.dtype).eps) - 2 * lowest
  strict = C + added * jnp.eye(len(q_K), dtype=C.dtype)

  def unfinished(carry: tuple) -> Array:
    *_, excess, _, count = carry
    # A NaN ends it too.
    return (excess > _TIGHT * rounding) & (count < _REFINEMENTS)

  def refine(carry: tuple) -> tuple:
    v_K, inside_K, _, steps, count = carry
    # In terms of the change, whose rounding fades with it.
    rest_K = q_K - matmul(C, v_K) + _level(C, q_K, unit_K, v_K) * unit_K
    v_K, inside_K, more = _over_faces(strict, rest_K, unit_K, v_K, inside_K)
    excess = _violation(C, q_K, unit_K, v_K)
    return v_K, inside_K, excess, steps + more, count + 1

  zero = jnp.zeros_like(lowest, jnp.int32)
  carry = start_K, start_K > 0, zero + jnp.asarray(jnp.inf, C.dtype), zero, zero
  v_K, _, excess, steps, _ = jax.lax.while_loop(unfinished, refine, carry)
  optimal = excess <= _ACCEPTED * rounding
  weight_K = v_K * unit_K
  weight_K = weight_K / jnp.sum(weight_K) * total
  return Solution(jnp.where(optimal, weight_K, jnp.nan), optimal, steps)


def _in_units(
  products_KxK: Array, slope_K: Array, total: ArrayLike
) -> tuple[Array, Array, Array, Array]:
  """C, q, a and the total: argmin v^T C v - 2 q^T v, a^T v = 1, v >= 0.

  Weights are v a total, and 1 is the greatest of a.
  """
  total = jnp.asarray(total, products_KxK.dtype)
  square_K = jnp.diagonal(products_KxK)
  length_K = jnp.sqrt(jnp.maximum(square_K, 0))
  has_K = length_K > 0
  shortest = jnp.min(jnp.where(has_K, length_K, jnp.inf))
  shortest = jnp.where(jnp.any(has_K), shortest, 1)
  length_K = jnp.where(has_K, length_K, shortest)
  C = products_KxK / length_K[:, None] / length_K[None]
  q_K = slope_K / length_K / (shortest * total)
  return C, q_K, shortest / length_K, total


def _over_faces(
  matrix: Array, q_K: Array, unit_K: Array, from_K: Array, inside_K: Array
) -> tuple[Array, Array, Array]:
  """The minimiser of a strictly convex problem, its face, systems solved.

  Args:
    matrix: M, positive definite.
    q_K: q; the problem is d^T M d / 2 - q^T d for the change d = v - from.
    unit_K: a.
    from_K: a point with a^T v = 1, v >= 0.
    inside_K: bool, which entries may differ from 0 at first.
  """
  num = len(q_K)
  tolerance = num * jnp.finfo(matrix.dtype).eps
  most = 4 * num + 20

  def unfinished(carry: tuple) -> Array:
    *_, done, count = carry
    return ~done & (count < most)

  def step(carry: tuple) -> tuple:
    v_K, inside_K, _, count = carry
    best_K, level = _best_of_face(matrix, q_K, unit_K, from_K, inside_K)
    out_K = inside_K & (best_K <= 0)
    blocked = jnp.any(out_K)
    # As far as the first weight that would be negative.
    gap_K = jnp.where(v_K > 0, v_K - best_K, 1)
    part_K = jnp.where(out_K, v_K / gap_K, jnp.inf)
    part = jnp.min(part_K)
    moved_K = v_K + jnp.minimum(part, 1) * (best_K - v_K)
    left_K = inside_K & ~(out_K & (part_K <= part))
    moved_K = jnp.where(left_K, jnp.maximum(moved_K, 0), 0)
    v_K = jnp.where(blocked, moved_K, best_K)
    # At the best point of a face: does a weight outside want to grow?
    change_K = v_K - from_K
    rest_K, size_K = _residual(matrix, q_K, unit_K, change_K, level)
    wants_K = jnp.where(inside_K, 0, -rest_K - tolerance * size_K)
    first = jnp.argmax(wants_K / unit_K)
    grows = wants_K[first] > 0
    entered_K = inside_K | (grows & (jnp.arange(num) == first))
    inside_K = jnp.where(blocked, left_K, entered_K)
    return v_K, inside_K, ~blocked & ~grows, count + 1

  no = jnp.zeros_like(inside_K[0])
  carry = from_K, inside_K, no, no.astype(jnp.int32)
  v_K, inside_K, _, count = jax.lax.while_loop(unfinished, step, carry)
  return v_K, inside_K, count


def _best_of_face(
  matrix: Array, q_K: Array, unit_K: Array, from_K: Array, inside_K: Array
) -> tuple[Array, Array]:
  """The minimiser with zeros outside, of any sign, and its multiplier."""
  pairs = inside_K[:, None] & inside_K[None]
  system = jnp.where(pairs, matrix, jnp.diag(1 - inside_K.astype(q_K.dtype)))
  # Outside the change is that to zero.
  fixed_K = jnp.where(inside_K, 0, -from_K)
  right_Kx2 = jnp.stack([unit_K, q_K - matmul(matrix, fixed_K)], axis=1)
  right_Kx2 = jnp.where(inside_K[:, None], right_Kx2, 0)
  factor = jax.scipy.linalg.cho_factor(system)
  found_Kx2 = jax.scipy.linalg.cho_solve(factor, right_Kx2)
  error_Kx2 = right_Kx2 - matmul(system, found_Kx2)
  found_Kx2 += jax.scipy.linalg.cho_solve(factor, error_Kx2)
  u_K, p_K = found_Kx2.T
  # The change keeps the sum.
  owed = -jnp.sum(unit_K * fixed_K) - jnp.sum(unit_K * p_K)
  level = owed / jnp.sum(unit_K * u_K)
  change_K = p_K + level * u_K
  return jnp.where(inside_K, from_K + change_K, 0), level


def _residual(
  matrix: Array, q_K: Array, unit_K: Array, v_K: Array, level: Array
) -> tuple[Array, Array]:
  """M v - q - level a, and the sum of the absolute values of its parts."""
  rest_K = matmul(matrix, v_K) - q_K - level * unit_K
  size_K = matmul(jnp.abs(matrix), jnp.abs(v_K)) + jnp.abs(q_K)
  return rest_K, size_K + jnp.abs(level) * unit_K


def _level(C: Array, q_K: Array, unit_K: Array, v_K: Array) -> Array:
  """The multiplier that fits the slopes of all weights > 0 best."""
  slope_K = matmul(C, v_K) - q_K
  support_K = jnp.where(v_K > 0, unit_K, 0)
  return jnp.sum(support_K * slope_K) / jnp.sum(support_K**2)


def _violation(C: Array, q_K: Array, unit_K: Array, v_K: Array) -> Array:
  """By how much the conditions of an optimum are missed, relatively."""
  level = _level(C, q_K, unit_K, v_K)
  rest_K, size_K = _residual(C, q_K, unit_K, v_K, level)
  missed_K = jnp.where(v_K > 0, jnp.abs(rest_K), jnp.maximum(-rest_K, 0))
  # Where all parts are zero in theory, rounding must not be all of them.
  largest = jnp.maximum(jnp.max(size_K), jnp.max(v_K))
  least = jnp.sqrt(jnp.finfo(C.dtype).eps) * largest
  return jnp.max(missed_K / jnp.maximum(size_K, least))
