"""Draws the pictures of a run: task weights, masks, feature distances.

No other file of the package imports matplotlib, and this one only to draw.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaaux import files, messages
from metaaux.run import confidence_intervals
from metaaux.run import directory as run_directory
from metaaux.run.logs import rows as rows_lib

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# With more lines than colours, the highest and the lowest are named.
_ENDS = 3

Rows = Sequence[dict[str, Any]]


class Picture(NamedTuple):
  """A picture, and the metrics that it shows.

  Attributes:
    name: of the file.
    prefix: of the metrics; each metric becomes a line or a point.
    split: the split whose rows hold the metrics.
    noun: word before each name in the legend.
    label: of the vertical axis.
    what: the content in words, for the user.
    draw: (axes, picture, steps [n], name -> values [n, S]) -> None.
    least: the least upper end of the vertical axis, so that values near 0 look
      near 0.
  """

  name: str
  prefix: str
  split: str
  noun: str
  label: str
  what: str
  draw: Callable[[Any, "Picture", np.ndarray, dict[str, np.ndarray]], None]
  least: float = 0.0


def curves(
  rows: Rows, picture: Picture
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """The numbers of a picture, over training.

  Args:
    rows: of metrics.jsonl.
    picture: the picture.

  Returns:
    Steps [n], and name -> values [n, S] of all seeds; empty if there are none.
    Steps count from the first stage that has such numbers, so that earlier
    stages, such as that of a big task, do not shift them.
  """
  prefix = picture.prefix
  rows = [
    row
    for row in rows
    if row["split"] == picture.split and any(k.startswith(prefix) for k in row)
  ]
  if not rows:
    return np.array([]), {}
  before = rows[0]["total_step"] - rows[0]["step"]
  by_step: dict[int, list[dict[str, Any]]] = {}
  for row in rows:
    by_step.setdefault(row["total_step"] - before, []).append(row)
  steps = sorted(by_step)
  names = [k.removeprefix(prefix) for k in rows[0] if k.startswith(prefix)]
  return np.array(steps), {
    name: np.array([[r[prefix + name] for r in by_step[s]] for s in steps])
    for name in names
  }


def draw(workdir: str) -> list[tuple[str, str]]:
  """Draws all pictures for which a run directory has numbers.

  Returns:
    The content of each picture in words, and its path; nothing if matplotlib
    is missing.
  """
  rows = rows_lib.read_rows(os.path.join(workdir, run_directory.METRICS))
  found = [(picture, *curves(rows, picture)) for picture in PICTURES]
  found = [(picture, x, values) for picture, x, values in found if values]
  if not found:
    return []
  try:
    from matplotlib.figure import Figure
  except ImportError:
    names = ", ".join(picture.name for picture, *_ in found)
    messages.warn(
      f"{names}: not drawn, since matplotlib is missing; "
      "pip install 'metaaux[report]'"
    )
    return []
  drawn = []
  for picture, steps, values in found:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    picture.draw(axes, picture, steps, values)
    axes.set_ylabel(picture.label)
    axes.spines[["top", "right"]].set_visible(False)
    path = os.path.join(workdir, picture.name)
    with files.replacing(path) as file:
      figure.savefig(file, dpi=150, format="png")
    drawn.append((picture.what, path))
  return drawn


def _mean_and_half(values_NxS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Mean over seeds and its 95% half-width, 0 for a single seed: each [n]."""
  points = [confidence_intervals.mean_ci(values) for values in values_NxS]
  mean, half = np.array([(m, h or 0.0) for m, h in points]).T
  return mean, half


def plot_lines(
  axes: Any,
  picture: Picture,
  steps: np.ndarray,
  values: dict[str, np.ndarray],
) -> None:
  """A line for each name with its 95% interval over seeds.

  Args:
    axes: of matplotlib.
    picture: the picture.
    steps: [n], of `curves`.
    values: name -> [n, S], of `curves`.
  """
  highest_first = sorted(values, key=lambda name: -values[name][-1].mean())
  named = highest_first
  if len(named) > len(COLOURS):
    named = highest_first[:_ENDS] + highest_first[-_ENDS:]
  others = [name for name in highest_first if name not in named]
  for i, name in enumerate(others):
    label = f"{len(others)} others" if i == 0 else None
    axes.plot(steps, values[name].mean(1), color="#BBBBBB", lw=0.7, label=label)
  for name, colour in zip(named, COLOURS, strict=False):
    mean, half = _mean_and_half(values[name])
    label = f"{picture.noun}{name}: {_shown(mean[-1])}"
    axes.plot(steps, mean, color=colour, label=label)
    low = np.maximum(mean - half, 0)  # nothing here can be negative
    axes.fill_between(steps, low, mean + half, color=colour, alpha=0.2)
  axes.set_xlabel("training step")
  axes.set_ylabel(picture.label)
  axes.set_xlim(left=0)
  highest = max(of.max() for of in values.values())
  from_zero(axes, picture.least if highest > 0 else picture.least or 1)


def _shown(value: float) -> str:
  """0.46, 12.00, but 0.0043: what is small is not 0."""
  return f"{value:.2g}" if 0 < value < 0.1 else f"{value:.2f}"


def from_zero(axes: Any, least: float) -> None:
  """Sets the vertical axis from 0, with room for a line that lies on 0.

  Args:
    axes: of matplotlib, with all that is drawn.
    least: the least upper end of the axis, which it has where all is 0.
  """
  reached = max(
    (values.max() for line in axes.lines if len(values := line.get_ydata())),
    default=0,
  )
  top = max(axes.get_ylim()[1] if reached > 0 else 0, least)
  axes.set_ylim(-0.02 * top, 1.02 * top)


def _lines(
  axes: Any,
  picture: Picture,
  steps: np.ndarray,
  values: dict[str, np.ndarray],
) -> None:
  """Draws the lines, and beside each its name."""
  plot_lines(axes, picture, steps, values)
  seeds = next(iter(values.values())).shape[1]
  axes.figure.legend(
    title=f"at the end,\nmean of {messages.count(seeds, 'seed')}",
    loc="outside right upper",
    fontsize=8,
    frameon=False,
  )


def _before_and_after(
  axes: Any,
  picture: Picture,
  steps: np.ndarray,
  values: dict[str, np.ndarray],
) -> None:
  """Draws the first and the last value of each name, with 95% intervals."""
  del picture
  names = sorted(values, key=int)
  stacked = np.stack([values[name] for name in names])  # [names, n, S]
  for place, mark, fill in ((0, "o", "none"), (-1, "o", COLOURS[0])):
    mean, half = _mean_and_half(stacked[:, place])
    axes.errorbar(
      np.arange(len(names)),
      mean,
      yerr=half,
      fmt=mark,
      color=COLOURS[0],
      markerfacecolor=fill,
      lw=1,
      label=f"step {steps[place]}: mean {mean.mean():.3g}",
    )
  axes.set_xticks(np.arange(len(names)), names, fontsize=8)
  axes.set_xlabel("class of the tasks, one task after another")
  from_zero(axes, 1e-3)
  axes.figure.legend(
    loc="outside upper left", ncols=2, frameon=False, fontsize=8
  )


WEIGHTS = Picture(
  "weights.png",
  "weight_",
  "batch",
  "",
  "weight of the task",
  "weight of a task, over time",
  _lines,
)
MASKS = Picture(
  "masks.png",
  "mask_near_zero_",
  "batch",
  "layer ",
  "share of mask entries below 0.001",
  "share of a layer's mask near zero, over time",
  _lines,
  least=0.05,
)
DISTANCES = Picture(
  "distances.png",
  "distance_",
  "meta",
  "",
  "squared distance of the class means",
  "distance of each class's features from the auxiliary network's",
  _before_and_after,
)
PICTURES = (WEIGHTS, MASKS, DISTANCES)
