"""Keys of the examples of a batch, whatever device each is on."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

Array = jax.Array
Batch = Mapping[str, Array]


def example_keys(key: Array | None, batch: Batch) -> Array | None:
  """A key of dropout for each example, whatever device it is on: [B].

  Args:
    key: of the step; None gives None.
    batch: `index`.
  """
  if key is None:
    return None
  return jax.vmap(jax.random.fold_in, (None, 0))(key, batch["index"])


def keys_of_parts(key: Array, parts: Sequence[Batch], first: int = 0) -> Array:
  """Keys of the examples of several batches side by side.

  An image that is in two of them gets two keys. Folded, not split, so that the
  same key may serve several evaluations.

  Args:
    key: of the step.
    parts: batches, each with `index`.
    first: what the key is folded with for the first part; +1 for each other.
  """
  return jnp.concatenate(
    [
      example_keys(jax.random.fold_in(key, first + i), part)
      for i, part in enumerate(parts)
    ]
  )


def fold_keys(keys_B: Array, number: int) -> Array:
  """Keys of one purpose, of keys [B] of examples."""
  return jax.vmap(jax.random.fold_in, (0, None))(keys_B, number)
