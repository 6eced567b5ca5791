"""Split strings: `train`, `train[:90%]`, `train[1000:2000]`, `test[-10%:]`.

The meaning is that of TensorFlow Datasets: bounds count examples or, with `%`,
percents rounded to the closest example; negative bounds count from the end;
`+` joins splits, as in `train[:50%]+test`. Ours alone is `/class`: the bounds
of `train[:50%/class]` or `train[50%:70%/class]` count within each class, whose
examples stand in a random order that never changes; so the parts of one set at
`[:50%/class]`, `[50%:70%/class]` and `[70%:/class]` do not overlap.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from metaaux.errors import UserError

_BOUND = r"-?\d+(?:\.\d+)?%|-?\d+"
_SPLIT = re.compile(
  rf"(?P<name>[\w-]+)(?:\[(?P<start>{_BOUND})?:(?P<stop>{_BOUND})?"
  r"(?P<each>/class)?\])?"
)


class Slice(NamedTuple):
  """A split, or a part of one.

  Attributes:
    name: the whole split, such as "train".
    start: first bound as written ("10%", "1000"), "" for the beginning.
    stop: second bound as written, "" for the end.
    per_class: whether the bounds count within each class.
    select: "LEVEL=CLASS" where only examples of that class are wanted, else "";
      a source may leave the others out and save their decoding.
    side: side of the square images to return, 0: images as stored; a source
      with large images may decode straight to it.
    lazy: whether a source may return `lazy_images.Images`, where it can.
    skip_broken: whether broken image files are left out and counted.
    pixel_range: (black, white); (): as the images look.
    background: grey value, 0..255, under transparent pixels.
  """

  name: str
  start: str = ""
  stop: str = ""
  per_class: bool = False
  select: str = ""
  side: int = 0
  lazy: bool = False
  skip_broken: bool = False
  pixel_range: tuple[float, ...] = ()
  background: int = 128

  def bounds(self, num_examples: int) -> tuple[int, int]:
    """First example and the one after the last, of `num_examples`.

    Raises:
      UserError: a bound lies outside the split, or nothing is left.
    """
    start = _position(self.start or "0", num_examples)
    stop = _position(self.stop, num_examples) if self.stop else num_examples
    if not 0 <= start <= num_examples or not 0 <= stop <= num_examples:
      raise UserError(
        f"split '{self}' reaches outside the {num_examples} examples of "
        f"'{self.name}'; use bounds up to {num_examples} or 100%"
      )
    if start >= stop:
      raise UserError(
        f"split '{self}' is empty (examples {start}:{stop} of "
        f"{num_examples}); widen it"
      )
    return start, stop

  def __str__(self) -> str:
    if not self.start and not self.stop:
      return self.name
    each = "/class" if self.per_class else ""
    return f"{self.name}[{self.start}:{self.stop}{each}]"


def parse(text: str) -> tuple[Slice, ...]:
  """Reads a split string, the terms of a sum one after another.

  Raises:
    UserError: the text is not of a known form.
  """
  return tuple(_parse_one(term, text) for term in text.split("+"))


def _parse_one(term: str, text: str) -> Slice:
  match = _SPLIT.fullmatch(term)
  if match is None or "[:]" in term or "[:/" in term:
    raise UserError(
      f"split '{text}' is not understood; write NAME or NAME[FROM:TO] with "
      "examples or percents, such as train, train[:90%] or test[1000:2000], "
      "joined by +; NAME[FROM:TO/class] counts within each class"
    )
  start, stop = match["start"] or "", match["stop"] or ""
  if start and stop and start.endswith("%") != stop.endswith("%"):
    raise UserError(
      f"split '{text}' mixes percents and examples; use one unit for both"
    )
  return Slice(match["name"], start, stop, match["each"] is not None)


def check_name(part: Slice, known: Iterable[str], origin: str) -> None:
  """Raises UserError, listing the `known` splits, if the split is not one."""
  known = sorted(known)
  if part.name not in known:
    raise UserError(
      f"{origin} has no split '{part.name}'; its splits: {', '.join(known)}"
    )


def _position(bound: str, num_examples: int) -> int:
  if bound.endswith("%"):
    position = round(float(bound[:-1]) * num_examples / 100.0)
  else:
    position = int(bound)
  return position + num_examples if position < 0 else position
