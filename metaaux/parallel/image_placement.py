"""Places the examples: all on every device, or a part on each.

On one host every device has all examples, which is the quickest to read. With
several hosts, or where `pool=divide` says so, images are divided: every device
keeps an equal part, and the step collects a batch by one sum over the devices.
Batches are the same either way, bit for bit.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metaaux import parallel

Examples = Any

# What is divided; labels are small.
_LARGE = "image"


def place(examples: Mapping[str, np.ndarray], plan: parallel.Plan) -> Examples:
  """Puts examples where the steps will read them, by `plan.divide_pool`.

  Args:
    examples: arrays [N, ...] on the host.
    plan: devices.
  """
  if not plan.divide_pool:
    return parallel.replicate(examples, plan)
  small = {name: x for name, x in examples.items() if name != _LARGE}
  return {
    **parallel.replicate(small, plan),
    _LARGE: parallel.divide(examples[_LARGE], plan),
  }


def images(
  examples: Mapping[str, jax.Array], index_B: jax.Array, plan: parallel.Plan
) -> jax.Array:
  """Images at these positions, inside the mapped step.

  Args:
    examples: result of `place`, as one device has it.
    index_B: positions among all N of this device's part of the batch.
    plan: devices.
  """
  own = examples[_LARGE]
  if not plan.divide_pool:
    return own[index_B]
  # Each device looks up what any wants and it holds, and gets what it wants.
  index_DxB = jax.lax.all_gather(index_B, parallel.AXIS)
  local_DxB = index_DxB - jax.lax.axis_index(parallel.AXIS) * len(own)
  held_DxB = (local_DxB >= 0) & (local_DxB < len(own))
  found = own[jnp.clip(local_DxB, 0, len(own) - 1)]
  held = held_DxB.reshape(held_DxB.shape + (1,) * (found.ndim - 2))
  found = jnp.where(held, found, jnp.zeros((), found.dtype))
  return jax.lax.psum_scatter(found, parallel.AXIS)
