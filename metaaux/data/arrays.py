"""What every kind of data source returns, and the checks they all pass."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from metaaux.data import slices
from metaaux.errors import UserError


class Source(NamedTuple):
  """All examples of one split.

  Attributes:
    images: uint8 [n, H, W, C], or float32 [n, H, W, C] in [0, 1] where the
      source holds floats; or, where that was asked for, `lazy.Images`.
    labels: level name -> int32 [n]; a level is one division into classes.
    names: level name -> class names (index = class id); same keys as `labels`.
  """

  images: np.ndarray
  labels: Mapping[str, np.ndarray]
  names: Mapping[str, tuple[str, ...]]


def finest(names: Mapping[str, tuple[str, ...]]) -> str:
  """The level with the most classes; of several, the first."""
  return max(names, key=lambda level: len(names[level]))


def cut(source: Source, part: slices.Slice) -> Source:
  """The examples of `source` (a whole split) that the slice asks for."""
  start, stop = part.bounds(len(source.images))
  labels = {level: ids[start:stop] for level, ids in source.labels.items()}
  return source._replace(images=source.images[start:stop], labels=labels)


def check(source: Source, origin: str) -> Source:
  """Returns `source`; raises UserError, naming `origin`, if it is not sound."""
  images = _checked_images(source.images, origin)
  for level, ids in source.labels.items():
    if len(ids) != len(images):
      raise UserError(
        f"{origin}: {len(images)} images but {len(ids)} labels of level "
        f"'{level}'; each image needs one label"
      )
    check_labels(ids, len(source.names[level]), f"{origin}, level '{level}'")
  labels = {k: np.asarray(v, np.int32) for k, v in source.labels.items()}
  return source._replace(images=images, labels=labels)


def check_labels(ids: np.ndarray, num_classes: int, origin: str) -> None:
  """Raises UserError unless `ids` are integers in 0 .. num_classes - 1."""
  if not np.issubdtype(ids.dtype, np.integer):
    raise UserError(
      f"{origin}: labels are {ids.dtype}; store class ids as integers"
    )
  wrong = ids[(ids < 0) | (ids >= num_classes)]
  if wrong.size:
    raise UserError(
      f"{origin}: label {wrong[0]} is outside 0..{num_classes - 1}; "
      "number the classes from 0 without gaps"
    )


def _checked_images(images: np.ndarray, origin: str) -> np.ndarray:
  """Images as [n, H, W, C], uint8 or float32."""
  if images.ndim not in (3, 4):
    raise UserError(
      f"{origin}: images have shape {images.shape}; "
      "store them as [n, H, W] or [n, H, W, C]"
    )
  if 0 in images.shape:
    raise UserError(
      f"{origin}: no examples (image array of shape {images.shape}); "
      "use a split that is not empty"
    )
  if images.ndim == 3:
    images = images[..., None]
  if images.dtype == np.uint8:
    return images
  if not np.issubdtype(images.dtype, np.floating):
    raise UserError(
      f"{origin}: images are {images.dtype}; "
      "store them as uint8, or as floats in [0, 1]"
    )
  # Written so that NaN, for which every comparison is false, is found too.
  inside = (images >= 0) & (images <= 1)
  if not inside.all():
    raise UserError(
      f"{origin}: float images hold {images[~inside][0]}; "
      "scale them to [0, 1] (no NaN or inf), or store uint8"
    )
  return images.astype(np.float32)


def shrink(source: Source, factor: int, origin: str) -> Source:
  """Images made smaller: each pixel is the mean of a block of factor x factor.

  Rows and columns that do not fill a block are dropped, at the bottom and on
  the right. Means of uint8 are rounded to uint8.

  Args:
    source: what was loaded.
    factor: 1 changes nothing.
    origin: what to call the source in messages.

  Raises:
    UserError: a side has no block.
  """
  if factor == 1:
    return source
  count, height, width, channels = source.images.shape
  high, wide = height // factor, width // factor
  if not high * wide:
    raise UserError(
      f"shrink={factor}, but the images of {origin} are {height}x{width}; use "
      f"at most {min(height, width)}"
    )
  small = np.empty((count, high, wide, channels), source.images.dtype)
  for i, image in enumerate(np.asarray(source.images)):
    blocks = image[: high * factor, : wide * factor].reshape(
      high, factor, wide, factor, channels
    )
    mean = blocks.mean((1, 3), dtype=np.float32)
    small[i] = np.rint(mean) if small.dtype == np.uint8 else mean
  return source._replace(images=small)
