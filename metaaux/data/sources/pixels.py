"""Finds the pixel values of black and white, and scales images by them.

All other code of the package sees uint8 of 0..255 or floats of 0..1. Other
numbers are read where they have only one reading; else the config has to say
which.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from metaaux.errors import UserError

# What cameras and scanners store in 16 bits.
_DEPTHS = (10, 12, 14, 16)
# Numbers up to here leave open what white is: 16 grey values, 100 percent ...
_FEW = 127
# Images whose range is found at a time.
_SOME = 64


class Range(NamedTuple):
  """The numbers that stand for black and for white."""

  black: float
  white: float

  def __str__(self) -> str:
    return f"{self.black:g}..{self.white:g}"


class Seen(NamedTuple):
  """Smallest and largest number of some images, and their type."""

  low: float
  high: float
  dtype: np.dtype


BYTES, UNIT = Range(0, 255), Range(0, 1)


def usual(dtype: np.dtype) -> Range:
  """The range of the package's own images of this type."""
  return UNIT if np.issubdtype(dtype, np.floating) else BYTES


def extremes(images: np.ndarray, origin: str) -> Seen:
  """The range of images [n, ...]; uint8 are looked at until one is above 1.

  Raises:
    UserError: a pixel is NaN or infinite, or the array holds no numbers.
  """
  kind = images.dtype.kind
  if kind not in "buif":
    raise UserError(
      f"{origin}: images are {images.dtype}; store them as uint8, or as floats "
      "in [0, 1]"
    )
  low, high = np.inf, -np.inf
  for start in range(0, len(images), _SOME):
    part = images[start : start + _SOME]
    if kind == "f" and not np.isfinite(part).all():
      raise UserError(
        f"{origin}: float images hold {part[~np.isfinite(part)][0]}; "
        "scale them to [0, 1] (no NaN or inf), or store uint8"
      )
    low, high = min(low, part.min()), max(high, part.max())
    if images.dtype == np.uint8 and high > 1:
      break
  whole = int if kind in "bui" else float
  return Seen(whole(low), whole(high), images.dtype)


def joint(some: Iterable[Seen]) -> Seen:
  """The range of several arrays together, which have one kind of type."""
  some = list(some)
  return Seen(
    min(s.low for s in some), max(s.high for s in some), some[0].dtype
  )


def taken_for(seen: Seen, origin: str) -> Range:
  """The one reading that numbers of this range have.

  uint8 are 0..255, but 0 and 1 alone are black and white; other integers are of
  the smallest usual depth (8, 10, 12, 14 or 16 bits) that holds them. Floats
  are 0..1, -1..1 where they go from one to the other, and 0..255 where they end
  near there.

  Raises:
    UserError: the range has several readings.
  """
  low, high, dtype = seen
  if dtype == np.uint8:
    return UNIT if high == 1 else BYTES
  if dtype.kind == "f":
    if low >= 0 and high <= 1:
      return UNIT
    if -1 <= low <= -0.9 and 0.9 <= high <= 1:
      return Range(-1, 1)
    if low >= 0 and _FEW < high <= BYTES.white:
      return BYTES
    raise UserError(
      f"{origin}: float images hold {_numbers(seen)}, neither [0, 1], [-1, 1] "
      "nor [0, 255]; scale them, or say what is black and what is white, e.g. "
      f"--config.pixel_range={_hint(seen)}"
    )
  if low >= 0 and high == 1:
    return UNIT
  if low >= 0 and _FEW < high <= BYTES.white:
    return BYTES
  for depth in _DEPTHS:
    if low >= 0 and BYTES.white < high < 2**depth:
      return Range(0, 2**depth - 1)
  raise UserError(
    f"{origin}: images are {dtype}; store them as uint8, or as floats in [0, "
    f"1], or say what is black and what is white: they hold {_numbers(seen)}, "
    f"so perhaps --config.pixel_range={_hint(seen)}"
  )


def decided(
  images: np.ndarray,
  others: Callable[[], Sequence[np.ndarray]],
  given: Sequence[float],
  origin: str,
) -> Range:
  """Black and white of an array.

  Args:
    images: [n, ...].
    others: returns further arrays of the same source, to look at where these
      images alone may be an exception.
    given: (black, white) of the config, () where the config does not say.
    origin: name of the images in messages.

  Raises:
    UserError: several readings are possible.
  """
  own = extremes(images, origin)
  if given:
    return Range(*given)
  is_usual = own.dtype == np.uint8 and own.high > 1
  is_usual |= own.dtype.kind == "f" and own.low >= 0 and own.high <= 1
  if is_usual:
    return usual(own.dtype)
  alike = [
    extremes(other, origin)
    for other in others()
    if other.dtype == own.dtype and other.size
  ]
  return taken_for(joint([own, *alike]), origin)


def as_usual(images: np.ndarray, found: Range) -> np.ndarray:
  """Images as uint8 of 0..255 or float32 of 0..1, clipped to that range.

  Integers become uint8, by their upper bits where these are a known depth.
  Floats stay floats, but whole numbers of 0..255 are stored as such.
  """
  if images.dtype == np.uint8 and found == BYTES:
    return images
  if images.dtype.kind == "f":
    if found == UNIT:
      return images.astype(np.float32, copy=False)
    if found == BYTES and (np.rint(images) == images).all():
      return np.clip(images, 0, 255).astype(np.uint8)
    scaled = (images.astype(np.float32) - found.black) / _width(found)
    return np.clip(scaled, 0, 1, dtype=np.float32)
  return _bytes(images, found)


def as_bytes(pixels: np.ndarray, found: Range) -> np.ndarray:
  """One decoded image as uint8 of 0..255, whatever its numbers are."""
  if pixels.dtype.kind != "f":
    return _bytes(pixels, found)
  scaled = (pixels.astype(np.float64) - found.black) / _width(found)
  return np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def _bytes(pixels: np.ndarray, found: Range) -> np.ndarray:
  """uint8 of integers."""
  if found == BYTES:
    return np.clip(pixels, 0, 255).astype(np.uint8)
  if found.black == 0 and found.white in [2**depth - 1 for depth in _DEPTHS]:
    shift = int(found.white).bit_length() - 8
    return np.clip(pixels.astype(np.int64) >> shift, 0, 255).astype(np.uint8)
  scaled = (pixels.astype(np.float64) - found.black) / _width(found)
  return np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def note(found: Range, dtype: np.dtype) -> str:
  """A line about an unusual range; "" about the usual one."""
  if found == usual(dtype):
    return ""
  return (
    f"pixels are {dtype}, taken for {found} from black to white (another range "
    "is set with --config.pixel_range=BLACK,WHITE)"
  )


def _width(found: Range) -> float:
  return found.white - found.black


def _numbers(seen: Seen) -> str:
  if seen.dtype.kind == "f":
    return f"{float(seen.low)}..{float(seen.high)}"
  return f"{seen.low}..{seen.high}"


def _hint(seen: Seen) -> str:
  low = min(seen.low, 0)
  return f"{low:g},{seen.high:g}" if seen.high > low else f"{low:g},255"
