"""Langevin dynamics: gradient descent that samples instead of settling."""

from typing import Any

import jax

Tree = Any


def step(
  theta: Tree, grads: Tree, rate: float, temperature: float, key: jax.Array
) -> Tree:
  """theta - rate grads + N(0, 2 rate temperature), independent for each entry.

  Note: with losses that are means over N examples the temperature of the
  posterior is 1 / N; 1 is right for a summed loss.

  Args:
    theta: arrays.
    grads: of the loss, like theta.
    rate: learning rate.
    temperature: >= 0.
    key: a typed key.
  """
  deviation = (2 * rate * temperature) ** 0.5
  moved = jax.tree.map(lambda x, g: x - rate * g, theta, grads)
  leaves, structure = jax.tree.flatten(moved)
  keys = jax.random.split(key, len(leaves))
  noisy = [
    x + deviation * jax.random.normal(k, x.shape, x.dtype)
    for k, x in zip(keys, leaves, strict=True)
  ]
  return jax.tree.unflatten(structure, noisy)
