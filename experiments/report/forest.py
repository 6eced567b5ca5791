"""Paired differences as a forest plot: an interval a run, around zero."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..compare import Row
from .parts import interval, points


class Bar(NamedTuple):
  """A row of the forest plot; positions are percentages of its width.

  Attributes:
    label: of the run.
    figure: `+0.18 ± 1.54`.
    pairs: seeds that both runs have.
    verdict: better, worse, within noise, or one seed.
    left: low end of the interval.
    width: of the interval.
    middle: the mean.
    alt: all of it in words.
  """

  label: str
  figure: str
  pairs: int
  verdict: str
  left: float
  width: float
  middle: float
  alt: str


def percent(value: float | None) -> float | None:
  """A fraction in percent; None stays."""
  return None if value is None else 100 * value


def verdict(row: Row) -> str:
  """Whether the interval of a paired difference leaves out zero."""
  mean, half = row.gap
  if half is None:
    return "one seed"
  if abs(mean) <= half:
    return "within noise"
  return "better" if mean > 0 else "worse"


def rows(
  compared: Sequence[Row],
) -> tuple[list[Bar], list[tuple[float, str]], float]:
  """Intervals on a common scale that holds them all, and zero."""
  spans = [
    (100 * (mean - (half or 0)), 100 * mean, 100 * (mean + (half or 0)))
    for mean, half in (row.gap for row in compared)
  ]
  low = min(0.0, *(span[0] for span in spans))
  high = max(0.0, *(span[2] for span in spans))
  room = 0.06 * (high - low) or 1.0
  low, high = low - room, high + room

  def place(value: float) -> float:
    return round(100 * (value - low) / (high - low), 2)

  bars = []
  for row, (first, mean, last) in zip(compared, spans, strict=True):
    said = verdict(row)
    bars.append(
      Bar(
        label=row.label,
        figure=interval(mean, percent(row.gap[1]), sign=True),
        pairs=row.pairs,
        verdict=said,
        left=place(first),
        width=round(place(last) - place(first), 2),
        middle=place(mean),
        alt=f"{row.label}: {points(mean)} points, 95% interval "
        f"{points(first)} to {points(last)}, {said}",
      )
    )
  ticks = [(place(x), _tick(x)) for x in _ticks(low, high)]
  return bars, ticks, place(0.0)


def _tick(value: float) -> str:
  return f"{value:+.6g}".replace("-", "−") if value else "0"


def _ticks(low: float, high: float) -> list[float]:
  """Four to eight round numbers between two others."""
  rough = (high - low) / 8
  unit = 10 ** math.floor(math.log10(rough))
  step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= rough)
  first, last = math.ceil(low / step), math.floor(high / step)
  return [round(i * step, 10) for i in range(first, last + 1)]
