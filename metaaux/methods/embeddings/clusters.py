"""A clustering in a form that batches are quickly drawn from."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Key = jax.Array


class Clusters(NamedTuple):
  """A clustering, in a form that is quick to draw from.

  Attributes:
    assignments: int32 [n], cluster of each image; -1 where it takes no part.
    order: int32 [n], images sorted by cluster, then zeros.
    starts: int32 [k], where a cluster begins in `order`.
    sizes: int32 [k].
    used: int32 [k], the clusters that are not empty, then the others.
    num_used: int32, how many are not empty.
  """

  assignments: Array
  order: Array
  starts: Array
  sizes: Array
  used: Array
  num_used: Array


def arranged(
  found_M: np.ndarray, where: np.ndarray, num_images: int, k: int
) -> Clusters:
  """Clusters of some images, on the host.

  Args:
    found_M: int [m], clusters in 0 .. k - 1.
    where: int [m], their positions in the pool.
    num_images: n.
    k: number of clusters, empty ones too.
  """
  assignments, order = np.full(num_images, -1), np.zeros(num_images)
  assignments[where] = found_M
  order[: len(where)] = where[np.argsort(found_M, kind="stable")]
  sizes = np.bincount(found_M, minlength=k)
  found = Clusters(
    assignments=assignments,
    order=order,
    starts=np.cumsum(sizes) - sizes,
    sizes=sizes,
    used=np.argsort(sizes == 0, kind="stable"),
    num_used=(sizes > 0).sum(),
  )
  return Clusters(*(np.asarray(values, np.int32) for values in found))


def shapes(num_images: int, k: int) -> Clusters:
  """`jax.ShapeDtypeStruct`s of a clustering of n images into k clusters."""
  sizes = Clusters((num_images,), (num_images,), (k,), (k,), (k,), ())
  return Clusters(*(jax.ShapeDtypeStruct(s, jnp.int32) for s in sizes))


def draw(clusters: Clusters, key: Key, batch_size: int) -> Array:
  """Positions of images whose clusters are uniform over the non-empty ones.

  Returns:
    int32 [B]; an image may come twice.
  """
  cluster_key, image_key = jax.random.split(key)
  drawn_B = jax.random.randint(cluster_key, (batch_size,), 0, clusters.num_used)
  cluster_B = clusters.used[drawn_B]
  offset_B = jax.random.randint(
    image_key, (batch_size,), 0, clusters.sizes[cluster_B]
  )
  return clusters.order[clusters.starts[cluster_B] + offset_B]
