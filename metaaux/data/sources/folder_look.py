"""Looks at the image files of a folder before their pixels are read."""

import pathlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from metaaux.data.sources import decode, pixels, split_names
from metaaux.data.sources.decode import (
  BYTES,
  DEEP,
  FLOAT,
  UPPER,
  Broken,
  Header,
)
from metaaux.errors import UserError
from metaaux.parallel import memory

Paths = Sequence[pathlib.Path]
# Files that are decoded, at most, to name all broken ones with the first.
_CHECKED = 10_000
# Files whose range is found at a time.
_SOME = 64
# Upper bytes, of 16 bits, that data of 14 bits and less does not reach.
_BRIGHT = 64


class Look(NamedTuple):
  """How a folder is read.

  Attributes:
    size: [H, W, C] of every image.
    reading: how numbers become pixels.
    broken: files that are left out.
    notes: lines that say how the images are read.
    everything: all files.
  """

  size: tuple[int, int, int]
  reading: decode.Reading
  broken: frozenset[pathlib.Path]
  notes: tuple[str, ...]
  everything: Paths


def look(everything: Paths, own: Paths, part: split_names.Slice) -> Look:
  """Looks at all files of a folder.

  Args:
    everything: the files of all splits.
    own: the files of the split to be read.
    part: the split.

  Raises:
    UserError: files are broken and must not be skipped, sizes differ where one
      is wanted, or numbers have several readings.
  """
  headers = dict(
    zip(everything, decode.in_threads(decode.header, everything), strict=True)
  )
  broken = [h for h in headers.values() if isinstance(h, Broken)]
  reading = decode.Reading({}, part.background, upright=True)
  if broken and not part.skip_broken:
    raise _complaint(everything)
  if part.skip_broken:
    skipped = {each.path for each in broken}
    broken += verify([p for p in own if p not in skipped])
  left_out = frozenset(each.path for each in broken)
  whole = {p: h for p, h in headers.items() if p not in left_out}
  if not any(path in whole for path in own):
    raise UserError(f"{decode.complaint(broken)}; no image is left")
  if not part.side:
    _check_sizes(whole)
  reading = reading._replace(ranges=_ranges(whole, reading, part.pixel_range))
  first = next(whole[path] for path in own if path in whole)
  size = (
    part.side or first.height,
    part.side or first.width,
    3 if any(h.colour for h in whole.values()) else 1,
  )
  notes = (*_notes(whole, reading), *_skipped(broken))
  return Look(size, reading, left_out, notes, everything)


def reader(found: Look, paths: Paths, side: int) -> Callable:
  """Makes a function: positions in `paths` -> uint8 [m, H, W, C].

  The function raises UserError, which names all broken files, if one of them
  cannot be decoded.
  """

  def read(positions: np.ndarray) -> np.ndarray:
    shape = (len(positions), *found.size)
    memory.check(
      int(np.prod(shape, dtype=object)),
      f"the {len(positions)} images of {paths[0].parents[1]} (uint8"
      f"{list(shape)})",
      "use smaller ones, e.g. --config.image_side=64, or a part of them, e.g. "
      "--config.train_split=train[:10%]",
    )
    decoded = np.empty(shape, np.uint8)

    def put(row: int) -> bool:
      seen = decode.attempt(
        paths[positions[row]], found.size[-1], "", found.reading
      )
      if isinstance(seen, Broken):
        return False
      decoded[row] = decode.fit(seen, side)
      return True

    if not all(decode.in_threads(put, range(len(positions)))):
      raise _complaint(found.everything, paths)
    return decoded

  return read


def verify(paths: Paths) -> list[Broken]:
  """The files that cannot be decoded."""
  found = decode.in_threads(_verified, paths)
  return [each for each in found if each is not None]


def _verified(path: pathlib.Path) -> Broken | None:
  seen = decode.header(path)
  if isinstance(seen, Header):
    seen = decode.attempt(path, 1)
  return seen if isinstance(seen, Broken) else None


def _complaint(everything: Paths, first: Paths = ()) -> UserError:
  """A line that names all broken files, or some where there are very many."""
  some = list(dict.fromkeys((*first, *everything)))
  broken = sorted(verify(some[: max(_CHECKED, len(first))]))
  return UserError(
    f"{decode.complaint(broken)}; replace or remove "
    f"{'it' if len(broken) == 1 else 'them'}, or leave out what is no image "
    "with --config.skip_broken=True"
  )


def _skipped(broken: Sequence[Broken]) -> list[str]:
  if not broken:
    return []
  text = decode.complaint(sorted(broken), 3)
  return [f"left out, as skip_broken says: {text}"]


def _check_sizes(headers: dict[pathlib.Path, Header]) -> None:
  """Raises UserError unless all images have one size."""
  pairs = iter(headers.items())
  first_path, first = next(pairs)
  for path, other in pairs:
    if (other.width, other.height) != (first.width, first.height):
      raise UserError(
        f"{first_path} is {first.width}x{first.height}, {path} is "
        f"{other.width}x{other.height}; resize the images to one size, or "
        "let image_side do it, e.g. --config.image_side=32"
      )


def _ranges(
  headers: dict[pathlib.Path, Header],
  reading: decode.Reading,
  given: Sequence[float],
) -> dict[str, pixels.Range]:
  """The numbers of black and white in the files of each kind."""
  kinds: dict[str, list[pathlib.Path]] = {}
  for path, seen in headers.items():
    kinds.setdefault(seen.kind, []).append(path)
  found = {}
  for kind, paths in kinds.items():
    if not given:
      found[kind] = _range(kind, paths, reading)
    elif kind == UPPER:
      found[kind] = pixels.Range(given[0] / 256, given[1] / 256)
    elif kind != BYTES or len(kinds) == 1:
      found[kind] = pixels.Range(*given)
  # Of bytes nothing is to be done, or told.
  return {
    k: each
    for k, each in found.items()
    if each != pixels.BYTES or k in (DEEP, FLOAT)
  }


def _range(kind: str, paths: Paths, reading: decode.Reading) -> pixels.Range:
  """The range of one kind; ordinary images show it after a few files."""
  seen: list[pixels.Seen] = []
  # 16 bits that are used, and bytes that are no mask.
  enough = {BYTES: 1, UPPER: _BRIGHT - 1, DEEP: 2**14 - 1}.get(kind, np.inf)
  for start in range(0, len(paths), _SOME):
    some = decode.in_threads(
      lambda p: decode.extremes(p, kind, reading), paths[start : start + _SOME]
    )
    # Broken ones are named when they are read.
    seen += [each for each in some if each is not None]
    seen = [pixels.joint(seen)] if seen else []
    if seen and seen[0].high > enough and seen[0].dtype.itemsize <= 2:
      break
  if not seen:
    return pixels.usual(np.dtype(np.uint8))
  if kind == UPPER:
    if 0 < seen[0].high < _BRIGHT:
      raise UserError(
        f"{paths[0]}: images have 16 bits a colour, whose upper bytes reach "
        f"{seen[0].high} of 255, and no more of them is read; store them with "
        "8 bits a colour"
      )
    return pixels.BYTES
  return pixels.taken_for(seen[0], f"{paths[0]} and others")


def _notes(
  headers: dict[pathlib.Path, Header], reading: decode.Reading
) -> list[str]:
  """Lines on what is unusual; an ordinary folder of 8-bit images has none."""
  notes = []
  kinds = Counter(h.kind for h in headers.values())
  for kind, found in reading.ranges.items():
    notes.append(
      f"{kinds[kind]} images of {kind} numbers, taken for {found} from black "
      "to white (another range is set with --config.pixel_range=BLACK,WHITE)"
    )
  turned = sum(h.is_turned for h in headers.values())
  if turned:
    notes.append(f"{turned} images are turned upright, as their EXIF data says")
  with_alpha = sum(h.has_alpha for h in headers.values())
  if with_alpha:
    notes.append(
      f"{with_alpha} images may be transparent, and lie on grey "
      f"{reading.background} of 255 (--config.background)"
    )
  return notes
