"""The result of every kind of data source, and the checks that it passes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaaux.data.sources import pixels, split_names
from metaaux.errors import UserError

# Stands for a label that is not known.
NO_LABEL = -1


class Source(NamedTuple):
  """All examples of one split.

  Attributes:
    images: uint8 [n, H, W, C], or float32 [n, H, W, C] in [0, 1] where the
      source holds floats; `lazy_images.Images` on request. Or vectors, such as
      the features of a network: float32 [n, d].
    labels: level name -> int32 [n]; a level is one division into classes.
    names: level name -> class names (index = class id); same keys as `labels`.
    pixel_range: (black, white) as they were stored; () where images were stored
      as above.
    notes: lines that say how the source was read, and what was left out.
    unlabelled: further examples, of which no label is known; None: none.
  """

  images: np.ndarray
  labels: Mapping[str, np.ndarray]
  names: Mapping[str, tuple[str, ...]]
  pixel_range: tuple[float, ...] = ()
  notes: tuple[str, ...] = ()
  unlabelled: np.ndarray | None = None


def finest(names: Mapping[str, tuple[str, ...]]) -> str:
  """The level with the most classes; the first of equals."""
  return max(names, key=lambda level: len(names[level]))


def cut(source: Source, part: split_names.Slice) -> Source:
  """The examples of `source` (a whole split) that the slice asks for."""
  start, stop = part.bounds(len(source.images))
  labels = {level: ids[start:stop] for level, ids in source.labels.items()}
  return source._replace(images=source.images[start:stop], labels=labels)


def with_images(
  source: Source, change: Callable[[np.ndarray], np.ndarray]
) -> Source:
  """The source whose images, those without a label too, are changed alike."""
  rest = source.unlabelled
  return source._replace(
    images=change(source.images),
    unlabelled=None if rest is None else change(rest),
  )


def check(
  source: Source,
  origin: str,
  pixel_range: Sequence[float] = (),
  others: Callable[[], Sequence[np.ndarray]] = tuple,
  *,
  is_read: bool = False,
) -> Source:
  """`source` with images and labels as `Source` describes them.

  Examples whose label is -1 on some level become `unlabelled` ones.

  Args:
    source: images and labels as they were found.
    origin: name of the source in messages.
    pixel_range: (black, white) of the config, () where the config does not say.
    others: returns more images of the source, see `pixels.decided`.
    is_read: whether pixels are already in the usual range.

  Raises:
    UserError: the source is not sound, or has several readings.
  """
  given = source.images
  source = _sound(source, origin, pixel_range, others, is_read)
  if source.unlabelled is not None:
    rest = _sound(
      Source(source.unlabelled, {}, {}),
      f"{origin}, without labels",
      pixel_range,
      lambda: [given, *others()],
      is_read,
    )
    source = source._replace(unlabelled=rest.images)
  source = _without_labels(source, origin)
  images = source.images
  for level, ids in source.labels.items():
    if len(ids) != len(images):
      raise UserError(
        f"{origin}: {len(images)} images but {len(ids)} labels of level "
        f"'{level}'; each image needs one label{_transposed(images, ids)}"
      )
    check_labels(ids, len(source.names[level]), f"{origin}, level '{level}'")
  labels = {k: np.asarray(v, np.int32) for k, v in source.labels.items()}
  return source._replace(labels=labels)


def _sound(
  source: Source,
  origin: str,
  pixel_range: Sequence[float],
  others: Callable[[], Sequence[np.ndarray]],
  is_read: bool,
) -> Source:
  """The source with images, or vectors, as `Source` describes them."""
  if source.images.ndim == 2:
    return source._replace(images=_vectors(source.images, origin))
  images = _with_channels(source.images, origin)
  source = _with_channels_last(source._replace(images=images))
  return source if is_read else _in_range(source, origin, pixel_range, others)


def _without_labels(source: Source, origin: str) -> Source:
  """The source whose examples of label -1 stand apart from the others.

  Raises:
    UserError: none has a label, or the shapes differ.
  """
  known = np.ones(len(source.images), bool)
  for ids in source.labels.values():
    if len(ids) == len(known):
      known &= np.asarray(ids) != NO_LABEL
  if known.all():
    rest = source.unlabelled
  elif not known.any():
    raise UserError(
      f"{origin}: no example has a label (all are {NO_LABEL}); label some"
    )
  else:
    rest = source.images[~known]
    if source.unlabelled is not None:
      rest = np.concatenate([np.asarray(rest), np.asarray(source.unlabelled)])
    labels = {k: np.asarray(ids)[known] for k, ids in source.labels.items()}
    source = source._replace(images=source.images[known], labels=labels)
  if rest is not None and rest.shape[1:] != source.images.shape[1:]:
    raise UserError(
      f"{origin}: examples without a label have shape {rest.shape[1:]}, those "
      f"with one {source.images.shape[1:]}; convert them to one shape"
    )
  if rest is not None and rest.dtype != source.images.dtype:
    raise UserError(
      f"{origin}: examples without a label are {rest.dtype}, those with one "
      f"{source.images.dtype}; store them alike"
    )
  return source._replace(unlabelled=rest)


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


def _vectors(rows: Any, origin: str) -> np.ndarray:
  """Rows of numbers as float32 [n, d]."""
  rows = np.asarray(rows)
  if 0 in rows.shape:
    raise UserError(
      f"{origin}: no examples (array of shape {rows.shape}); use a split that "
      "is not empty, of rows with a number or more"
    )
  if rows.dtype.kind not in "buif":
    raise UserError(
      f"{origin}: rows are {rows.dtype}; store numbers, [n, d] of floats or "
      "whole numbers"
    )
  with np.errstate(over="ignore"):
    found = rows.astype(np.float32)
  wrong = np.argwhere(~np.isfinite(found))
  if wrong.size:
    row, column = wrong[0]
    raise UserError(
      f"{origin}: row {row} has {rows[row, column]} in column {column}; store "
      "finite numbers that float32 holds, and fill in what is missing"
    )
  return found


def _with_channels(images: Any, origin: str) -> Any:
  """Images as [n, H, W, C]."""
  if images.ndim not in (3, 4):
    raise UserError(
      f"{origin}: images have shape {images.shape}; "
      "store them as [n, H, W] or [n, H, W, C], vectors as [n, d]"
    )
  if 0 in images.shape:
    raise UserError(
      f"{origin}: no examples (image array of shape {images.shape}); "
      "use a split that is not empty"
    )
  return images[..., None] if images.ndim == 3 else images


def _with_channels_last(source: Source) -> Source:
  """Images as [n, H, W, C], also where they were [n, C, H, W]."""
  _, first, middle, last = source.images.shape
  # Other numbers of channels than these are left alone: spectra, features.
  if first not in (1, 3, 4) or min(middle, last) <= 4:
    return source
  said = (
    f"images are [n, {first}, {middle}, {last}], taken for channels first, "
    "then rows and columns"
  )
  return source._replace(
    images=np.ascontiguousarray(np.moveaxis(source.images, 1, -1)),
    notes=(*source.notes, said),
  )


def _transposed(images: np.ndarray, ids: np.ndarray) -> str:
  """A hint where another axis has as many entries as there are labels."""
  if len(ids) not in images.shape[1:]:
    return ""
  axis = images.shape.index(len(ids), 1)
  return f"; axis {axis} of the images has {len(ids)}, move it to the front"


def _in_range(
  source: Source,
  origin: str,
  pixel_range: Sequence[float],
  others: Callable[[], Sequence[np.ndarray]],
) -> Source:
  """Images as uint8 or float32 in [0, 1]."""
  images = np.asarray(source.images)
  found = pixels.decided(images, others, pixel_range, origin)
  said = pixels.note(found, images.dtype)
  return source._replace(
    images=pixels.as_usual(images, found),
    pixel_range=tuple(found) if said else (),
    notes=(*source.notes, *([said] if said else [])),
  )


def shrink(source: Source, factor: int, origin: str) -> Source:
  """Smaller images: each pixel is the mean of a block of factor x factor.

  Rows and columns that do not fill a block are dropped, at the bottom and on
  the right. Means of uint8 are rounded to uint8.

  Args:
    source: a loaded source.
    factor: side of a block; 1 changes nothing.
    origin: name of the source in messages.

  Raises:
    UserError: a side is shorter than a block.
  """
  if factor == 1:
    return source
  height, width = source.images.shape[1:3]
  high, wide = height // factor, width // factor
  if not high * wide:
    raise UserError(
      f"shrink={factor}, but the images of {origin} are {height}x{width}; use "
      f"at most {min(height, width)}"
    )

  def smaller(images: np.ndarray) -> np.ndarray:
    count, _, _, channels = images.shape
    small = np.empty((count, high, wide, channels), images.dtype)
    for i, image in enumerate(np.asarray(images)):
      blocks = image[: high * factor, : wide * factor].reshape(
        high, factor, wide, factor, channels
      )
      mean = blocks.mean((1, 3), dtype=np.float32)
      small[i] = np.rint(mean) if small.dtype == np.uint8 else mean
    return small

  return with_images(source, smaller)
