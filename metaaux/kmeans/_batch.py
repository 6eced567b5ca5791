"""Mini-batch k-means: centroids as running means of the rows drawn so far.

Sculley 2010, "Web-scale k-means clustering". Names as in `kmeans._rows`, B is
the rows of a batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from metaaux.kmeans import _rows as base
from metaaux.kmeans._lloyd import Clusters, sum_clusters

Array = jax.Array
# A cluster is re-seeded if it has less than this share of the largest one's
# rows, each time that so many rows for each cluster have gone by.
_SMALL_SHARE, _ROWS_BETWEEN = 0.01, 10


class _State(NamedTuple):
  c_TxKxD: Array
  size_TxK: Array  # rows seen so far
  inertia_T: Array  # of a row, smoothed
  best_T: Array  # its least value
  waited_T: Array  # steps since
  num_steps_T: Array
  i: Array


def sample(key: Array, rows: base.Rows, size: int) -> base.Rows:
  """Some rows of this device, drawn with replacement; all if `size` is no less.

  Args:
    key: a key, the same on all devices.
    rows: what to draw from.
    size: how many, on each device.
  """
  n = len(rows.x_NxD)
  if size >= n:
    return rows
  key = jax.random.fold_in(key, base.device(rows))
  x_SxD = rows.x_NxD[jax.random.randint(key, (size,), 0, n)]
  return rows._replace(x_NxD=x_SxD, chunk=min(size, rows.chunk))


def run(
  key: Array,
  rows: base.Rows,
  c_TxKxD: Array,
  num_steps: Array,
  patience: Array,
  batch_size: int,
) -> tuple[Array, Array]:
  """Takes steps until the inertia of no partition gets better.

  Args:
    key: a key, the same on all devices.
    rows: what to cluster.
    c_TxKxD: first centroids, shifted.
    num_steps: int, most steps.
    patience: int, steps without a new least smoothed inertia to stop after.
    batch_size: rows a step, on each device.

  Returns:
    Centroids, shifted, and the number of steps [T].
  """
  t, k, _ = c_TxKxD.shape
  total = batch_size * base.num_devices(rows)
  weight = min(1.0, 2 * total / (base.count(rows) + 1))
  every = -(-_ROWS_BETWEEN * k // total)

  def going(state: _State) -> Array:
    return (state.i < num_steps) & jnp.any(state.waited_T < patience)

  def step(state: _State) -> _State:
    # All of a batch are read, also where there are no more rows than that.
    batch = sample(jax.random.fold_in(key, state.i), rows, batch_size)
    z_BxD = base.shifted(rows, batch.x_NxD)
    clusters, inertia_T = _batch(rows, state.c_TxKxD, z_BxD)
    size_TxK = state.size_TxK + clusters.size_TxK
    c_TxKxD = _running_means(state.c_TxKxD, size_TxK, clusters)
    c_TxKxD, size_TxK = lax.cond(
      (state.i + 1) % every == 0,
      lambda: _reseed(rows, c_TxKxD, size_TxK, z_BxD),
      lambda: (c_TxKxD, size_TxK),
    )
    inertia_T /= total
    smooth_T = state.inertia_T + weight * (inertia_T - state.inertia_T)
    smooth_T = jnp.where(state.i == 0, inertia_T, smooth_T)
    better_T = smooth_T < state.best_T
    new = _State(
      c_TxKxD,
      size_TxK,
      smooth_T,
      jnp.minimum(smooth_T, state.best_T),
      jnp.where(better_T, 0, state.waited_T + 1),
      state.num_steps_T + 1,
      state.i,
    )
    # A partition that is done stays as it is, as if it had run alone.
    going_T = state.waited_T < patience
    keep = jax.vmap(lambda going, a, b: jnp.where(going, a, b))
    kept = jax.tree.map(lambda a, b: keep(going_T, a, b), new[:-1], state[:-1])
    return _State(*kept, state.i + 1)

  dtype = c_TxKxD.dtype
  first = _State(
    c_TxKxD,
    jnp.zeros((t, k), jnp.int32),
    jnp.zeros(t, dtype),
    jnp.full(t, jnp.inf, dtype),
    jnp.zeros(t, jnp.int32),
    jnp.zeros(t, jnp.int32),
    jnp.int32(0),
  )
  last = lax.while_loop(going, step, first)
  return last.c_TxKxD, last.num_steps_T


def _batch(
  rows: base.Rows, c_TxKxD: Array, z_BxD: Array
) -> tuple[Clusters, Array]:
  """Clusters of a batch of all devices, and its inertia [T]."""
  index_TxB = base.nearest(base.scorer(rows.square_TxD, c_TxKxD), z_BxD)
  far_TxB = base.distances(rows, c_TxKxD, z_BxD, index_TxB)
  empty = Clusters(
    base.zeros(rows, c_TxKxD.shape),
    base.zeros(rows, c_TxKxD.shape[:2], jnp.int32),
  )
  clusters = sum_clusters(empty, z_BxD, index_TxB)
  return base.total((clusters, jnp.sum(far_TxB, axis=1)), rows)


def _running_means(
  c_TxKxD: Array, size_TxK: Array, clusters: Clusters
) -> Array:
  """Centroids moved so far that each is the mean of the rows it has seen."""
  own_TxKxD = clusters.size_TxK[:, :, None] * c_TxKxD
  change_TxKxD = clusters.sum_TxKxD - own_TxKxD
  return c_TxKxD + change_TxKxD / jnp.maximum(size_TxK, 1)[:, :, None]


def _reseed(
  rows: base.Rows, c_TxKxD: Array, size_TxK: Array, z_BxD: Array
) -> tuple[Array, Array]:
  """Moves centroids of few rows to rows of the first device's batch.

  At most half of the batch is used. A centroid that has moved gets the size of
  the smallest one that has not, so that it does not move again at once.
  """
  most = max(1, len(z_BxD) // 2)
  z_ExD = jnp.where(base.device(rows) == 0, z_BxD[:most], 0)
  z_ExD = base.total(z_ExD, rows)
  largest_Tx1 = jnp.max(size_TxK, axis=1, keepdims=True)
  small_TxK = size_TxK < _SMALL_SHARE * largest_Tx1
  rank_TxK = jnp.cumsum(small_TxK, axis=1) - 1
  small_TxK &= rank_TxK < most
  size_Tx1 = jnp.min(
    jnp.where(small_TxK, largest_Tx1, size_TxK), axis=1, keepdims=True
  )
  place_TxK = jnp.clip(rank_TxK, 0, most - 1)
  c_TxKxD = jnp.where(small_TxK[:, :, None], z_ExD[place_TxK], c_TxKxD)
  return c_TxKxD, jnp.where(small_TxK, size_Tx1, size_TxK)
