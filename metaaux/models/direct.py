"""Convolutions as sums of matrix products, for maps that XLA is slow at.

Plain linear maps of ordinary operations, so they can be differentiated any
number of times in either mode.
"""

import jax
import jax.numpy as jnp

Array = jax.Array


@jax.jit  # layers of one shape are then traced once
def valid_taps(x_BxHxWxC: Array, kernel_KxLxCxO: Array) -> Array:
  """Same-size convolution with stride 1 and odd kernel sides, for tiny maps.

  One matrix product for each kernel tap, over just those rows and columns
  whose input lies inside the map: on a 2x2 map 16 of the 36 products of a
  position with a tap.

  Returns:
    [B, H, W, O].
  """
  rows, columns = kernel_KxLxCxO.shape[:2]
  terms = [
    _tap(x_BxHxWxC, kernel_KxLxCxO[i, j], i - rows // 2, j - columns // 2)
    for i in range(rows)
    for j in range(columns)
  ]
  return sum(term for term in terms if term is not None)


def _tap(
  x_BxHxWxC: Array, weights_CxO: Array, down: int, right: int
) -> Array | None:
  """out[h, w] += x[h + down, w + right] @ weights where that is inside."""
  height, width = x_BxHxWxC.shape[1:3]
  if abs(down) >= height or abs(right) >= width:
    return None
  inside = x_BxHxWxC[:, max(down, 0) : height + min(down, 0)]
  inside = inside[:, :, max(right, 0) : width + min(right, 0)]
  product = jnp.einsum("bhwc,co->bhwo", inside, weights_CxO)
  pads = [(max(-offset, 0), max(offset, 0)) for offset in (down, right)]
  return jnp.pad(product, ((0, 0), *pads, (0, 0)))


@jax.jit  # layers of one shape are then traced once
def kernel_rows(x_BxHxWxC: Array, kernel_KxLxCxO: Array) -> Array:
  """Convolution with stride 1 and no padding, for any kernel.

  One matrix product for each row of the kernel: a row of L taps meets L
  shifted copies of the map side by side.

  Returns:
    [B, H - K + 1, W - L + 1, O].
  """
  batch, height, width, channels = x_BxHxWxC.shape
  rows, columns, _, out = kernel_KxLxCxO.shape
  high, wide = height - rows + 1, width - columns + 1
  shifted = jnp.concatenate(
    [x_BxHxWxC[:, :, j : j + wide] for j in range(columns)], axis=-1
  )

  def product(i: int) -> Array:
    row_MxD = shifted[:, i : i + high].reshape(-1, columns * channels)
    weights_OxD = kernel_KxLxCxO[i].reshape(columns * channels, out).T
    # The barrier keeps the transposition out of the product that gives the
    # kernel's gradient; XLA would turn that product round, which is slower.
    weights_OxD = jax.lax.optimization_barrier(weights_OxD)
    return jnp.einsum("md,od->mo", row_MxD, weights_OxD)

  return sum(product(i) for i in range(rows)).reshape(batch, high, wide, out)
