"""Auxiliary tasks made of clusters: from a config to labels of every image.

Gui et al. 2020: embed all images without labels, cluster T scaled copies of the
embedding, and call the clusters of each a task.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metaaux import partitions
from metaaux.data import fingerprint
from metaaux.errors import UserError
from metaaux.methods import embeddings
from metaaux.methods.meta_mtl import decoders
from metaaux.stage import PoolView, Prepare, Spec, Stage

# What each kind of labels is made of.
_CLUSTERED = ("kmeans", "permuted")


def num_classes(config: Any, spec: Spec) -> int:
  """k: classes of each auxiliary task."""
  if config.partition.labels == "human":
    return spec.num_auxiliary
  return config.partition.num_classes or spec.num_primary


def num_tasks(config: Any) -> int:
  """T: number of auxiliary tasks."""
  return 1 if config.partition.labels == "human" else config.partition.num_tasks


def network(config: Any, spec: Spec, axis_name: str | None) -> Any:
  """Shared layers and decoders for these tasks.

  Raises:
    UserError: human labels are asked for and the data has none; see also
      `decoders.make`.
  """
  if config.partition.labels == "human" and not spec.has_auxiliary:
    raise UserError(
      "partition.labels='human' needs human auxiliary labels, and this data "
      "has none for the chosen psi; set config.aux to a finer label level"
    )
  return decoders.make(
    config,
    spec,
    num_tasks=num_tasks(config),
    num_classes=num_classes(config, spec),
    axis_name=axis_name,
  )


def stages(config: Any, spec: Spec, axis_name: str | None) -> tuple[Stage, ...]:
  """Stages that train the embedding; () if it needs none."""
  if config.partition.labels not in _CLUSTERED:
    return ()
  return embeddings.stages(config, spec, config.partition.images, axis_name)


def prepare(config: Any, spec: Spec) -> Prepare:
  """Labels of the tasks: int32 [T, n], -1 outside `partition.images`."""
  shape = (num_tasks(config), spec.num_examples)
  return Prepare(
    jax.ShapeDtypeStruct(shape, jnp.int32),
    lambda pool: compute(config, spec, pool),
  )


def compute(config: Any, spec: Spec, pool: PoolView) -> np.ndarray:
  """The labels of one seed, kept in the cache, with a report.

  Args:
    config: `partition` and what the embedding reads.
    spec: the problem.
    pool: of one seed.
  """
  options = config.partition
  k, count = num_classes(config, spec), len(pool.images)
  where = (
    np.arange(count, dtype=np.int32) if options.images == "all" else pool.train
  )
  labels_TxN = np.full((num_tasks(config), count), -1, np.int32)
  known = {}
  if options.labels == "human":
    labels_TxN[0, where] = pool.auxiliary[where]
  elif options.labels == "random":
    found = partitions.random_partitions(
      pool.key, len(where), k, options.num_tasks
    )
    labels_TxN[:, where] = found
  else:
    found = _clusters(config, spec, pool, k, where)
    labels_TxN[:, where] = found["partitions"]
    if options.labels == "kmeans":
      known = {
        "inertia_T": found["inertia"],
        "num_iters_T": found["num_iters"],
      }
  # True labels of unlabelled images must not steer anything: the report, too,
  # looks at the labelled ones alone.
  pool.report(
    "partitions",
    partitions.report(
      labels_TxN, pool.primary, pool.train, num_classes=k, **known
    ),
  )
  return labels_TxN


def _clusters(
  config: Any, spec: Spec, pool: PoolView, k: int, where: np.ndarray
) -> Mapping[str, np.ndarray]:
  """`partitions` [T, m], with `inertia` [T] and `num_iters` [T] of k-means."""
  options = config.partition
  vectors = embeddings.compute(config, spec, pool, options.images)
  makers = {
    "partition": options.to_dict(),
    "k": k,
    "embedding": fingerprint.of(vectors),
    "seed": pool.seed,
    "positions": fingerprint.of(where),
    "arrays": ["partitions", "inertia", "num_iters"],
  }

  def make() -> dict[str, np.ndarray]:
    if k > len(where):
      raise UserError(
        f"partition.num_classes={k}, but there are {len(where)} images to "
        "cluster; lower it, or set partition.images='all'"
      )
    cluster_key, order_key = jax.random.split(pool.key)
    found = partitions.kmeans_results(
      cluster_key,
      vectors[where],
      k,
      options.num_tasks,
      scaling=options.scaling,
      restarts=options.restarts,
    )
    found_TxM = found.assignments
    if options.labels == "permuted":
      found_TxM = partitions.permuted(order_key, found_TxM)
    return {
      "partitions": np.asarray(found_TxM),
      "inertia": np.asarray(found.inertia),
      "num_iters": np.asarray(found.num_iters),
    }

  return pool.cache(f"partitions-seed{pool.seed}", makers, make)
