"""k-means under `jit`: many scalings of the same rows at once, without copies.

Lloyd's algorithm for n rows in d dimensions, k clusters and T scalings of the
columns, each with a partition of its own. The rows are read in chunks, and one
matrix product a chunk serves all partitions.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from metaaux.kmeans import _batch, _first_centroids, _lloyd
from metaaux.kmeans import _rows as base
from metaaux.kmeans._check import (
  check_arrays,
  check_chunk,
  check_key,
  check_number,
  check_tol,
  without_offset,
)

Array = jax.Array

_INITS = {
  "kmeans++": _first_centroids.plus_plus,
  "random": _first_centroids.random_rows,
}


class KMeansResult(NamedTuple):
  """Partitions of n rows; every field has a leading T where the scaling has.

  Attributes:
    centroids: [k, d], means of the rows as they were given, not scaled.
    assignments: int32 [n], the nearest centroid of each row.
    inertia: scalar, sum of squared scaled distances to it, >= 0.
    num_iters: int32 scalar, iterations done.
  """

  centroids: Array
  assignments: Array
  inertia: Array
  num_iters: Array


def kmeans(
  key: Array | None,
  x: ArrayLike,
  k: int,
  *,
  num_iters: int = 100,
  tol: float = 1e-4,
  init: str | ArrayLike = "kmeans++",
  scale: ArrayLike | None = None,
  restarts: int = 1,
  axis_name: str | None = None,
  chunk: int | None = None,
) -> KMeansResult:
  """Partitions rows into k clusters by Lloyd's algorithm.

  Minimises sum_i min_j |s * (x_i - c_j)|^2 for each scaling s (Gui et al., AAAI
  2020). Rows go to the nearest centroid, of equally near ones to the one of
  lowest index. Inertia never rises from one iteration to the next, but by the
  rounding of the total variance: a cluster that loses all its rows is re-seeded
  with the row farthest from its centroid, several ones with different rows.
  Only where no row is left at a distance (fewer distinct rows than k) do
  clusters stay empty; their centroids are then finite and of no meaning.

  Runs under `jit`, `vmap`, `pmap` and `shard_map`. Beside x it needs memory for
  k T chunk scores, and for 2 T n floats while k-means++ draws; T n more
  integers with restarts. Under `vmap` each iteration re-seeds, needed or not,
  which is another pass over the rows; many scalings of one x are better given
  as `scale`.

  Args:
    key: a key; None will do where centroids are given. With T scalings
      partition t uses `jax.random.split(key, T)[t]`, as a run of it alone would
      use `key`.
    x: floats [n, d], finite; half precision is computed in float32, and so is
      float64 unless `jax_enable_x64` is set. With `axis_name` the rows of this
      device, as many on each.
    k: number of clusters, at most the number of rows.
    num_iters: most iterations; 0 assigns rows to the first centroids.
    tol: done when sum_j |s * change of c_j|^2 is at most tol times the mean
      variance of the columns of s * x; 0: when no centroid changes.
    init: "kmeans++" (Arthur & Vassilvitskii 2007, one candidate a draw),
      "random" (distinct rows), or the first centroids, [k, d] or [T, k, d], in
      the space of x: not scaled.
    scale: None, or scalings of the columns [d] or [T, d]; a column of scale 0
      does not count.
    restarts: runs from different first centroids, of which each partition keeps
      the one of least inertia; they take time, one after another.
    axis_name: name of the device axis over which rows are spread, or None. All
      devices need the same key, `init` and `scale` and return the same
      centroids.
    chunk: rows taken at a time, which changes speed and memory only; None: as
      many as make about a million scores, from 512 to 4096.

  Returns:
    Centroids in the space of x (means of rows that are not scaled),
    assignments, inertia (in the scaled space) and numbers of iterations, of
    each partition. Assignments and inertia are those of the centroids returned.
    An inertia beyond the range of its float type is infinite, or 0; the rest
    does not suffer.

  Raises:
    ValueError: an argument is of a wrong shape, type or range, or has NaN or
      infinity in it, or float64 rows are too many to one in float32 for k
      clusters (these only outside of `jit` and the like); no key.
  """
  x, init, offset_D = without_offset(x, init)
  x, scale_TxD, init = check_arrays(x, k, init, scale, axis_name, tuple(_INITS))
  check_key(key, needed=isinstance(init, str))
  check_number("num_iters", num_iters, 0)
  check_number("restarts", restarts, 1)
  chunk = check_chunk(chunk, k * len(scale_TxD))
  check_tol(tol)
  if restarts > 1 and not isinstance(init, str):
    raise ValueError(
      f"restarts={restarts} with given centroids would repeat one run; give "
      "restarts=1, or init='kmeans++'."
    )
  named = isinstance(init, str)
  many = scale is not None and jnp.ndim(scale) == 2
  keys_T = None
  if named:
    keys_T = jax.random.split(key, len(scale_TxD)) if many else key[None]
  result = _restarted(
    keys_T,
    x,
    scale_TxD,
    None if named else init,
    num_iters,
    tol,
    k=k,
    init_name=init if named else None,
    restarts=restarts,
    axis_name=axis_name,
    chunk=chunk,
  )
  result = _moved_back(result, offset_D)
  return result if many else jax.tree.map(lambda leaf: leaf[0], result)


def _moved_back(
  result: KMeansResult, offset_D: np.ndarray | None
) -> KMeansResult:
  if offset_D is None:
    return result
  offset_1x1xD = jnp.asarray(offset_D[None, None], result.centroids.dtype)
  return result._replace(centroids=result.centroids + offset_1x1xD)


def minibatch_kmeans(
  key: Array,
  x: ArrayLike,
  k: int,
  *,
  num_steps: int = 1000,
  batch_size: int = 1024,
  patience: int = 10,
  init: str | ArrayLike = "kmeans++",
  scale: ArrayLike | None = None,
  axis_name: str | None = None,
  chunk: int | None = None,
) -> KMeansResult:
  """Partitions rows by k-means over random batches (Sculley 2010).

  For more rows than Lloyd's algorithm has time for; inertia is somewhat
  higher and may rise from one step to the next. A centroid is the mean of the
  rows that came to it. One that has seen less than a hundredth of the rows of
  the largest is moved to a row of the batch. Batches are the same for all
  partitions, and are drawn with replacement; k-means++ draws from as many rows
  as three batches have, or 3k.

  Args:
    key: as for `kmeans`.
    x: as for `kmeans`.
    k: number of clusters.
    num_steps: most steps.
    batch_size: rows a step, on each device; all rows if there are no more.
    patience: a partition is done after so many steps without a new least value
      of its inertia, smoothed over an epoch or so.
    init: as for `kmeans`.
    scale: as for `kmeans`.
    axis_name: as for `kmeans`.
    chunk: as for `kmeans`, of passes over all rows.

  Returns:
    As `kmeans`: assignments and inertia are of all rows; `num_iters` is steps.

  Raises:
    ValueError: as `kmeans`.
  """
  x, init, offset_D = without_offset(x, init)
  x, scale_TxD, init = check_arrays(x, k, init, scale, axis_name, tuple(_INITS))
  check_key(key, needed=True)
  check_number("num_steps", num_steps, 0)
  check_number("batch_size", batch_size, 1)
  check_number("patience", patience, 1)
  chunk = check_chunk(chunk, k * len(scale_TxD))
  named = isinstance(init, str)
  result = _minibatch(
    key,
    x,
    scale_TxD,
    None if named else init,
    num_steps,
    patience,
    k=k,
    init_name=init if named else None,
    batch_size=batch_size,
    axis_name=axis_name,
    chunk=chunk,
  )
  result = _moved_back(result, offset_D)
  many = scale is not None and jnp.ndim(scale) == 2
  return result if many else jax.tree.map(lambda leaf: leaf[0], result)


@functools.partial(
  jax.jit,
  static_argnames=("k", "init_name", "restarts", "axis_name", "chunk"),
)
def _restarted(
  keys_T: Array | None,
  x_NxD: Array,
  scale_TxD: Array,
  init_TxKxD: Array | None,
  num_iters: Array,
  tol: Array,
  *,
  k: int,
  init_name: str | None,
  restarts: int,
  axis_name: str | None,
  chunk: int,
) -> KMeansResult:
  """The best of several runs, for each partition."""
  rows, variance_D, unit_T = base.make_rows(x_NxD, scale_TxD, chunk, axis_name)
  variance_TxD = rows.square_TxD * variance_D[None, :]  # in the same units
  limit_T = tol * jnp.mean(variance_TxD, axis=1)
  # What re-seeding could gain below this is lost in the rounding of inertia.
  noise_T = jnp.finfo(scale_TxD.dtype).eps * jnp.sum(variance_TxD, axis=1)

  def run(restart: Array) -> KMeansResult:
    if init_name is None:
      c_TxKxD = base.shifted(rows, init_TxKxD)
    else:
      own_T = jax.vmap(jax.random.fold_in, (0, None))(keys_T, restart)
      c_TxKxD = _INITS[init_name](own_T, rows, k)
    c_TxKxD, num_iters_T = _lloyd.lloyd(
      rows, c_TxKxD, num_iters, limit_T, noise_T
    )
    index_TxN, inertia_T = _lloyd.assign(rows, c_TxKxD)
    return KMeansResult(c_TxKxD, index_TxN, inertia_T, num_iters_T)

  def as_given(result: KMeansResult) -> KMeansResult:
    return result._replace(
      centroids=base.as_given(rows, result.centroids),
      inertia=result.inertia * unit_T * unit_T,
    )

  def keep_better(
    best: KMeansResult, restart: Array
  ) -> tuple[KMeansResult, None]:
    new = run(restart)
    better_T = (new.inertia < best.inertia) | (best.num_iters < 0)
    pick = jax.vmap(lambda better, a, b: jnp.where(better, a, b))
    return jax.tree.map(lambda a, b: pick(better_T, a, b), new, best), None

  if restarts == 1:
    return as_given(run(jnp.int32(0)))
  t, d = scale_TxD.shape
  nothing = KMeansResult(
    centroids=jnp.zeros((t, k, d), scale_TxD.dtype),
    assignments=base.zeros(rows, (t, len(x_NxD)), jnp.int32),
    inertia=jnp.zeros(t, scale_TxD.dtype),
    num_iters=jnp.full(t, -1, jnp.int32),
  )
  best, _ = lax.scan(keep_better, nothing, jnp.arange(restarts))
  return as_given(best)


@functools.partial(
  jax.jit,
  static_argnames=("k", "init_name", "batch_size", "axis_name", "chunk"),
)
def _minibatch(
  key: Array,
  x_NxD: Array,
  scale_TxD: Array,
  init_TxKxD: Array | None,
  num_steps: Array,
  patience: Array,
  *,
  k: int,
  init_name: str | None,
  batch_size: int,
  axis_name: str | None,
  chunk: int,
) -> KMeansResult:
  """`minibatch_kmeans` with a leading T."""
  rows, _, unit_T = base.make_rows(x_NxD, scale_TxD, chunk, axis_name)
  init_key, sample_key, batch_key = jax.random.split(key, 3)
  if init_name is None:
    c_TxKxD = base.shifted(rows, init_TxKxD)
  else:
    some = rows
    if init_name == "kmeans++":
      size = 3 * max(batch_size, k)
      some = _batch.sample(sample_key, rows, size)
    keys_T = jax.random.split(init_key, len(scale_TxD))
    c_TxKxD = _INITS[init_name](keys_T, some, k)
  c_TxKxD, num_steps_T = _batch.run(
    batch_key, rows, c_TxKxD, num_steps, patience, batch_size
  )
  index_TxN, inertia_T = _lloyd.assign(rows, c_TxKxD)
  c_TxKxD = base.as_given(rows, c_TxKxD)
  inertia_T = inertia_T * unit_T * unit_T
  return KMeansResult(c_TxKxD, index_TxN, inertia_T, num_steps_T)
