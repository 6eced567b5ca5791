"""Decodes image files with Pillow, several at a time."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any, NamedTuple, TypeVar

import numpy as np

from metaaux import files
from metaaux.data.sources import foreign_files
from metaaux.data.sources import pixels as pixels_lib
from metaaux.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

# Anything else of Pillow's modes is colour, and becomes RGB.
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
# How numbers are stored: bytes; integers of 16 bits and more; floats; 16 bits
# in several channels, of which Pillow gives the upper byte.
BYTES, DEEP, FLOAT, UPPER = "8-bit", "16-bit", "float", "16-bit colour"
# Where a file says how the camera was held.
_ORIENTED = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
_ORIENTATION = 0x0112


class Header(NamedTuple):
  """The header of an image file, which is read without decoding it.

  Attributes:
    width: of the upright image.
    height: of the upright image.
    colour: whether it has more than one channel, transparency aside.
    kind: of its numbers, such as "8-bit".
    has_alpha: whether some pixels may be transparent.
    is_turned: whether the image is stored on its side, or mirrored.
  """

  width: int
  height: int
  colour: bool
  kind: str = BYTES
  has_alpha: bool = False
  is_turned: bool = False


class Broken(NamedTuple):
  """A broken image file, and what is wrong with it."""

  path: os.PathLike[str]
  what: str


class Reading(NamedTuple):
  """How images become arrays.

  Attributes:
    ranges: kind -> its range, for kinds whose numbers are not 0..255 (or, of 16
      bits, 0..65535) from black to white.
    background: grey value, 0..255, under transparent pixels.
    upright: whether to turn images as their headers say.
  """

  ranges: Mapping[str, pixels_lib.Range] = {}
  background: int = 128
  upright: bool = False


_PLAIN = Reading()


def header(path: os.PathLike[str]) -> Header | Broken:
  """Size and kind of an image file."""
  what = "is not a readable image"
  with _explained(path, what) as broken, _opened(path) as image:
    kind, turned = _kind(image), _transposition(image)
    sides = image.size if not _swaps(turned) else image.size[::-1]
    return Header(
      *sides,
      image.mode not in _GREY,
      kind,
      image.mode in _WITH_ALPHA or "transparency" in image.info,
      turned is not None,
    )
  return broken[0]


def decode(
  file: os.PathLike[str] | bytes,
  num_channels: int,
  origin: str = "",
  reading: Reading = _PLAIN,
) -> np.ndarray:
  """Decodes one image, a path or encoded bytes.

  Args:
    file: path or content of the file.
    num_channels: 1 for grey, 3 for colour.
    origin: name of encoded bytes in messages.
    reading: of its numbers; 16-bit grey values keep their upper byte by
      default.

  Returns:
    uint8 [H, W, num_channels].

  Raises:
    UserError: the file is cut short or not an image.
  """
  found = attempt(file, num_channels, origin, reading)
  if isinstance(found, Broken):
    raise UserError(f"{found.what}; replace or remove it")
  return found


def attempt(
  file: os.PathLike[str] | bytes,
  num_channels: int,
  origin: str = "",
  reading: Reading = _PLAIN,
) -> np.ndarray | Broken:
  """The result of `decode`, or what is wrong with the file."""
  what = "cannot be decoded"
  with _explained(origin or file, what) as broken, _opened(file) as image:
    return _pixels(image, num_channels, reading)
  return broken[0]


def extremes(
  path: os.PathLike[str], kind: str, reading: Reading
) -> pixels_lib.Seen | None:
  """Smallest and largest stored number of an image; None: a broken file."""
  with _explained(path, "cannot be decoded"), _opened(path) as image:
    if kind in (DEEP, FLOAT):
      return pixels_lib.extremes(np.asarray(image)[None], str(path))
    seen = _pixels(image, 3, reading._replace(ranges={}))
    return pixels_lib.Seen(int(seen.min()), int(seen.max()), seen.dtype)
  return None


def complaint(broken: Sequence[Broken], limit: int = 10) -> str:
  """One line that names broken files, not more than `limit` of them."""
  shown = ", ".join(each.what for each in broken[:limit])
  if len(broken) == 1:
    return shown
  more = len(broken) - limit
  return f"{len(broken)} files: {shown}{f' and {more} more' * (more > 0)}"


def fit(pixels: np.ndarray, side: int) -> np.ndarray:
  """The middle square of an image, resized: [H, W, C] -> [side, side, C].

  Pillow's bilinear filter, which averages over all pixels that a smaller one
  stands for. 0 leaves the image as it is.
  """
  from PIL import Image

  height, width, _ = pixels.shape
  if not side or (height, width) == (side, side):
    return pixels
  square = min(height, width)
  top, left = (height - square) // 2, (width - square) // 2
  cut = pixels[top : top + square, left : left + square]
  planes = [Image.fromarray(cut[..., c]) for c in range(cut.shape[-1])]
  wanted = (side, side), Image.Resampling.BILINEAR
  return np.stack([np.asarray(p.resize(*wanted)) for p in planes], axis=-1)


def fit_all(pixels: np.ndarray, side: int) -> np.ndarray:
  """`fit` of every image: uint8 or float32 [n, H, W, C]."""
  if not side or pixels.ndim == 2 or pixels.shape[1:3] == (side, side):
    return pixels
  count, channels = len(pixels), pixels.shape[-1]
  resized = np.empty((count, side, side, channels), pixels.dtype)
  for i, image in enumerate(pixels):
    resized[i] = fit(image, side)
  return resized


def in_threads(fn: Callable[[T], R], items: Sequence[T]) -> list[R]:
  """`[fn(item) for item in items]` on all cores; decoding frees the lock."""
  with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
    return list(pool.map(fn, items))


@contextlib.contextmanager
def _explained(file: Any, what: str) -> Iterator[list[Broken]]:
  """Gets a `Broken` where Pillow fails on a file."""
  broken: list[Broken] = []
  try:
    yield broken
  # Damaged files end in nearly every error there is, of Python and Pillow.
  except Exception as error:
    reason = getattr(error, "strerror", None) or str(error)
    if "cannot identify image file" in reason:
      reason = "its content is that of no image"  # and an address follows
    reason = (
      foreign_files.short(" ".join(reason.split())) or type(error).__name__
    )
    broken.append(Broken(file, f"{file} {what} ({reason})"))


@contextlib.contextmanager
def _opened(file: os.PathLike[str] | bytes) -> Iterator[Any]:
  """A Pillow image; nothing is decoded yet."""
  from PIL import Image

  if isinstance(file, bytes):
    with Image.open(io.BytesIO(file)) as image:
      yield image
    return
  with files.open_regular(file) as stream, Image.open(stream) as image:
    yield image


def _kind(image: Any) -> str:
  if image.mode == "F":
    return FLOAT
  if image.mode.startswith("I"):
    return DEEP
  return UPPER if ";16" in str(image.tile) else BYTES


def _transposition(image: Any) -> Any:
  """The transposition that an image needs to be upright; None: none."""
  from PIL import Image

  if image.format == "TIFF" or not any(k in image.info for k in _ORIENTED):
    return None
  turn = Image.Transpose
  return {
    2: turn.FLIP_LEFT_RIGHT,
    3: turn.ROTATE_180,
    4: turn.FLIP_TOP_BOTTOM,
    5: turn.TRANSPOSE,
    6: turn.ROTATE_270,
    7: turn.TRANSVERSE,
    8: turn.ROTATE_90,
  }.get(image.getexif().get(_ORIENTATION))


def _swaps(turned: Any) -> bool:
  """Whether width and height change places."""
  return turned is not None and turned.name in (
    *("TRANSPOSE", "TRANSVERSE"),
    *("ROTATE_90", "ROTATE_270"),
  )


def _pixels(image: Any, num_channels: int, reading: Reading) -> np.ndarray:
  kind = _kind(image)
  turned = _transposition(image) if reading.upright else None
  if turned is not None:
    image = image.transpose(turned)
  found = reading.ranges.get(kind)
  if kind in (DEEP, FLOAT):
    usual, numbers = pixels_lib.Range(0, 65535), np.asarray(image)
    if kind == FLOAT:
      usual = pixels_lib.UNIT
      if not np.isfinite(numbers).all():
        raise ValueError("it holds NaN or infinity")
    grey = pixels_lib.as_bytes(numbers, found or usual)
    return np.repeat(grey[..., None], num_channels, axis=-1)
  image = _on_background(image, reading.background)
  mode = "L" if num_channels == 1 else "RGB"
  seen = np.asarray(image.convert(mode)).reshape(*image.size[::-1], -1)
  return seen if found is None else pixels_lib.as_bytes(seen, found)


def _on_background(image: Any, background: int) -> Any:
  """The image without transparency."""
  from PIL import Image

  if image.mode not in _WITH_ALPHA and "transparency" not in image.info:
    return image
  image = image.convert("RGBA")
  if image.getextrema()[3] == (255, 255):
    return image
  ground = Image.new("RGBA", image.size, (*3 * (background,), 255))
  return Image.alpha_composite(ground, image)
