"""Labels that a network gives to images, and batches of the labelled ones."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaaux.stage import Array, Key


class Labelled(NamedTuple):
  """Which images of the pool have a label, and which.

  Attributes:
    labels: int32 [n], -1 where there is none.
    members: int32 [n], positions; those with a label come first.
    count: int32 scalar, how many have one.
  """

  labels: Array
  members: Array
  count: Array


def shapes(num_examples: int) -> Labelled:
  """What `labelled` returns, as `jax.ShapeDtypeStruct`s."""
  row = jax.ShapeDtypeStruct((num_examples,), jnp.int32)
  return Labelled(row, row, jax.ShapeDtypeStruct((), jnp.int32))


def labelled(labels_N: np.ndarray) -> Labelled:
  """From labels of the whole pool, -1 where unknown."""
  members = np.argsort(labels_N < 0, kind="stable").astype(np.int32)
  count = np.int32((labels_N >= 0).sum())
  return Labelled(labels_N.astype(np.int32), members, np.asarray(count))


def confident(probabilities_NxC: np.ndarray, threshold: float) -> np.ndarray:
  """The likeliest class where its probability reaches `threshold`, else -1.

  Returns:
    int32 [n].
  """
  chosen_N = probabilities_NxC.argmax(-1)
  sure_N = probabilities_NxC.max(-1) >= threshold
  return np.where(sure_N, chosen_N, -1).astype(np.int32)


def draw(known: Labelled, key: Key, batch_size: int) -> Array:
  """Positions int32 [B], uniform over the labelled images, with replacement."""
  drawn = jax.random.randint(key, (batch_size,), 0, known.count)
  return known.members[drawn]
