"""Decodes image files with Pillow, several at a time."""

import io
import os
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import NamedTuple, TypeVar

import numpy as np

from metaaux.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

# Anything else of Pillow's modes is colour, and becomes RGB.
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
# What Pillow raises on files that are cut short or are something else.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError)


class Header(NamedTuple):
  """What an image file says of itself before it is decoded."""

  width: int
  height: int
  colour: bool


def header(path: os.PathLike[str]) -> Header:
  """Size and kind of an image file; UserError if it is none."""
  from PIL import Image

  try:
    with Image.open(path) as image:
      return Header(*image.size, image.mode not in _GREY)
  except _BROKEN as error:
    raise UserError(
      f"{path} is not a readable image ({error}); replace or remove it"
    ) from error


def decode(
  file: os.PathLike[str] | bytes, num_channels: int, origin: str = ""
) -> np.ndarray:
  """Decodes one image, a path or encoded bytes.

  16-bit grey values keep their upper byte; transparency is dropped.

  Args:
    file: path or content of the file.
    num_channels: 1 for grey, 3 for colour.
    origin: what to call encoded bytes in messages.

  Returns:
    uint8 [H, W, num_channels].

  Raises:
    UserError: the file is cut short or not an image.
  """
  from PIL import Image

  stream = io.BytesIO(file) if isinstance(file, bytes) else file
  try:
    with Image.open(stream) as image:
      return _pixels(image, num_channels)
  except _BROKEN as error:
    raise UserError(
      f"{origin or file} cannot be decoded ({error}); replace or remove it"
    ) from error


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
  if not side or pixels.shape[1:3] == (side, side):
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


def _pixels(image: object, num_channels: int) -> np.ndarray:
  if image.mode.startswith("I"):
    grey = np.clip(np.asarray(image, np.int32) >> 8, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], num_channels, axis=-1)
  if num_channels == 1:
    return np.asarray(image.convert("L"))[..., None]
  if "transparency" in image.info:
    # Straight to RGB, Pillow warns about palettes with transparency.
    image = image.convert("RGBA")
  return np.asarray(image.convert("RGB"))
