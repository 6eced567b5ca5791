"""Says in a line or two how the data was read, and what looks odd about it."""

from collections.abc import Sequence

import numpy as np

from metaaux.data.sources import lazy_images, pixels
from metaaux.data.sources import source as source_lib

# Images that are looked at for their range, evenly over all.
_LOOKED_AT = 2048
# Classes that are named, of those that lack images.
_SHOWN = 5
# Less of the range from black to white than this looks like another range.
_NARROW = 0.25
_COLOURS = {1: "grey", 3: "colour"}


def notes(
  pool: source_lib.Source,
  test: source_lib.Source,
  level: str,
  train: np.ndarray | None,
  *,
  tested: np.ndarray | None = None,
) -> tuple[str, ...]:
  """Lines about the training and the test images.

  Args:
    pool: training images.
    test: test images.
    level: of the primary task.
    train: int32 [S, n], positions of the labelled images of every seed; None:
      all.
    tested: positions in `test` that figures are of; None: all.
  """
  names = pool.names[level]
  own, other = pool.labels[level], test.labels[level]
  if tested is not None:
    other = other[tested]
  counts = [np.bincount(ids, minlength=len(names)) for ids in (own, other)]
  labelled = ""
  if train is not None and train.shape[1] < len(own):
    labelled = f", {train.shape[1]} of them labelled"
  what = "rows" if pool.images.ndim == 2 else "images"
  seen = (
    f"data: {_kind(pool.images)}, {_values(pool.images)}; each class has "
    f"{_between(counts[0])} training {what}{labelled}, and "
    f"{_between(counts[1])} test {what}"
  )
  more = dict.fromkeys((*pool.notes, *test.notes))
  if pool.unlabelled is not None:
    seen += f"; {len(pool.unlabelled)} further {what} have no label"
  if test.unlabelled is not None and test is not pool:
    seen += f"; {len(test.unlabelled)} test {what} without a label are left out"
  odd = [
    *_too_narrow(pool.images),
    *_lacking(names, counts[0], "training"),
    *_lacking(names, counts[1], "test"),
  ]
  return (seen, *(f"data: {note}" for note in more), *odd)


def _some(images: np.ndarray | lazy_images.Images) -> np.ndarray:
  """Some of the images; none where a look would decode them."""
  if isinstance(images, lazy_images.Images):
    return np.empty(0)
  return images[:: -(-len(images) // _LOOKED_AT)]


def _values(images: np.ndarray | lazy_images.Images) -> str:
  """Type and range of the images' numbers."""
  some = _some(images)
  if not some.size:
    return f"{images.dtype}"
  return f"{images.dtype} {some.min():g}..{some.max():g}"


def _kind(images: np.ndarray | lazy_images.Images) -> str:
  if images.ndim == 2:
    return "vectors"
  channels = images.shape[-1]
  return _COLOURS.get(channels, f"{channels} channels")


def _too_narrow(images: np.ndarray | lazy_images.Images) -> list[str]:
  some = _some(images)
  if not some.size:
    return []
  if images.ndim == 2:
    if some.min() != some.max():
      return []
    return ["warning: all rows are the same, so that there is nothing to learn"]
  black, white = pixels.usual(some.dtype)
  low, high = some.min(), some.max()
  if low == high:
    return ["warning: all pixels are the same, so that there is nothing to see"]
  if (float(high) - float(low)) / (white - black) >= _NARROW:
    return []
  return [
    f"warning: pixels lie in {low:g}..{high:g} of {black:g}..{white:g}, so "
    "that images are almost of one shade; if other numbers are black and "
    f"white, say so, e.g. --config.pixel_range={min(low, 0):g},{high:g}"
  ]


def _between(counts: np.ndarray) -> str:
  low, high = counts.min(), counts.max()
  return f"{low}" if low == high else f"{low} to {high}"


def _lacking(names: Sequence[str], counts: np.ndarray, what: str) -> list[str]:
  """A line that names the classes without images."""
  without = [name for name, n in zip(names, counts, strict=True) if not n]
  if not without:
    return []
  shown = ", ".join(without[:_SHOWN])
  more = f" and {len(without) - _SHOWN} more" * (len(without) > _SHOWN)
  classes = "class" if len(without) == 1 else "classes"
  left = len(names) - len(without)
  then = (
    f"accuracy is of the other {left} alone"
    if what == "test"
    else "nothing can be learned of it"
  )
  if what == "test" and left == 1:
    then = "one constant answer would be 100 % right"
  return [f"warning: no {what} image of {classes} {shown}{more}; {then}"]
