"""Convolution and pooling: fast on a CPU, native where XLA is good at them.

The functions that `convolution` returns stand in for
`jax.lax.conv_general_dilated` in a Linen `Conv`. Every form is a plain linear
map, so gradients of gradients, forward over reverse, vmap and pmap all work.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from metaaux.errors import UserError
from metaaux.models import direct_convolution, winograd

Array = jax.Array
Convolution = Callable[..., Array]

# Numbers in all shifted copies of a map together.
_MOST_VIEWS = 2**26

LOWERINGS = ("auto", "native", "fast", "short")


def convolution(lowering: str = "auto") -> Convolution:
  """A function that may be given to `nn.Conv(conv_general_dilated=...)`.

  Args:
    lowering: "native" is XLA's own convolution; "fast" takes for each layer
      the form that was quickest on a CPU; "short" is XLA's convolution but for
      maps up to 4x4, and compiles quickly (for tests); "auto" is "fast" on
      the CPU backend and "native" elsewhere.

  Raises:
    UserError: `lowering` is none of these.
  """
  if lowering not in LOWERINGS:
    raise UserError(
      f"model.lowering is {lowering!r}; use one of {', '.join(LOWERINGS)}."
    )
  if lowering == "auto":
    lowering = "fast" if jax.default_backend() == "cpu" else "native"
  return {
    "native": jax.lax.conv_general_dilated,
    "fast": _convolve_fast,
    "short": _convolve_short,
  }[lowering]


def scaled(channels: int, width: float) -> int:
  """Channels of a layer in a network of this width, at least one."""
  return max(1, int(channels * width))


def centred(
  channels: int, side: int, stride: int, lowering: str, name: str
) -> nn.Conv:
  """A convolution without bias, padded alike on both sides.

  Which SAME is not where it strides.

  Args:
    channels: of its output.
    side: of the kernel, odd.
    stride: in both directions.
    lowering: see `convolution`.
    name: of the module.
  """
  pad = side // 2
  return nn.Conv(
    channels,
    (side, side),
    strides=(stride, stride),
    padding=((pad, pad), (pad, pad)),
    use_bias=False,
    conv_general_dilated=convolution(lowering),
    name=name,
  )


def max_pool_2x2(x_BxHxWxC: Array) -> Array:
  """Maximum over 2x2 windows, stride 2; an odd last row or column is dropped.

  Note: on the CPU this is two pairwise maxima, whose gradient is 50 times
  faster than that of the windowed form. Where entries of a window are equal
  and largest, a pairwise maximum splits the gradient between them in halves,
  while the windowed form (GPU, TPU) gives all of it to one.

  Returns:
    [B, H // 2, W // 2, C].
  """
  if jax.default_backend() != "cpu":
    return nn.max_pool(x_BxHxWxC, (2, 2), strides=(2, 2))
  batch, height, width, channels = x_BxHxWxC.shape
  high, wide = height // 2, width // 2
  even = x_BxHxWxC[:, : 2 * high, : 2 * wide]
  pairs = even.reshape(batch, high, 2, wide, 2, channels)
  rows = jnp.maximum(pairs[:, :, 0], pairs[:, :, 1])
  return jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])


def batch_norm(
  train: bool,
  axis_name: str | None,
  *,
  momentum: float = 0.9,
  epsilon: float = 1e-5,
  name: str | None = None,
) -> nn.BatchNorm:
  """Batch norm, by default with PyTorch's constants.

  Args:
    train: normalise by the batch's statistics and update the running ones.
    axis_name: devices over which the batch's statistics are averaged.
    momentum: share of the old in the new running statistics.
    epsilon: added to the variance.
    name: of the module.
  """
  return nn.BatchNorm(
    use_running_average=not train,
    momentum=momentum,
    epsilon=epsilon,
    use_fast_variance=False,
    axis_name=axis_name,
    name=name,
  )


def dropout(x_Bx: Array, rate: float, key: Array | None, layer: int) -> Array:
  """Sets each entry to 0 with probability `rate`, others to x / (1 - rate).

  Args:
    x_Bx: activations [B, ...].
    rate: in [0, 1).
    key: a typed key for the whole batch, or [B] keys, one an example, so that
      what an example loses does not depend on the device it lies on. Without a
      key, or with rate 0, nothing happens.
    layer: number of this dropout in the network; each draws anew.

  Returns:
    Of the same shape and dtype.
  """
  if not rate or key is None:
    return x_Bx

  def drop(x: Array, key: Array) -> Array:
    key = jax.random.fold_in(key, layer)
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), jnp.zeros_like(x))

  return jax.vmap(drop)(x_Bx, key) if key.ndim else drop(x_Bx, key)


def _convolve_short(
  x: Array, kernel: Array, strides: Sequence[int], padding: Any, **options: Any
) -> Array:
  if _is_simple(strides, options) and max(x.shape[1:3]) <= 4:
    return direct_convolution.kernel_views(_padded(x, kernel, padding), kernel)
  return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)


def _convolve_fast(
  x: Array, kernel: Array, strides: Sequence[int], padding: Any, **options: Any
) -> Array:
  if not _is_simple(strides, options):
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)
  # The bounds are where the forms' times crossed on x86-64 CPUs, batch 32.
  height, width, channels = x.shape[1:]
  side, is_3x3 = max(height, width), kernel.shape[:2] == (3, 3)
  even = height % 2 == 0 and width % 2 == 0
  winning = is_3x3 and even and 2 < side <= 32 and channels > 15
  if winning and _keeps_size(padding):
    return winograd.convolve(x, kernel)
  if side <= 20 or (side <= 32 and channels < 16) or is_3x3:
    padded = _padded(x, kernel, padding)
    # XLA's form is slow for the kernel's gradient and, inside a loop, for all;
    # but these copies of the map must not fill the memory.
    if padded.size * kernel.shape[0] * kernel.shape[1] <= _MOST_VIEWS:
      return direct_convolution.kernel_views(padded, kernel)
  return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)


def _keeps_size(padding: Any) -> bool:
  """Whether a 3x3 kernel gives a map of the same size."""
  if isinstance(padding, str):
    return padding == "SAME"
  return [tuple(pair) for pair in padding] == [(1, 1), (1, 1)]


def _is_simple(strides: Sequence[int], options: Mapping[str, Any]) -> bool:
  """Whether nothing is strided, dilated or grouped."""
  factors = (
    *strides,
    *(options.get("lhs_dilation") or ()),
    *(options.get("rhs_dilation") or ()),
    options.get("feature_group_count", 1),
  )
  return all(factor == 1 for factor in factors)


def _padded(x: Array, kernel: Array, padding: Any) -> Array:
  """The images with their border of zeros."""
  if isinstance(padding, str):
    padding = jax.lax.padtype_to_pads(
      x.shape[1:3], kernel.shape[:2], (1, 1), padding
    )
  return jnp.pad(x, ((0, 0), *padding, (0, 0)))
