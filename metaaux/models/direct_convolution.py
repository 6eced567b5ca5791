"""Convolution as one matrix product, for maps that XLA is slow at.

A plain linear map of ordinary operations, so it can be differentiated any
number of times in either mode.
"""

import jax
import jax.numpy as jnp

Array = jax.Array


@jax.jit  # layers of one shape are then traced once
def kernel_views(x_BxHxWxC: Array, kernel_KxLxCxO: Array) -> Array:
  """Convolution with stride 1 and no padding, as one matrix product.

  All K L shifted copies of the map stand side by side, so that it suits small
  maps and few channels: it compiles quickly and its gradient is one product
  for the kernel and one for the map.

  Returns:
    [B, H - K + 1, W - L + 1, O].
  """
  batch, height, width, _ = x_BxHxWxC.shape
  rows, columns, _, out = kernel_KxLxCxO.shape
  high, wide = height - rows + 1, width - columns + 1
  views = [
    x_BxHxWxC[:, i : i + high, j : j + wide]
    for i in range(rows)
    for j in range(columns)
  ]
  views_MxD = jnp.concatenate(views, axis=-1).reshape(batch * high * wide, -1)
  product_MxO = views_MxD @ kernel_KxLxCxO.reshape(-1, out)
  return product_MxO.reshape(batch, high, wide, out)
