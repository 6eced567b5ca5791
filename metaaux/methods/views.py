"""Other views of images, made inside a loss: rotations, mirrors, noise, holes.

All take normalised images [B, H, W, C] and keys [B], one an example, so that a
view depends neither on the batch nor on the device.
"""

import jax
import jax.numpy as jnp

from metaaux.errors import UserError

Array = jax.Array


def rotations(images: Array) -> Array:
  """Copies turned by 0, 90, 180 and 270 degrees counter-clockwise.

  Args:
    images: [B, H, H, C].

  Returns:
    [4 B, H, H, C], all copies of one angle together.
  """
  return jnp.concatenate([jnp.rot90(images, k, (1, 2)) for k in range(4)])


def check_square(image_shape: tuple[int, int, int]) -> None:
  """Raises UserError unless images [H, W, C] can be rotated."""
  height, width, _ = image_shape
  if height != width:
    raise UserError(
      f"rotation needs square images, these are {height}x{width}; leave it out "
      "of config.semi_supervised.tasks"
    )


def mirror(images: Array, keys_B: Array) -> Array:
  """Mirrored left and right with probability 1/2."""
  drawn_B = jax.vmap(jax.random.bernoulli)(keys_B)
  return jnp.where(drawn_B[:, None, None, None], images[:, :, ::-1], images)


def add_noise(images: Array, keys_B: Array, deviation: Array | float) -> Array:
  """Plus independent normal noise of a standard deviation."""
  noise = jax.vmap(
    lambda key: jax.random.normal(key, images.shape[1:], images.dtype)
  )(keys_B)
  return images + deviation * noise


def cut_out(images: Array, keys_B: Array, side: tuple[int, int]) -> Array:
  """Zeros in a rectangle around a random pixel, cut off at the border.

  Args:
    images: [B, H, W, C].
    keys_B: keys.
    side: height and width of the rectangle.
  """
  shape = images.shape[1:3]

  def hole(key: Array) -> Array:
    keys = jax.random.split(key)
    inside = []
    for axis_key, size, length in zip(keys, shape, side, strict=True):
      start = jax.random.randint(axis_key, (), 0, size) - length // 2
      at = jnp.arange(size)
      inside.append((at >= start) & (at < start + length))
    return inside[0][:, None] & inside[1][None]

  hole_BxHxW = jax.vmap(hole)(keys_B)
  return jnp.where(hole_BxHxW[..., None], 0, images)
