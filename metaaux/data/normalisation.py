"""The mean and the standard deviation by which inputs are normalised.

The config gives those of pixels; what it leaves open is that of the training
images. The name of a data set decides nothing, so that the same pixels train
alike from whatever source they come. Vectors are standardised, or stay.
"""

from typing import Any

import numpy as np

from metaaux.data.sources import lazy_images
from metaaux.errors import UserError

Values = tuple[float, ...]

# Images that are looked at together, which bounds the memory.
_BLOCK = 1024
# Digits of what is measured; more would hang on the order of additions.
_DIGITS = 7
# A smaller deviation, as a share of the mean, is that of a constant, rounded.
_LEAST = 1e-7


def choose(
  config: Any,
  images: np.ndarray | lazy_images.Images,
  rows: np.ndarray | None = None,
) -> tuple[Values, Values]:
  """Mean and standard deviation of pixels in [0, 1], or of vectors.

  Args:
    config: `pixels.mean` and `pixels.std`: one value for all channels or one a
      channel; () of both: each channel's own, of the images. Of vectors
      `inputs.standardise`.
    images: uint8 or float32 [n, H, W, C], or float32 [n, d]: the training pool.
    rows: positions of those that may be looked at, whole numbers of any shape
      and order; None: all.

  Raises:
    UserError: the values do not fit to the channels.
  """
  if images.ndim == 2 and not config.inputs.standardise:
    return (0.0,), (1.0,)
  mean, std = tuple(config.pixels.mean), tuple(config.pixels.std)
  if images.ndim == 2 or not mean:
    return of(images, np.arange(len(images)) if rows is None else rows)
  channels = images.shape[-1]
  for key, values in (("mean", mean), ("std", std)):
    if len(values) not in (1, channels):
      raise UserError(
        f"pixels.{key}={values} has {len(values)} values, and images of "
        f"{config.dataset} have {channels} channels; give one value, or one a "
        "channel"
      )
  return mean, std


def of(
  images: np.ndarray | lazy_images.Images, rows: np.ndarray
) -> tuple[Values, Values]:
  """Mean and standard deviation of each channel or dimension.

  Pixels are taken as in [0, 1]. Where all are the same, the deviation is 1.

  Args:
    images: uint8 or float32 [n, H, W, C], or float32 [n, d].
    rows: positions of the images that count, each once however often it is
      listed; at least one.
  """
  rows = np.unique(rows)
  total, squares, count = 0.0, 0.0, 0
  for start in range(0, len(rows), _BLOCK):
    block = lazy_images.whole(images[rows[start : start + _BLOCK]])
    scale = 255 if block.dtype == np.uint8 else 1
    flat = block.reshape(-1, block.shape[-1]).astype(np.float64) / scale
    total, squares = total + flat.sum(0), squares + (flat**2).sum(0)
    count += len(flat)
  mean = total / count
  std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
  std = np.where(std <= _LEAST * np.abs(mean), 1.0, std)
  return _rounded(mean), _rounded(std)


def _rounded(values: np.ndarray) -> Values:
  return tuple(float(f"{value:.{_DIGITS}g}") for value in values)
