"""Random crops, flips, grey images and noise, and how pixels are normalised.

Crops and flips follow the published code of Liu, Davison & Johns 2019: images
are padded with black pixels, cropped and flipped, and normalised after that.
Grey images are those of Gui et al. 2020, reflected borders and noise those of
Shi et al. 2020.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from metaaux.errors import UserError

Array = jax.Array

# Of red, green and blue, as ITU-R BT.601 and Pillow have them.
_LUMINANCE = (0.299, 0.587, 0.114)

# Of an example's key, beside the two of crop and flip.
_GREY, _NOISE = 2, 3


def normalise(
  images: Array,
  mean: float | Sequence[float],
  std: float | Sequence[float],
) -> Array:
  """Pixels in [0, 1], minus `mean`, over `std`.

  Args:
    images: uint8 [..., C], divided by 255, or floats in [0, 1].
    mean: one value for all channels or one a channel.
    std: likewise.

  Returns:
    float32 of the same shape, or the dtype of float images.
  """
  if images.dtype == jnp.uint8:
    images = images.astype(jnp.float32) / 255
  shape = (1,) * (images.ndim - 1) + (-1,)
  mean = jnp.reshape(jnp.asarray(mean, images.dtype), shape)
  std = jnp.reshape(jnp.asarray(std, images.dtype), shape)
  return (images - mean) / std


def check_grayscale(
  probability: float, image_shape: tuple[int, int, int]
) -> None:
  """Raises UserError if images [H, W, C] cannot be made grey."""
  if probability and image_shape[2] != len(_LUMINANCE):
    raise UserError(
      f"augment.grayscale={probability} needs images of 3 channels (red, "
      f"green, blue), these are {'x'.join(map(str, image_shape))}; set it to 0"
    )


def padding(pad: int, shift: float, image_shape: tuple[int, int, int]) -> int:
  """Pixels that `augment` pads, for images of a size that only the data has.

  Args:
    pad: pixels; where it is 0, `shift` says how many.
    shift: share of the shorter side.
    image_shape: height, width, channels.

  Raises:
    UserError: the share is less than half a pixel, which would do nothing.
  """
  pixels = shift * min(image_shape[:2])
  if shift and round(pixels) == 0:
    raise UserError(
      f"augment.shift={shift} is {pixels:.2g} pixels of images of "
      f"{'x'.join(map(str, image_shape))}, so that none would be moved; raise "
      "it, or set it to 0"
    )
  return pad or round(pixels)


def augment(
  images: Array,
  key: Array,
  index_B: Array,
  *,
  pad: int,
  flip: bool,
  grayscale: float = 0.0,
  mode: str = "zero",
) -> Array:
  """Pads, crops to the old size at random, mirrors half, makes some grey.

  Each example has a key of its own, made of its index, so that its augmentation
  depends neither on its batch nor on its device.

  Args:
    images: raw pixels [B, H, W, C] before `normalise`; zero is black.
    key: typed key of the step.
    index_B: position of each example in the training pool, int32 [B].
    pad: pixels added at each border; 0: no crop.
    flip: whether to mirror left and right with probability 1/2.
    grayscale: probability that an image's luminance takes the place of all its
      channels, which must be red, green and blue; see `check_grayscale`.
    mode: the pixels added at the borders: "zero", or "reflect", which mirrors
      the image without repeating the border's own pixels.

  Returns:
    Images of the same shape and dtype.
  """
  keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, index_B)
  augment_one = functools.partial(
    _augment_one, pad=pad, flip=flip, grayscale=grayscale, mode=mode
  )
  return jax.vmap(augment_one)(images, keys)


def noisy(images: Array, key: Array, index_B: Array, deviation: float) -> Array:
  """Adds independent normal noise to normalised images.

  Args:
    images: [B, H, W, C], floats.
    key: the key of `augment`, of which the noise takes a part of its own.
    index_B: position of each example in the training pool, int32 [B].
    deviation: standard deviation, in the units of the images.

  Returns:
    Images of the same shape and dtype.
  """

  def add(image: Array, index: Array) -> Array:
    own_key = jax.random.fold_in(jax.random.fold_in(key, index), _NOISE)
    noise = jax.random.normal(own_key, image.shape, image.dtype)
    return image + deviation * noise

  return jax.vmap(add)(images, index_B)


def _augment_one(
  image: Array,
  key: Array,
  *,
  pad: int,
  flip: bool,
  grayscale: float,
  mode: str,
) -> Array:
  # A split in three would change the crops and flips of runs without grey.
  grey_key = jax.random.fold_in(key, _GREY)
  crop_key, flip_key = jax.random.split(key)
  if pad:
    y, x = jax.random.randint(crop_key, (2,), 0, 2 * pad + 1, jnp.int32)
    how = {"zero": "constant", "reflect": "reflect"}[mode]
    padded = jnp.pad(image, ((pad, pad), (pad, pad), (0, 0)), how)
    image = jax.lax.dynamic_slice(
      padded, (y, x, jnp.zeros_like(x)), image.shape
    )
  if flip:
    image = jnp.where(jax.random.bernoulli(flip_key), image[:, ::-1], image)
  if grayscale:
    drawn = jax.random.bernoulli(grey_key, grayscale)
    image = jnp.where(drawn, _grey(image), image)
  return image


def _grey(image: Array) -> Array:
  """The luminance of [H, W, 3] in all channels; bytes are rounded."""
  is_bytes = image.dtype == jnp.uint8
  weights = jnp.asarray(_LUMINANCE, jnp.float32 if is_bytes else image.dtype)
  # A sum and no product of matrices, which accelerators take short cuts for.
  value = (image * weights[None, None, :]).sum(axis=-1, keepdims=True)
  value = jnp.round(value).astype(jnp.uint8) if is_bytes else value
  return jnp.broadcast_to(value, image.shape)
