"""Passes of k-means over its rows, a chunk at a time and over all devices.

Rows are seen as z = x - shift, with one shift for all, near the mean: distances
are the same and lose fewer digits. A scaling s is never applied to the rows:
|s z - s c|^2 = |s z|^2 - 2 (score), where score = (s^2 c) z - |s c|^2 / 2, so
that the nearest centroid is the one of highest score, and the scores of all
partitions are one matrix product. In names, T is partitions, K clusters,
B the rows of a chunk, N those of this device.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
Tree = Any


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
    shift_D: subtracted from each row.
    square_TxD: squares of the scalings, the weights of squared differences.
    chunk: rows taken at a time, a Python int.
    axis_name: device axis over which rows are spread, or None.
  """

  x_NxD: Array
  shift_D: Array
  square_TxD: Array
  chunk: int
  axis_name: str | None

  @property
  def num_chunks(self) -> int:
    """Chunks of this device; the last one overlaps the one before."""
    return -(-len(self.x_NxD) // self.chunk)


def make_rows(
  x_NxD: Array, scale_TxD: Array, chunk: int, axis_name: str | None
) -> tuple[Rows, Array]:
  """Returns the rows, and the variance of each of their columns, [D]."""
  dtype = scale_TxD.dtype
  chunk = min(chunk, len(x_NxD))
  zero_D = jnp.zeros(x_NxD.shape[1], dtype)
  rows = Rows(x_NxD, zero_D, scale_TxD * scale_TxD, chunk, axis_name)
  mean_D = _mean(rows, lambda z: z)
  variance_D = _mean(rows._replace(shift_D=mean_D), lambda z: z * z)
  # A shift of few digits takes none from the rows: what is a tie between two
  # centroids stays one. The part of the mean that is left is below a deviation.
  _, exponent_D = jnp.frexp(jnp.sqrt(variance_D))
  step_D = jnp.ldexp(jnp.ones_like(mean_D), exponent_D - 1)
  rounded_D = jnp.round(mean_D / step_D) * step_D
  exact_D = jnp.isfinite(rounded_D) & (variance_D > 0)
  shift_D = jnp.where(exact_D, rounded_D, mean_D)
  return rows._replace(shift_D=shift_D), variance_D


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
  x_KxD = rows.x_NxD[position_K % n].astype(rows.shift_D.dtype)
  own_K = position_K // n == device(rows)
  z_KxD = jnp.where(own_K[:, None], x_KxD - rows.shift_D[None, :], 0)
  return total(z_KxD, rows)


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
    z_BxD = x_BxD.astype(rows.shift_D.dtype) - rows.shift_D[None, :]
    own_B = start + jnp.arange(rows.chunk) >= i * rows.chunk
    return body(Chunk(i, start, z_BxD, own_B), carry)

  return lax.fori_loop(0, rows.num_chunks, step, init)


class Scorer(NamedTuple):
  """Centroids as a matrix to multiply by; cluster is the slower index."""

  weight_KTxD: Array
  half_KxTx1: Array


def scorer(square_TxD: Array, c_TxKxD: Array) -> Scorer:
  """Prepares centroids [T, K, D] for `nearest`."""
  weight_TxKxD = square_TxD[:, None, :] * c_TxKxD
  half_TxK = jnp.sum(weight_TxKxD * c_TxKxD, axis=-1) / 2
  weight_KTxD = weight_TxKxD.swapaxes(0, 1).reshape(-1, c_TxKxD.shape[-1])
  return Scorer(weight_KTxD, half_TxK.T[:, :, None])


def nearest(scores: Scorer, z_BxD: Array) -> Array:
  """Index [T, B] of the nearest centroid; of equally near ones the lowest.

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
    difference_BxD = z_BxD - c_KxD[index_B]
    return dot(difference_BxD * difference_BxD, square_D)

  return lax.map(one, (rows.square_TxD, c_TxKxD, index_TxB))
