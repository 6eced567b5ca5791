"""First centroids of k-means: D^2 sampling, random rows.

Names as in `kmeans._rows`, M is the chunks of one device.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from metaaux.kmeans import _rows as base

Array = jax.Array
# In place of the distance of a row that is a centroid already, or is in the
# chunk before too.
_OUT = -1.0


def random_rows(keys_T: Array, rows: base.Rows, k: int) -> Array:
  """Distinct rows, each set of them as likely: centroids [T, k, D], shifted."""
  n = base.count(rows)
  position_TxK = jax.vmap(lambda key: _distinct(key, n, k))(keys_T)
  return lax.map(lambda position_K: base.take(rows, position_K), position_TxK)


def _distinct(key: Array, n: int, k: int) -> Array:
  """Distinct integers [K] below n, without shuffling all of them.

  Floyd's way: for i = n - k, ..., n - 1 take a random integer up to i, or i
  itself if that one has been taken before.
  """
  limit_K = jnp.arange(n - k, n, dtype=jnp.int32)
  drawn_K = jax.random.randint(key, (k,), 0, limit_K + 1, jnp.int32)

  def step(i: Array, taken_K: Array) -> Array:
    again = jnp.any(taken_K == drawn_K[i])
    return taken_K.at[i].set(jnp.where(again, limit_K[i], drawn_K[i]))

  return lax.fori_loop(0, k, step, jnp.full_like(limit_K, -1))


class _Sampling(NamedTuple):
  """Progress of `plus_plus`."""

  # Squared distance of each row to the nearest centroid so far, or _OUT.
  near_MxTxB: Array
  mass_MxT: Array  # sums of the distances of a chunk
  unused_MxT: Array  # how many rows of a chunk are not chosen
  c_KxTxD: Array


def plus_plus(keys_T: Array, rows: base.Rows, k: int) -> Array:
  """k-means++: a row is drawn with probability D^2 / (sum of D^2).

  Arthur & Vassilvitskii 2007, one candidate a draw; the first row is drawn
  uniformly. Where all D^2 are 0, an unused row is drawn uniformly.

  Args:
    keys_T: a key for each partition.
    rows: what to cluster.
    k: number of centroids.

  Returns:
    Centroids [T, k, D], shifted rows.
  """
  t, d = rows.square_TxD.shape
  uniform_TxK = jax.vmap(
    lambda key: jax.random.uniform(key, (k,), rows.shift_D.dtype)
  )(keys_T)
  norm_MxTxB, near_MxTxB = _start(rows)

  def step(j: Array, state: _Sampling) -> _Sampling:
    chosen = _draw(rows, state, uniform_TxK[:, j])
    z_TxD = base.take(rows, chosen.position_T)
    near_MxTxB, unused_MxT = _mark(rows, state, chosen)
    near_MxTxB, mass_MxT = _approach(rows, norm_MxTxB, near_MxTxB, z_TxD)
    c_KxTxD = state.c_KxTxD.at[j].set(z_TxD)
    return _Sampling(near_MxTxB, mass_MxT, unused_MxT, c_KxTxD)

  first = _Sampling(
    near_MxTxB,
    # No distance is known before the first draw, and none is used by it.
    mass_MxT=base.zeros(rows, near_MxTxB.shape[:2]),
    unused_MxT=jnp.sum(near_MxTxB >= 0, axis=2).astype(near_MxTxB.dtype),
    c_KxTxD=jnp.zeros((k, t, d), near_MxTxB.dtype),
  )
  return lax.fori_loop(0, k, step, first).c_KxTxD.swapaxes(0, 1)


def _start(rows: base.Rows) -> tuple[Array, Array]:
  """Squared scaled lengths of the rows, and infinity, or _OUT if not own."""

  def body(
    chunk: base.Chunk, carry: tuple[Array, Array]
  ) -> tuple[Array, Array]:
    norm_MxTxB, near_MxTxB = carry
    norm_TxB = base.dot(rows.square_TxD, (chunk.z_BxD * chunk.z_BxD).T)
    near_TxB = jnp.where(chunk.own_B[None, :], norm_TxB + jnp.inf, _OUT)
    return (
      norm_MxTxB.at[chunk.number].set(norm_TxB),
      near_MxTxB.at[chunk.number].set(near_TxB),
    )

  shape = (rows.num_chunks, len(rows.square_TxD), rows.chunk)
  empty = base.zeros(rows, shape)
  return base.over_chunks(rows, body, (empty, empty))


class _Chosen(NamedTuple):
  """A row for each partition, by its place and over all devices."""

  own_T: Array  # whether it is on this device
  chunk_T: Array
  index_T: Array  # in its chunk
  position_T: Array


def _draw(rows: base.Rows, state: _Sampling, uniform_T: Array) -> _Chosen:
  """Draws rows by their distances.

  By the inverse of the distribution function, first of the chunks of all
  devices, then of the rows of the chunk.
  """
  t = len(uniform_T)
  mass_VMxT = base.gather(state.mass_MxT, rows).reshape(-1, t)
  unused_VMxT = base.gather(state.unused_MxT, rows).reshape(-1, t)
  by_mass_T = jnp.sum(mass_VMxT, axis=0) > 0
  upto_VMxT = jnp.cumsum(
    jnp.where(by_mass_T[None, :], mass_VMxT, unused_VMxT), axis=0
  )
  # Just below the total, so that a chunk without mass is never the one.
  below = 1 - jnp.finfo(upto_VMxT.dtype).eps
  target_T = uniform_T * below * upto_VMxT[-1]
  chunk_T = jnp.sum(upto_VMxT <= target_T[None, :], axis=0)
  before_VMxT = jnp.pad(upto_VMxT, ((1, 0), (0, 0)))
  rest_T = target_T - before_VMxT[chunk_T, jnp.arange(t)]

  own_T = chunk_T // rows.num_chunks == base.device(rows)
  chunk_T = chunk_T % rows.num_chunks
  near_TxB = state.near_MxTxB[chunk_T, jnp.arange(t)]
  mass_TxB = jnp.where(
    by_mass_T[:, None], jnp.maximum(near_TxB, 0), near_TxB >= 0
  )
  hit_TxB = (jnp.cumsum(mass_TxB, 1) > rest_T[:, None]) & (mass_TxB > 0)
  # The two sums of a chunk may differ in the last digit: then its last row.
  last_T = rows.chunk - 1 - jnp.argmax(mass_TxB[:, ::-1] > 0, axis=1)
  index_T = jnp.where(jnp.any(hit_TxB, 1), jnp.argmax(hit_TxB, 1), last_T)
  n = len(rows.x_NxD)
  start_T = jnp.minimum(chunk_T * rows.chunk, n - rows.chunk)
  position_T = base.device(rows) * n + start_T + index_T
  position_T = base.total(jnp.where(own_T, position_T, 0), rows)
  return _Chosen(own_T, chunk_T, index_T, position_T)


def _mark(
  rows: base.Rows, state: _Sampling, chosen: _Chosen
) -> tuple[Array, Array]:
  """Takes chosen rows out of the draw: distances, counts of unused rows."""
  partition_T = jnp.arange(len(chosen.own_T))
  # Beyond the last chunk, which drops it, if on another device.
  chunk_T = jnp.where(chosen.own_T, chosen.chunk_T, rows.num_chunks)
  place = chunk_T, partition_T, chosen.index_T
  return (
    state.near_MxTxB.at[place].set(_OUT, mode="drop"),
    state.unused_MxT.at[place[:2]].add(-1, mode="drop"),
  )


def _approach(
  rows: base.Rows, norm_MxTxB: Array, near_MxTxB: Array, z_TxD: Array
) -> tuple[Array, Array]:
  """Distances after one more centroid, and their sums."""
  scores = base.scorer(rows.square_TxD, z_TxD[:, None, :])
  half_Tx1 = scores.half_KxTx1[0]

  def body(
    chunk: base.Chunk, carry: tuple[Array, Array]
  ) -> tuple[Array, Array]:
    near_MxTxB, mass_MxT = carry
    i = chunk.number
    score_TxB = base.dot(scores.weight_KTxD, chunk.z_BxD.T) - half_Tx1
    new_TxB = jnp.maximum(norm_MxTxB[i] - 2 * score_TxB, 0)
    near_TxB = jnp.minimum(near_MxTxB[i], new_TxB)
    mass_T = jnp.sum(jnp.maximum(near_TxB, 0), axis=1)
    return near_MxTxB.at[i].set(near_TxB), mass_MxT.at[i].set(mass_T)

  empty = base.zeros(rows, near_MxTxB.shape[:2])
  return base.over_chunks(rows, body, (near_MxTxB, empty))
