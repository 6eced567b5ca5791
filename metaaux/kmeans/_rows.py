"""Passes of k-means over its rows, a chunk at a time and over all devices.

Rows are seen as z = unit x - shift, with one shift for all, near the mean:
distances are the same and lose fewer digits. A scaling s is never applied to
the rows: |s z - s c|^2 = |s z|^2 - 2 (score), where score = (s^2 c) z -
|s c|^2 / 2, so that the nearest centroid is the one of highest score, and the
scores of all partitions are one matrix product. In names, T is partitions, K
clusters, B the rows of a chunk, N those of this device.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from metaaux.losses import distances as distances_lib

Array = jax.Array
Tree = Any
# Numbers between 2^-30 and 2^30 are of ordinary size.
_ORDINARY = 30


class Chunk(NamedTuple):
  """Some rows: their place among those of this device.

  Attributes:
    number: 0, 1, ...
    start: first row.
    z_BxD: the rows, shifted.
    own_B: whether a row is not in the chunk before already.
  """

  number: Array
  start: Array
  z_BxD: Array
  own_B: Array


Body = Callable[[Chunk, Tree], Tree]


class Rows(NamedTuple):
  """The rows to cluster, in the coordinates of all partitions.

  Attributes:
    x_NxD: rows of this device, in the precision they came in.
    shift_D: subtracted from each row, in the units below.
    square_TxD: squares of the scalings, the weights of squared differences.
    unit_D: powers of two by which columns are multiplied, so that no square
      over- or underflows; 1 where numbers are of ordinary size.
    chunk: rows taken at a time, a Python int.
    axis_name: device axis over which rows are spread, or None.
  """

  x_NxD: Array
  shift_D: Array
  square_TxD: Array
  unit_D: Array
  chunk: int
  axis_name: str | None

  @property
  def num_chunks(self) -> int:
    """Chunks of this device; the last one overlaps the one before."""
    return -(-len(self.x_NxD) // self.chunk)


def make_rows(
  x_NxD: Array, scale_TxD: Array, chunk: int, axis_name: str | None
) -> tuple[Rows, Array, Array]:
  """Returns the rows, the variance of their columns, and a unit [T].

  Squared distances are to be multiplied by the square of the last.
  """
  dtype = scale_TxD.dtype
  chunk = min(chunk, len(x_NxD))
  zero_D = jnp.zeros(x_NxD.shape[1], dtype)
  rows = Rows(
    x_NxD, zero_D, scale_TxD * scale_TxD, zero_D + 1, chunk, axis_name
  )
  unit_D = _power_of_two(_largest(rows))
  scale_TxD = scale_TxD / unit_D[None, :]
  unit_T = 1 / _power_of_two(jnp.max(jnp.abs(scale_TxD), axis=1))
  scale_TxD = scale_TxD / unit_T[:, None]
  rows = rows._replace(unit_D=unit_D, square_TxD=scale_TxD * scale_TxD)
  mean_D = _mean(rows, lambda z: z)
  variance_D = _mean(rows._replace(shift_D=mean_D), lambda z: z * z)
  # A shift of few digits takes none from the rows: what is a tie between two
  # centroids stays one. The part of the mean that is left is below a deviation.
  _, exponent_D = jnp.frexp(jnp.sqrt(variance_D))
  step_D = jnp.ldexp(jnp.ones_like(mean_D), exponent_D - 1)
  rounded_D = jnp.round(mean_D / step_D) * step_D
  exact_D = jnp.isfinite(rounded_D) & (variance_D > 0)
  shift_D = jnp.where(exact_D, rounded_D, mean_D)
  return rows._replace(shift_D=shift_D), variance_D, unit_T


def _power_of_two(largest: Array) -> Array:
  """What makes numbers of extreme size about 1, and 1 for all others.

  Multiplying by it rounds nothing.
  """
  _, exponent = jnp.frexp(largest)
  extreme = (jnp.abs(exponent) > _ORDINARY) & (largest > 0)
  extreme &= jnp.isfinite(largest)
  return jnp.ldexp(jnp.ones_like(largest), jnp.where(extreme, -exponent, 0))


def _largest(rows: Rows) -> Array:
  """Largest absolute value of each column, over all rows."""

  def body(chunk: Chunk, largest_D: Array) -> Array:
    return jnp.maximum(largest_D, jnp.max(jnp.abs(chunk.z_BxD), axis=0))

  largest_D = over_chunks(rows, body, zeros(rows, rows.shift_D.shape))
  if rows.axis_name is None:
    return largest_D
  return jnp.max(gather(largest_D, rows), axis=0)


def _mean(rows: Rows, function: Callable[[Array], Array]) -> Array:
  """Mean over all rows of a function [B, D] -> [B, D]."""

  def body(chunk: Chunk, sum_D: Array) -> Array:
    own_BxD = jnp.broadcast_to(chunk.own_B[:, None], chunk.z_BxD.shape)
    return sum_D + jnp.sum(function(chunk.z_BxD), 0, where=own_BxD)

  sum_D = over_chunks(rows, body, zeros(rows, rows.shift_D.shape))
  return total(sum_D, rows) / count(rows)


def count(rows: Rows) -> int:
  """Number of rows on all devices."""
  return len(rows.x_NxD) * num_devices(rows)


def num_devices(rows: Rows) -> int:
  """Devices over which rows are spread."""
  return 1 if rows.axis_name is None else lax.psum(1, rows.axis_name)


def device(rows: Rows) -> Array:
  """Position of this device among them."""
  if rows.axis_name is None:
    return jnp.int32(0)
  return lax.axis_index(rows.axis_name)


def total(tree: Tree, rows: Rows) -> Tree:
  """Sum over devices."""
  return tree if rows.axis_name is None else lax.psum(tree, rows.axis_name)


def gather(x: Array, rows: Rows) -> Array:
  """All devices' arrays [...], the same [devices, ...] on each.

  A sum, since the result of `all_gather` does not count as the same.
  """
  empty = jnp.zeros((num_devices(rows), *x.shape), x.dtype)
  return total(empty.at[device(rows)].set(x), rows)


def take(rows: Rows, position_K: Array) -> Array:
  """Rows [K, D], shifted, at positions [K] counted over all devices."""
  n = len(rows.x_NxD)
  own_K = position_K // n == device(rows)
  z_KxD = shifted(rows, rows.x_NxD[position_K % n])
  z_KxD = jnp.where(own_K[:, None], z_KxD, 0)
  return total(z_KxD, rows)


def shifted(rows: Rows, x: Array) -> Array:
  """Rows or centroids [..., D] as the passes see them."""
  shape = (1,) * (x.ndim - 1) + rows.shift_D.shape
  x = x.astype(rows.shift_D.dtype) * rows.unit_D.reshape(shape)
  return x - rows.shift_D.reshape(shape)


def as_given(rows: Rows, c: Array) -> Array:
  """Centroids [..., D] in the space of the rows that were given."""
  shape = (1,) * (c.ndim - 1) + rows.shift_D.shape
  return (c + rows.shift_D.reshape(shape)) / rows.unit_D.reshape(shape)


def zeros(rows: Rows, shape: tuple[int, ...], dtype: Any = None) -> Array:
  """Zeros that differ from device to device as far as `shard_map` knows."""
  dtype = dtype or rows.shift_D.dtype
  return jnp.zeros(shape, dtype) + jnp.sum(rows.x_NxD[:0]).astype(dtype)


def over_chunks(rows: Rows, body: Body, init: Tree) -> Tree:
  """Folds `body` over the chunks of this device, without a copy of the rows.

  The last chunk starts early enough to be full; the rows it shares with the one
  before are not its own.
  """
  n = len(rows.x_NxD)

  def step(i: Array, carry: Tree) -> Tree:
    start = jnp.minimum(i * rows.chunk, n - rows.chunk)
    x_BxD = lax.dynamic_slice_in_dim(rows.x_NxD, start, rows.chunk)
    z_BxD = shifted(rows, x_BxD)
    own_B = start + jnp.arange(rows.chunk) >= i * rows.chunk
    return body(Chunk(i, start, z_BxD, own_B), carry)

  return lax.fori_loop(0, rows.num_chunks, step, init)


class Scorer(NamedTuple):
  """Centroids as a matrix to multiply by; cluster is the slower index.

  `close_T` says whether two centroids are so close, in terms of their distance
  from the shift, that rounding could take one for the other.
  """

  weight_KTxD: Array
  half_KxTx1: Array
  close_T: Array
  square_TxD: Array
  c_TxKxD: Array


def scorer(square_TxD: Array, c_TxKxD: Array) -> Scorer:
  """Prepares centroids [T, K, D] for `nearest`."""
  weight_TxKxD = square_TxD[:, None, :] * c_TxKxD
  half_TxK = jnp.sum(weight_TxKxD * c_TxKxD, axis=-1) / 2
  weight_KTxD = weight_TxKxD.swapaxes(0, 1).reshape(-1, c_TxKxD.shape[-1])
  close_T = lax.map(lambda args: _close(*args), (weight_TxKxD, c_TxKxD))
  half_KxTx1 = half_TxK.T[:, :, None]
  return Scorer(weight_KTxD, half_KxTx1, close_T, square_TxD, c_TxKxD)


def _close(weight_KxD: Array, c_KxD: Array) -> Array:
  """Whether two centroids are less than a share of their lengths apart.

  Scores are wrong by some units in the last place of the squared length; with
  distances above the share, that is some 1e-4 of them in float32.
  """
  product_KxK = dot(weight_KxD, c_KxD.T)
  length_K = jnp.diagonal(product_KxK)
  apart_KxK = length_K[:, None] + length_K[None, :] - 2 * product_KxK
  longer_KxK = jnp.maximum(length_K[:, None], length_K[None, :])
  share = 32 * jnp.sqrt(jnp.finfo(c_KxD.dtype).eps)
  others = ~jnp.eye(len(c_KxD), dtype=bool)
  return jnp.any(others & (apart_KxK < share * longer_KxK))


def nearest(scores: Scorer, z_BxD: Array) -> Array:
  """Index [T, B] of the nearest centroid; of equally near ones the lowest.

  By scores, and by differences for a partition with close centroids.
  """
  index_TxB = _highest(scores, z_BxD)
  k = scores.c_TxKxD.shape[1]

  def one(args: tuple[Array, ...]) -> Array:
    index_B, close, square_D, c_KxD = args

    def body(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
      least_B, nearest_B = carry
      c_BxD = jnp.broadcast_to(c_KxD[j][None, :], z_BxD.shape)
      far_B = distances_lib.squared(z_BxD, c_BxD, square_D)
      better_B = far_B < least_B
      return (
        jnp.where(better_B, far_B, least_B),
        jnp.where(better_B, j, nearest_B),
      )

    # No turn at all where no two are close, also under `vmap`.
    turns = jnp.where(close, k, 0)
    start = jnp.full_like(z_BxD[:, 0], jnp.inf), index_B
    return lax.fori_loop(0, turns, body, start)[1]

  return lax.map(
    one, (index_TxB, scores.close_T, scores.square_TxD, scores.c_TxKxD)
  )


def _highest(scores: Scorer, z_BxD: Array) -> Array:
  """Index [T, B] of the highest score.

  The highest score so far goes over the clusters, all rows at a time and ten
  clusters a turn; XLA's `argmax` takes one number after another on a CPU.
  """
  k, t, _ = scores.half_KxTx1.shape
  product_KTxB = dot(scores.weight_KTxD, z_BxD.T)
  product_KxTxB = product_KTxB.reshape(k, t, -1)

  def body(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
    best_TxB, index_TxB = carry
    score_TxB = product_KxTxB[j] - scores.half_KxTx1[j]
    better_TxB = score_TxB > best_TxB
    return (
      jnp.where(better_TxB, score_TxB, best_TxB),
      jnp.where(better_TxB, j, index_TxB),
    )

  start_TxB = product_KxTxB[0] - scores.half_KxTx1[0]
  index_TxB = jnp.zeros_like(start_TxB, jnp.int32)
  start = start_TxB, index_TxB
  return lax.fori_loop(1, k, body, start, unroll=min(10, max(1, k - 1)))[1]


def dot(a: Array, b: Array) -> Array:
  """Matrix product in full precision, also where the default is a lower one."""
  return jnp.dot(a, b, precision=lax.Precision.HIGHEST)


def distances(
  rows: Rows, c_TxKxD: Array, z_BxD: Array, index_TxB: Array
) -> Array:
  """Squared scaled distance [T, B] of rows to their centroids, by difference.

  Unlike |z|^2 - 2 (score) it is right to the last digits where it is small.
  """

  def one(args: tuple[Array, Array, Array]) -> Array:
    square_D, c_KxD, index_B = args
    return distances_lib.squared(z_BxD, c_KxD[index_B], square_D)

  return lax.map(one, (rows.square_TxD, c_TxKxD, index_TxB))
