"""The order of examples, as a pure function of key and epoch."""

import jax

Array = jax.Array


def epoch_order(
  key: Array, epoch: int | Array, positions: Array, batch_size: int
) -> Array:
  """Batches of one pass over a split, in random order.

  The same key and epoch give the same batches on any number of devices and
  after any resume. The examples that do not fill a batch are left out; which
  ones they are changes with the epoch.

  Args:
    key: typed key of the stream.
    epoch: which pass, from 0; int or int32 scalar.
    positions: the split, int32 [n].
    batch_size: examples of a batch, at most n.

  Returns:
    int32 [n // batch_size, batch_size], entries of `positions`.

  Raises:
    ValueError: `batch_size` is not in 1 .. n.
  """
  num_examples = positions.shape[0]
  if not 1 <= batch_size <= num_examples:
    raise ValueError(
      f"batch_size={batch_size}, but the split has {num_examples} examples; "
      f"use 1..{num_examples}"
    )
  num_batches = num_examples // batch_size
  shuffled = jax.random.permutation(jax.random.fold_in(key, epoch), positions)
  return shuffled[: num_batches * batch_size].reshape(num_batches, batch_size)
