"""Networks to start with, of which nothing has to be compiled."""

import jax
import numpy as np


def start(network, images, dtype=np.float32):
  """Parameters and statistics as `network.init` makes them, by NumPy."""
  shapes = jax.eval_shape(network.init, jax.random.key(0), images)
  rng = np.random.default_rng(0)

  def value(path, leaf):
    name = path[-1].key
    if name == "kernel":
      deviation = np.sqrt(2 / np.prod(leaf.shape[:-1]))
      return (deviation * rng.normal(size=leaf.shape)).astype(dtype)
    return np.full(leaf.shape, name in ("scale", "var"), dtype)

  return jax.tree_util.tree_map_with_path(value, shapes)
