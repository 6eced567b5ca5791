"""Units between the towers of several tasks: cross-stitch and NDDR.

Misra et al. 2016 and Gao et al. 2019, baselines of DAMTL. Both act on the
features of M towers on the same images.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metaaux import parallel

Array = jax.Array
Tree = Any

_OWN = 0.9
# Batch norm: share of the old running statistics, and what is added to
# variances (PyTorch's constants).
_MOMENTUM, _EPSILON = 0.9, 1e-5


def init_cross_stitch(
  num_towers: int, num_channels: int | None = None
) -> Array:
  """0.9 of a tower's own features, the rest of the others' in equal parts.

  Args:
    num_towers: M.
    num_channels: C for a matrix of each channel, None for one.

  Returns:
    [M, M] or [M, M, C]; rows sum to 1.
  """
  own = jnp.eye(num_towers)
  if num_towers > 1:
    own = _OWN * own + (1 - _OWN) / (num_towers - 1) * (1 - own)
  if num_channels is None:
    return own
  return jnp.broadcast_to(own[..., None], (*own.shape, num_channels))


def cross_stitch(features: Sequence[Array], a: Array) -> list[Array]:
  """F~_j = sum_i a_ji F_i.

  Args:
    features: M arrays [B, ..., C] of one shape.
    a: [M, M], or [M, M, C] for a matrix of each channel.

  Returns:
    M arrays of the same shape.

  Raises:
    ValueError: `a` does not fit.
  """
  count, channels = len(features), features[0].shape[-1]
  if a.shape not in ((count, count), (count, count, channels)):
    raise ValueError(
      f"a is {list(a.shape)} for {count} towers of {channels} channels; "
      f"expected [{count}, {count}] or [{count}, {count}, {channels}]."
    )
  stacked = jnp.stack(list(features))
  letters = "ji,i...c->j...c" if a.ndim == 2 else "jic,i...c->j...c"
  return list(jnp.einsum(letters, a, stacked, precision="highest"))


def init_nddr(num_towers: int, num_channels: int) -> Array:
  """0.9 of the identity for a tower's own channels, the rest for the others'.

  Returns:
    [M, M C, C].
  """
  mix = init_cross_stitch(num_towers)
  eye = jnp.eye(num_channels)
  blocks = jnp.einsum("ji,cd->jicd", mix, eye)
  return blocks.reshape(num_towers, num_towers * num_channels, num_channels)


def nddr(
  features: Sequence[Array], kernels: Array, biases: Array
) -> list[Array]:
  """1x1 convolutions of all channels of all towers, one for each task.

  Batch norm and ReLU, which follow in the published code, are the caller's.

  Args:
    features: M arrays [B, ..., C].
    kernels: [M, M C, C].
    biases: [M, C].

  Returns:
    M arrays [B, ..., C].

  Raises:
    ValueError: the kernels do not fit.
  """
  count, channels = len(features), features[0].shape[-1]
  if kernels.shape != (count, count * channels, channels):
    raise ValueError(
      f"kernels are {list(kernels.shape)} for {count} towers of {channels} "
      f"channels; expected [{count}, {count * channels}, {channels}]."
    )
  together = jnp.concatenate(list(features), axis=-1)
  mixed = jnp.einsum("...i,jic->j...c", together, kernels, precision="highest")
  shape = (count, *(1,) * (together.ndim - 1), channels)
  return list(mixed + biases.reshape(shape))


def batch_norm(
  x: Array,
  scale: Array,
  shift: Array,
  stats: Tree,
  *,
  train: bool,
  axis_name: str | None = None,
) -> tuple[Array, Tree]:
  """Batch norm of the features of M towers on the images of M tasks.

  A task's images are normalised by statistics of their own, so that what a task
  is tested with are those of its images.

  Args:
    x: [M, B, h, w, M, C]: task, image, height, width, tower, channel.
    scale: [M, C], of each tower.
    shift: [M, C].
    stats: running `mean` and `var`, [M, M, C]: task, tower, channel.
    train: normalise by the batch, and update the running statistics.
    axis_name: devices to average the batch's statistics over, None for none.

  Returns:
    An array like `x`, and the new statistics.
  """
  if train:
    moments = x.mean((1, 2, 3)), (x**2).mean((1, 2, 3))
    mean, square = parallel.pmean(moments, axis_name)
    batch = {"mean": mean, "var": jnp.maximum(square - mean**2, 0)}
    constant = jax.lax.stop_gradient(batch)
    new = jax.tree.map(
      lambda old, now: _MOMENTUM * old + (1 - _MOMENTUM) * now, stats, constant
    )
  else:
    batch = new = stats
  wide = (slice(None), None, None, None)
  factor = scale[None] * jax.lax.rsqrt(batch["var"] + _EPSILON)
  centred = x - batch["mean"][wide]
  return centred * factor[wide] + shift[(None,) * 4], new
