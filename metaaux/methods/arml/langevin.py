"""Langevin noise: gradient descent that samples instead of settling."""

from typing import Any

import jax

Tree = Any


def noise(
  key: jax.Array, params: Tree, rate: float, temperature: float
) -> Tree:
  """params + N(0, 2 rate temperature), independent for each entry.

  Note: with losses that are means over N examples the temperature of the
  posterior is 1 / N; 1 is right for a summed loss.

  Args:
    key: a typed key.
    params: arrays, after a step of plain gradient descent.
    rate: learning rate of that step.
    temperature: >= 0.
  """
  deviation = (2 * rate * temperature) ** 0.5
  leaves, structure = jax.tree.flatten(params)
  keys = jax.random.split(key, len(leaves))
  noisy = [
    x + deviation * jax.random.normal(k, x.shape, x.dtype)
    for k, x in zip(keys, leaves, strict=True)
  ]
  return jax.tree.unflatten(structure, noisy)
