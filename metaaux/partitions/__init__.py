"""Partitions: T sets of auxiliary labels, each a task of its own.

Gui et al., AAAI 2020 ("Constructing Multiple Tasks for Augmentation"), cluster
differently scaled copies of one embedding. The other sets here are its controls
and bounds. A set is a row of int32 [T, n].
"""

from typing import Any

import jax
import jax.numpy as jnp

from metaaux import kmeans as kmeans_lib
from metaaux.errors import UserError
from metaaux.losses import distances
from metaaux.partitions._report import report

Array = jax.Array
Key = jax.Array

__all__ = [
  "SCALINGS",
  "human",
  "kmeans_partitions",
  "kmeans_results",
  "permuted",
  "prototypical",
  "random_partitions",
  "report",
  "scales",
]

SCALINGS = ("uniform", "half", "none")


def scales(key: Key, dim: int, num_partitions: int, scaling: str) -> Array:
  """Factors of the embedding's dimensions, by partition.

  Args:
    key: a typed key.
    dim: d, dimensions of the embedding.
    num_partitions: T.
    scaling: "uniform": U(0, 1), but 1 in the first partition (Gui et al. 2020,
      "scale mode"); "half": d // 2 random dimensions count, the others do not,
      in every partition as in the released files; "none": 1 everywhere, so
      that partitions differ by their initial centroids alone.

  Returns:
    float32 [T, d].

  Raises:
    UserError: `scaling` is unknown, or there is no half of the dimensions.
  """
  shape = (num_partitions, dim)
  if scaling == "uniform":
    # From 1 - u, since a factor of 0 would take a dimension out.
    scale_TxD = 1 - jax.random.uniform(key, shape)
    return scale_TxD.at[0].set(1.0)
  if scaling == "half":
    if dim < 2:
      raise UserError(
        f"scaling='half' needs an embedding of 2 dimensions or more, this has "
        f"{dim}; use 'uniform' or 'none'"
      )
    counts_TxD = jnp.broadcast_to(jnp.arange(dim) < dim // 2, shape)
    mixed_TxD = jax.random.permutation(key, counts_TxD, 1, independent=True)
    return mixed_TxD.astype(jnp.float32)
  if scaling == "none":
    return jnp.ones(shape)
  raise UserError(
    f"scaling={scaling!r} is unknown; use one of {', '.join(SCALINGS)}"
  )


def kmeans_partitions(
  key: Key,
  embeddings: Array,
  k: int,
  num_partitions: int,
  scaling: str = "uniform",
  restarts: int = 1,
  **options: Any,
) -> Array:
  """One k-means clustering of each of T scaled copies of an embedding.

  Gui et al. 2020, section "Constructing tasks"; k is the number of primary
  classes there.

  Args:
    key: a typed key.
    embeddings: float [n, d].
    k: clusters of a partition, 1 .. n.
    num_partitions: T.
    scaling: see `scales`.
    restarts: runs of each partition; the one of least inertia counts.
    **options: of `kmeans.kmeans`, such as `num_iters`, `tol` and `init`.

  Returns:
    int32 [T, n], clusters 0 .. k - 1.

  Raises:
    UserError: an option is out of range or unknown.
  """
  return kmeans_results(
    key, embeddings, k, num_partitions, scaling, restarts, **options
  ).assignments


def kmeans_results(
  key: Key,
  embeddings: Array,
  k: int,
  num_partitions: int,
  scaling: str = "uniform",
  restarts: int = 1,
  **options: Any,
) -> kmeans_lib.KMeansResult:
  """`kmeans_partitions` with centroids, inertias and numbers of iterations.

  Returns:
    A `KMeansResult` whose fields lead with T; inertias are sums over images,
    in squared units of the scaled embedding.
  """
  if embeddings.ndim != 2:
    raise UserError(
      f"embeddings have shape {embeddings.shape}; they must be [n, d]"
    )
  num_images, dim = embeddings.shape
  if not 1 <= k <= num_images:
    raise UserError(
      f"k={k} clusters of {num_images} images; use 1..{num_images}"
    )
  if num_partitions < 1:
    raise UserError(f"num_partitions={num_partitions}; use 1 or more")
  scale_key, kmeans_key = jax.random.split(key)
  scale_TxD = scales(scale_key, dim, num_partitions, scaling)
  return kmeans_lib.kmeans(
    kmeans_key,
    embeddings,
    k,
    scale=scale_TxD.astype(embeddings.dtype),
    restarts=restarts,
    **options,
  )


def random_partitions(
  key: Key, num_images: int, k: int, num_partitions: int
) -> Array:
  """Independent labels, uniform over k classes: the paper's control.

  Returns:
    int32 [T, n].
  """
  return jax.random.randint(key, (num_partitions, num_images), 0, k)


def permuted(key: Key, partitions_TxN: Array) -> Array:
  """Each partition with its images in random order: cluster sizes stay.

  A stronger control than random labels where clusters are of unequal size.

  Returns:
    Of the same shape and dtype; a permutation of its own for each row.
  """
  return jax.random.permutation(key, partitions_TxN, 1, independent=True)


def human(labels_N: Array, num_partitions: int = 1) -> Array:
  """True labels, T times over: the upper bound of every partition.

  Returns:
    int32 [T, n].
  """
  labels_N = jnp.asarray(labels_N, jnp.int32)
  return jnp.broadcast_to(labels_N, (num_partitions, *labels_N.shape))


def prototypical(
  embeddings_NxD: Array,
  labels_N: Array,
  positions: Array,
  num_classes: int,
  allowed_NxK: Array | None = None,
) -> Array:
  """Soft labels by distance to the mean embedding of each class.

  softmax_k(-||z - c_k||^2) with c_k the mean over the labelled images of class
  k (the Prototypical Net baseline of Liu, Davison & Johns 2019, where classes
  are human sub-classes and those of other primary classes are not allowed).

  Args:
    embeddings_NxD: float [n, d]; half precision is computed in float32.
    labels_N: int [n]; read at `positions` alone. One outside 0..K-1, such as -1
      for an image without a label, is of no class.
    positions: int [m], images whose label may be used.
    num_classes: K.
    allowed_NxK: bool, classes that an image may get; None: all.

  Returns:
    float [n, K]; rows sum to 1 and are 0 where not allowed and for classes
    without a labelled image. A row without any class left is NaN.

  Raises:
    ValueError: embeddings are no floats [n, d].
  """
  z_NxD = distances.widened("embeddings", embeddings_NxD)
  known_M = distances.native("labels", labels_N)[positions]
  # Beyond the last class, where it is dropped: -1 would count from the end.
  known_M = jnp.where(known_M < 0, num_classes, known_M)
  rows_MxD = z_NxD[positions]
  counts_K = jnp.zeros(num_classes, z_NxD.dtype)
  counts_K = counts_K.at[known_M].add(1, mode="drop")

  def means(x_MxD: Array) -> Array:
    sums_KxD = jnp.zeros((num_classes, x_MxD.shape[1]), x_MxD.dtype)
    sums_KxD = sums_KxD.at[known_M].add(x_MxD, mode="drop")
    return sums_KxD / jnp.maximum(counts_K, 1)[:, None]

  # The mean of what the first mean leaves, which has lost digits to an offset.
  first_KxD = means(rows_MxD)
  nearby_M = jnp.minimum(known_M, num_classes - 1)
  means_KxD = first_KxD + means(rows_MxD - first_KxD[nearby_M])
  squares_NxK = distances.pairwise(z_NxD, means_KxD)
  present_NxK = (counts_K > 0)[None, :]
  if allowed_NxK is not None:
    present_NxK = present_NxK & allowed_NxK
  logits_NxK = jnp.where(present_NxK, -squares_NxK, -jnp.inf)
  return jax.nn.softmax(logits_NxK, axis=1)
