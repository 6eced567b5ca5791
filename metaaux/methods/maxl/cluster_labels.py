"""Fixed auxiliary labels from an embedding: two more of MAXL's baselines.

Liu, Davison & Johns 2019. Loss and network are those of MAXL's evaluator; each
labelled image gets its labels within the block of its primary class y:

* `kmeans`: one-hot, its cluster among psi[y] that k-means finds in class y;
* `prototypical`: softmax of minus the squared distance to the mean embedding of
  each human sub-class of y. Nothing scales the distances, so that the embedding
  decides how soft the labels are: rows of length 1 (spectral) give soft ones.

The embedding is `config.embedding`, fitted to the labelled images alone
whatever `partition.images` says, because MAXL sees no others.

Note: the paper's prototypes are means over the images held out for the outer
update, of features from ImageNet; here they are means over the training images.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaaux import kmeans, losses, partitions
from metaaux.errors import UserError
from metaaux.methods import embeddings
from metaaux.methods.maxl import fixed_labels
from metaaux.stage import Array, Batch, Key, PoolView, Prepare, Spec, Stage

_IMAGES = "train"  # that the embedding is fitted to


class ClusterLabelsState(NamedTuple):
  """The network, its optimiser, and the labels of every image of the pool.

  `labels` is int32 [n], a column of K or -1 (kmeans), or float32 [n, K], 0 for
  images that are not trained on (prototypical).
  """

  params: Any
  stats: Any
  optimizer: Any
  labels: Array


def kmeans_labels(
  key: Key,
  vectors_MxD: np.ndarray,
  primary_M: np.ndarray,
  psi: tuple[int, ...],
  restarts: int = 1,
) -> np.ndarray:
  """Clusters of each primary class, as columns of its block.

  Args:
    key: a typed key.
    vectors_MxD: float [m, d].
    primary_M: int [m], primary classes 0..C-1.
    psi: clusters of each primary class, at most its number of images.
    restarts: runs of k-means; the one of least inertia counts.

  Returns:
    int32 [m] in 0..K-1.
  """
  first_C = np.cumsum((0, *psi))[:-1]
  columns_M = np.full(len(primary_M), -1, np.int32)
  for c, k in enumerate(psi):
    own = np.flatnonzero(primary_M == c)
    if len(own):
      found = kmeans.kmeans(
        jax.random.fold_in(key, c), vectors_MxD[own], k, restarts=restarts
      )
      columns_M[own] = first_C[c] + np.asarray(found.assignments)
  return columns_M


def prototypical_labels(
  vectors_MxD: np.ndarray,
  primary_M: np.ndarray,
  columns_M: np.ndarray,
  psi: tuple[int, ...],
) -> np.ndarray:
  """Soft labels by distance to the sub-classes' means, within the block.

  Args:
    vectors_MxD: float [m, d].
    primary_M: int [m], primary classes 0..C-1.
    columns_M: int [m], human sub-classes as columns 0..K-1.
    psi: number of sub-classes of each primary class.

  Returns:
    float32 [m, K]; rows sum to 1 and are 0 outside the block and for
    sub-classes without an image.
  """
  labels_MxK = partitions.prototypical(
    jnp.asarray(vectors_MxD),
    jnp.asarray(columns_M),
    jnp.arange(len(columns_M)),
    sum(psi),
    losses.class_mask(primary_M, psi),
  )
  return np.asarray(labels_MxK, np.float32)


def compute(config: Any, spec: Spec, labels: str, pool: PoolView) -> np.ndarray:
  """Labels of one seed, with a report; what `ClusterLabelsState` holds.

  Args:
    config: `embedding` and `partition.restarts`.
    spec: the problem.
    labels: "kmeans" or "prototypical".
    pool: of one seed; nothing is read outside `pool.train`.

  Raises:
    UserError: a class has fewer images than psi asks clusters for.
  """
  where, total = pool.train, spec.num_auxiliary
  primary_M, columns_M = pool.primary[where], pool.auxiliary[where]
  if labels == "kmeans":
    _check_sizes(primary_M, spec.psi)
  vectors_MxD = embeddings.compute(config, spec, pool, _IMAGES)[where]
  if labels == "prototypical":
    soft_MxK = prototypical_labels(vectors_MxD, primary_M, columns_M, spec.psi)
    pool.report(
      "auxiliary_labels", losses.label_statistics(soft_MxK, primary_M, spec.psi)
    )
    labels_NxK = np.zeros((spec.num_examples, total), np.float32)
    labels_NxK[where] = soft_MxK
    return labels_NxK
  labels_N = np.full(spec.num_examples, -1, np.int32)
  labels_N[where] = kmeans_labels(
    pool.key, vectors_MxD, primary_M, spec.psi, config.partition.restarts
  )
  known = pool.auxiliary if spec.has_auxiliary else None
  pool.report(
    "auxiliary_labels",
    partitions.report(labels_N[None], known, where, num_classes=total),
  )
  return labels_N


def make(
  config: Any, spec: Spec, *, labels: str, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """Stages that train the embedding, then the one that uses its labels.

  Args:
    config: `embedding`, `partition.restarts`, and as for `fixed_labels.stage`.
    spec: the problem.
    labels: "kmeans" or "prototypical".
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: prototypical labels are asked for and the data has no human ones.
  """
  shape = jax.ShapeDtypeStruct((spec.num_examples,), jnp.int32)
  if labels == "prototypical":
    fixed_labels.check_human(spec, labels)
    shape = jax.ShapeDtypeStruct(
      (spec.num_examples, spec.num_auxiliary), jnp.float32
    )

  def new_state(
    params: Any, stats: Any, optimizer: Any, key: Key, given: Any
  ) -> ClusterLabelsState:
    del key
    _, prepared = given
    return ClusterLabelsState(params, stats, optimizer, prepared)

  def labels_of(state: ClusterLabelsState, batch: Batch) -> Array:
    found_B = state.labels[batch["index"]]
    if labels == "prototypical":
      return found_B
    return jax.nn.one_hot(found_B, spec.num_auxiliary)

  stage = fixed_labels.stage(
    config,
    spec,
    new_state=new_state,
    labels_of=labels_of,
    prepare=Prepare(shape, lambda pool: compute(config, spec, labels, pool)),
    axis_name=axis_name,
  )
  before = embeddings.stages(config, spec, _IMAGES, axis_name)
  return (*before, stage)


def _check_sizes(primary_M: np.ndarray, psi: tuple[int, ...]) -> None:
  count_C = np.bincount(primary_M, minlength=len(psi))
  for c, (count, k) in enumerate(zip(count_C, psi, strict=True)):
    if k > count:
      raise UserError(
        f"method='kmeans' wants psi[{c}]={k} clusters of primary class {c}, "
        f"which has {count} training images; lower config.psi or raise "
        "config.labels_per_class"
      )
