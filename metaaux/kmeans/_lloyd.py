"""Lloyd's iteration for all partitions of k-means, empty clusters re-seeded.

Names as in `kmeans._rows`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from metaaux.kmeans import _rows as base

Array = jax.Array


class Clusters(NamedTuple):
  """What the mean step needs: sums [T, K, D] and sizes [T, K] of clusters."""

  sum_TxKxD: Array
  size_TxK: Array


class _State(NamedTuple):
  c_TxKxD: Array
  done_T: Array
  num_iters_T: Array
  i: Array


def lloyd(
  rows: base.Rows,
  c_TxKxD: Array,
  num_iters: Array,
  limit_T: Array,
  noise_T: Array,
) -> tuple[Array, Array]:
  """Iterates until each partition is done.

  Args:
    rows: what to cluster.
    c_TxKxD: first centroids, shifted.
    num_iters: int, most iterations.
    limit_T: a partition is done when its centroids moved by no more than this
      in an iteration, sum of squares.
    noise_T: squared distances up to this are taken as 0 by re-seeding.

  Returns:
    Centroids, shifted, and the number of iterations [T].
  """

  def going(state: _State) -> Array:
    return (state.i < num_iters) & ~jnp.all(state.done_T)

  def step(state: _State) -> _State:
    clusters = assign_and_sum(rows, state.c_TxKxD)
    clusters = _reseed(rows, state.c_TxKxD, clusters, noise_T)
    new_TxKxD = means(clusters, state.c_TxKxD)
    # A partition that is done stays as it is, as if it had run alone.
    done_Tx1x1 = state.done_T[:, None, None]
    new_TxKxD = jnp.where(done_Tx1x1, state.c_TxKxD, new_TxKxD)
    moved_T = _moved(rows, state.c_TxKxD, new_TxKxD)
    return _State(
      new_TxKxD,
      state.done_T | (moved_T <= limit_T),
      state.num_iters_T + ~state.done_T,
      state.i + 1,
    )

  t = len(c_TxKxD)
  done_T, zero_T = jnp.zeros(t, bool), jnp.zeros(t, jnp.int32)
  first = _State(c_TxKxD, done_T, zero_T, jnp.int32(0))
  last = lax.while_loop(going, step, first)
  return last.c_TxKxD, last.num_iters_T


def _moved(rows: base.Rows, old_TxKxD: Array, new_TxKxD: Array) -> Array:
  change_TxKxD = new_TxKxD - old_TxKxD
  square_Tx1xD = rows.square_TxD[:, None, :]
  return jnp.sum(square_Tx1xD * change_TxKxD * change_TxKxD, axis=(1, 2))


def means(clusters: Clusters, otherwise_TxKxD: Array) -> Array:
  """Centroids [T, K, D]: means of clusters; an empty one keeps its own."""
  size_TxKx1 = clusters.size_TxK[:, :, None]
  mean_TxKxD = clusters.sum_TxKxD / jnp.maximum(size_TxKx1, 1)
  return jnp.where(size_TxKx1 > 0, mean_TxKxD, otherwise_TxKxD)


def assign_and_sum(rows: base.Rows, c_TxKxD: Array) -> Clusters:
  """Assigns each row to its nearest centroid and sums the clusters."""
  t, k, _ = c_TxKxD.shape
  scores = base.scorer(rows.square_TxD, c_TxKxD)

  def body(chunk: base.Chunk, clusters: Clusters) -> Clusters:
    index_TxB = base.nearest(scores, chunk.z_BxD)
    index_TxB = jnp.where(chunk.own_B[None, :], index_TxB, k)  # k is dropped
    return sum_clusters(clusters, chunk.z_BxD, index_TxB)

  empty = Clusters(
    base.zeros(rows, c_TxKxD.shape), base.zeros(rows, (t, k), jnp.int32)
  )
  return base.total(base.over_chunks(rows, body, empty), rows)


def sum_clusters(
  clusters: Clusters, z_BxD: Array, index_TxB: Array
) -> Clusters:
  """Adds rows to the clusters they are in; those of index K are dropped."""

  # Partition by partition: one scatter of all would repeat the rows.
  def add(p: Array, clusters: Clusters) -> Clusters:
    sum_TxKxD, size_TxK = clusters
    index_B = index_TxB[p]
    return Clusters(
      sum_TxKxD.at[p, index_B].add(z_BxD, mode="drop"),
      size_TxK.at[p, index_B].add(1, mode="drop"),
    )

  return lax.fori_loop(0, len(index_TxB), add, clusters)


def assign(rows: base.Rows, c_TxKxD: Array) -> tuple[Array, Array]:
  """Cluster [T, N] of each row of this device; inertia [T] of all devices."""
  scores = base.scorer(rows.square_TxD, c_TxKxD)

  def body(
    chunk: base.Chunk, carry: tuple[Array, Array]
  ) -> tuple[Array, Array]:
    index_TxN, inertia_T = carry
    index_TxB = base.nearest(scores, chunk.z_BxD)
    far_TxB = base.distances(rows, c_TxKxD, chunk.z_BxD, index_TxB)
    inertia_T += jnp.sum(jnp.where(chunk.own_B[None, :], far_TxB, 0), axis=1)
    return (
      lax.dynamic_update_slice_in_dim(index_TxN, index_TxB, chunk.start, 1),
      inertia_T,
    )

  t, n = len(c_TxKxD), len(rows.x_NxD)
  index_TxN = base.zeros(rows, (t, n), jnp.int32)
  empty = index_TxN, base.zeros(rows, (t,))
  index_TxN, inertia_T = base.over_chunks(rows, body, empty)
  return index_TxN, base.total(inertia_T, rows)


def _reseed(
  rows: base.Rows, c_TxKxD: Array, clusters: Clusters, noise_T: Array
) -> Clusters:
  """Gives each empty cluster one of the rows that are farthest from theirs.

  The farthest row goes to the first empty cluster, the next to the second; each
  leaves its old cluster. The distance of a row becomes 0 and means are the best
  centroids of what is left, so inertia falls.
  """

  def one(args: tuple[Array, ...]) -> Clusters:
    square_D, c_KxD, sum_KxD, size_K, noise = args
    alone = rows._replace(square_TxD=square_D[None])
    return lax.cond(
      jnp.any(size_K == 0),
      lambda: _reseed_one(alone, c_KxD, Clusters(sum_KxD, size_K), noise),
      lambda: Clusters(sum_KxD, size_K),
    )

  # One after another: only those with an empty cluster cost time, and memory
  # is that of one.
  return lax.map(one, (rows.square_TxD, c_TxKxD, *clusters, noise_T))


def _reseed_one(
  rows: base.Rows, c_KxD: Array, clusters: Clusters, noise: Array
) -> Clusters:
  """`_reseed` of one partition, [K, D] and [K]."""
  sum_KxD, size_K = clusters
  z_ExD, index_E, far_E = _farthest(rows, c_KxD)
  e, k = len(far_E), len(size_K)
  empty_K = size_K == 0
  rank_K = jnp.minimum(jnp.cumsum(empty_K) - empty_K, e - 1)
  enough_K = jnp.cumsum(empty_K) <= e
  fill_K = empty_K & enough_K & (far_E[rank_K] > noise)
  z_KxD = z_ExD[rank_K]
  sum_KxD = jnp.where(fill_K[:, None], z_KxD, sum_KxD)
  size_K = jnp.where(fill_K, 1, size_K)
  old_K = jnp.where(fill_K, index_E[rank_K], k)  # k is dropped
  return Clusters(
    sum_KxD.at[old_K].add(-z_KxD, mode="drop"),
    size_K.at[old_K].add(-1, mode="drop"),
  )


def _farthest(rows: base.Rows, c_KxD: Array) -> tuple[Array, Array, Array]:
  """Rows [E, D] farthest from their centroid, their clusters and distances.

  Farthest first; E is the number of clusters, or of rows if that is less.
  """
  scores = base.scorer(rows.square_TxD, c_KxD[None])

  def body(
    chunk: base.Chunk, carry: tuple[Array, Array]
  ) -> tuple[Array, Array]:
    index_N, far_N = carry
    index_1xB = base.nearest(scores, chunk.z_BxD)
    far_1xB = base.distances(rows, c_KxD[None], chunk.z_BxD, index_1xB)
    start = chunk.start
    return (
      lax.dynamic_update_slice_in_dim(index_N, index_1xB[0], start, 0),
      lax.dynamic_update_slice_in_dim(far_N, far_1xB[0], start, 0),
    )

  n, k = len(rows.x_NxD), len(c_KxD)
  empty = base.zeros(rows, (n,), jnp.int32), base.zeros(rows, (n,))
  index_N, far_N = base.over_chunks(rows, body, empty)
  far_E, row_E = lax.top_k(far_N, min(k, n))
  if rows.axis_name is None:
    return base.take(rows, row_E), index_N[row_E], far_E
  # The farthest of the farthest of each device, which are in order of devices.
  row_E = row_E + base.device(rows) * n
  far_VE = base.gather(far_E, rows).reshape(-1)
  row_VE = base.gather(row_E, rows).reshape(-1)
  index_VE = base.gather(index_N[row_E % n], rows).reshape(-1)
  far_E, best_E = lax.top_k(far_VE, min(k, len(far_VE)))
  return base.take(rows, row_VE[best_E]), index_VE[best_E], far_E
