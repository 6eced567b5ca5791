"""Reads the records of a prepared TFDS set, some at a time on every core."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaaux.data.sources import decode, lazy_images
from metaaux.errors import UserError

# Keys of a feature, from the outermost to its own.
Path = tuple[str, ...]
Record = Mapping[str, Any]
# Sets of grey drawings that are stored in colour.
_GREY = ("omniglot",)
# Records, at most, that a thread parses and decodes before it takes the next.
_CHUNK = 512


class Request(NamedTuple):
  """A request to read examples of a set.

  Attributes:
    split: name of the whole split.
    wanted: positions in the split.
    image_key: name of the image feature.
    label_keys: paths of the label features.
    only: path of a label feature, and its value in the examples to keep; None:
      all.
    side: side of the square images to return; 0: as stored.
    lazy: whether images may be decoded later, when somebody looks at them.
  """

  split: str
  wanted: range
  image_key: str
  label_keys: Sequence[Path]
  only: tuple[Path, int] | None
  side: int
  lazy: bool


def read(
  builder: Any, request: Request
) -> tuple[np.ndarray | lazy_images.Images, np.ndarray]:
  """Images [n, H, W, C] and labels int32 [n, L] of the wanted examples.

  Args:
    builder: of the set, which is on disk.
    request: what to read. `lazy` has no effect where the set does not state the
      size of its images.

  Raises:
    UserError: the set cannot be read, or its images are of several sizes.
  """
  shape = _image_shape(builder, request)
  if request.lazy and None not in shape:
    return _read_labels(builder, request, shape)
  whole = None
  if request.side and request.only is None:
    whole = np.empty((len(request.wanted), *shape), np.uint8)

  def example(row: int, i: int, record: Record) -> tuple[Any, list[int]]:
    pixels = _decode(builder, request, shape[-1], i, record)
    if whole is not None:
      whole[row] = pixels
      pixels = None
    return pixels, _labels(request, record)

  found = _each(builder, request, request.wanted, example)
  if whole is None:
    whole = _stack([pixels for pixels, _ in found], builder.info.full_name)
  return whole, _table(request, [ids for _, ids in found])


def _read_labels(
  builder: Any, request: Request, shape: tuple[int, int, int]
) -> tuple[lazy_images.Images, np.ndarray]:
  """Images that are decoded later, and their labels."""

  def pixels_at(positions: np.ndarray) -> np.ndarray:
    pixels = np.empty((len(positions), *shape), np.uint8)

    def put(row: int, i: int, record: Record) -> None:
      pixels[row] = _decode(builder, request, shape[-1], i, record)

    _each(builder, request, positions.tolist(), put)
    return pixels

  found = _each(
    builder,
    request,
    request.wanted,
    lambda _, i, record: (i, _labels(request, record)),
  )
  positions = np.array([i for i, _ in found], np.int64)
  origin = f"{builder.info.full_name}, {request.split}"
  return (
    lazy_images.Images(pixels_at, positions, shape, origin),
    _table(request, [ids for _, ids in found]),
  )


def _each(
  builder: Any,
  request: Request,
  positions: Sequence[int],
  fn: Callable[[int, int, Record], Any],
) -> list[Any]:
  """`fn(row, position, record)` of the records to keep, on all cores."""
  import tensorflow_datasets as tfds

  where = builder.info.full_name
  # Few records are divided as well.
  size = min(_CHUNK, -(-len(positions) // (os.cpu_count() or 1)) or 1)

  def of_chunk(start: int) -> list[Any]:
    chunk = positions[start : start + size]
    some = zip(chunk, records.__getitems__(chunk), strict=True)
    return [
      fn(row, i, record)
      for row, (i, record) in enumerate(some, start)
      if request.only is None or at(record, request.only[0]) == request.only[1]
    ]

  skip = {request.image_key: tfds.decode.SkipDecoding()}
  try:
    records = builder.as_data_source(request.split, decoders=skip)
    chunks = decode.in_threads(of_chunk, range(0, len(positions), size))
  except NotImplementedError as error:
    raise UserError(
      f"tfds:{where} in {builder.data_dir} is not in array_record files; "
      "prepare it in another directory, with "
      "tfds.builder(NAME, data_dir=...)"
      ".download_and_prepare(file_format='array_record'), and set TFDS_DATA_DIR"
    ) from error
  except RuntimeError as error:
    raise UserError(
      f"tfds:{where} in {builder.data_dir} is damaged ({first_line(error)}); "
      "prepare it again"
    ) from error
  return [found for chunk in chunks for found in chunk]


def _image_shape(builder: Any, request: Request) -> tuple:
  """[H, W, C] of the images to return; None: a side that is not stated."""
  height, width, channels = builder.info.features[request.image_key].shape
  side, grey = request.side, channels == 1 or builder.name in _GREY
  return side or height, side or width, 1 if grey else 3


def _decode(
  builder: Any, request: Request, num_channels: int, i: int, record: Record
) -> np.ndarray:
  origin = f"tfds:{builder.info.full_name}, {i}"
  pixels = decode.decode(record[request.image_key], num_channels, origin)
  return decode.fit(pixels, request.side)


def _labels(request: Request, record: Record) -> list[int]:
  return [at(record, key) for key in request.label_keys]


def _table(request: Request, ids: list[list[int]]) -> np.ndarray:
  return np.array(ids, np.int32).reshape(-1, len(request.label_keys))


def _stack(pixels: list[np.ndarray], where: str) -> np.ndarray:
  if not pixels:
    return np.zeros((0, 0, 0, 0), np.uint8)
  shapes = {p.shape for p in pixels}
  if len(shapes) > 1:
    first, second, *_ = sorted(shapes)
    raise UserError(
      f"tfds:{where} has images of several sizes, such as {first} and "
      f"{second}; use a set, or a config of it, with one size"
    )
  return np.stack(pixels)


def at(tree: Any, path: Path) -> Any:
  """The value in a nested dictionary at a path."""
  for key in path:
    tree = tree[key]
  return tree


def first_line(error: Exception) -> str:
  """First line of an error's text, or else its name."""
  return (str(error).splitlines() or [type(error).__name__])[0]
