"""Winograd's minimal filtering F(2x2, 3x3) as plain adds and dots.

A 2x2 tile of the output takes 16 multiplications a channel pair instead of 36
(Lavin & Gray 2016). Everything here is a linear map made of ordinary
operations, so it can be differentiated any number of times in either mode.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

Array = jax.Array


@jax.jit  # layers of one shape are then traced once
def convolve(x_BxHxWxC: Array, kernel_3x3xCxO: Array) -> Array:
  """Same-size 3x3 convolution with stride 1.

  Args:
    x_BxHxWxC: images; H and W even.
    kernel_3x3xCxO: the filters, not flipped, as in `jax.lax.conv`.

  Returns:
    [B, H, W, O]. In float32 it agrees with the direct sum to about 1e-6 of
    the largest entry, since the transforms add before they multiply.
  """
  batch, height, width, channels = x_BxHxWxC.shape
  tiles = (4, batch, height // 2, width // 2)
  filters_4x3xCxO = jnp.stack(_transform_filter(unstack(kernel_3x3xCxO, 0)))
  rows_4xBxHxWxC = jnp.stack(_transform_input(_overlapping(x_BxHxWxC, 1)))
  # By column of the 4x4 tile, all its rows together: four dots of four are as
  # fast on a CPU as sixteen single ones, and compile in half the time.
  products = [
    jnp.einsum("imc,ico->imo", tile.reshape(4, -1, channels), weights)
    for tile, weights in zip(
      _transform_input(_overlapping(rows_4xBxHxWxC, 3)),
      _transform_filter(unstack(filters_4x3xCxO, 1)),
      strict=True,
    )
  ]
  columns = _transform_output([m.reshape(*tiles, -1) for m in products])
  rows = _transform_output(unstack(jnp.stack(columns, axis=4), 0))
  return jnp.stack(rows, axis=2).reshape(batch, height, width, -1)


def unstack(x: Array, axis: int) -> list[Array]:
  """Slices along one axis, as the gradient of which XLA joins, not adds."""
  parts = jax.lax.split(x, (1,) * x.shape[axis], axis)
  return [jax.lax.squeeze(part, (axis,)) for part in parts]


def _overlapping(x: Array, axis: int) -> tuple[Array, Array, Array, Array]:
  """The four slices of all tiles along one axis, zeros beyond both ends.

  Tile t has the positions 2t - 1 .. 2t + 2, so that neighbours share two.
  """
  pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
  even, odd = unstack(pairs, axis + 1)
  return _shift(odd, axis, 1), even, odd, _shift(even, axis, -1)


def _shift(x: Array, axis: int, by: int) -> Array:
  config = [(0, 0, 0)] * x.ndim
  config[axis] = (by, -by, 0)
  return jax.lax.pad(x, jnp.zeros((), x.dtype), config)


def _transform_input(slices: Sequence[Array]) -> list[Array]:
  """B^T d, where `slices` are the four of a tile along one axis."""
  first, second, third, fourth = slices
  return [first - third, second + third, third - second, second - fourth]


def _transform_filter(taps: Sequence[Array]) -> list[Array]:
  """G g, where `taps` are the three slices of a filter along one axis."""
  first, middle, last = taps
  ends = (first + last) / 2
  return [first, ends + middle / 2, ends - middle / 2, last]


def _transform_output(products: Sequence[Array]) -> list[Array]:
  """A^T m: two output slices from four products."""
  first, second, third, fourth = products
  return [first + second + third, second - third - fourth]
