"""Test accuracy over training, one line a run, with its 95% interval.

  metaaux curves --workdir=runs/digits --output=curves.png

Every folder with a result.json, at any depth, is a run. Steps are counted from
the first stage that is evaluated: an embedding that is trained before it does
not shift the curve.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metaaux.errors import UserError
from metaaux.run import cli, confidence_intervals
from metaaux.run import directory as run_directory
from metaaux.run.logs import rows as rows_lib

from . import output as output_lib
from . import results as results_lib

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#000000", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7")
_MARKERS = "osD^vP"
# A seventh run has the first colour again, with a broken line.
_STYLES = ("-", "--", ":", "-.")


class Line(NamedTuple):
  """What is drawn of a run: means over seeds and half of their intervals."""

  name: str
  steps: np.ndarray
  means: np.ndarray
  halves: np.ndarray


def curve(
  rows: Sequence[dict[str, Any]],
  split: str,
  metric: str = "accuracy",
  scale: float = 100.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """A metric over training; accuracies as percentages.

  Args:
    rows: of metrics.jsonl; those of stages without it are passed over.
    split: whose metric.
    metric: name of a number in the rows.
    scale: that the numbers are multiplied by.

  Returns:
    Steps [n], means over seeds [n], half-widths of 95% intervals [n] (0 for a
    single seed).

  Raises:
    UserError: the rows have no evaluation of the split.
  """
  by_step: dict[int, list[float]] = {}
  before = None
  for row in rows:
    if row["split"] == split and metric in row:
      # Updates of the stages that come before the first evaluated one.
      if before is None:
        before = row["total_step"] - row["step"]
      step = row["total_step"] - before
      by_step.setdefault(step, []).append(row[metric])
  if not by_step:
    raise UserError(f"no evaluation on split {split!r}; try --split=test")
  steps = sorted(by_step)
  points = [confidence_intervals.mean_ci(by_step[step]) for step in steps]
  means, halves = zip(*points, strict=True)
  halves = [half or 0.0 for half in halves]
  return np.array(steps), scale * np.array(means), scale * np.array(halves)


def plot(
  axes: Any, lines: Sequence[Line], highest: float = 100.0, first: int = 0
) -> None:
  """Lines with their bands.

  Args:
    axes: of matplotlib.
    lines: one a run.
    highest: bands end at 0 and here.
    first: number of the first line's colour; 0 is black.
  """
  for i, line in enumerate(lines, first):
    again, i = divmod(i, len(COLOURS))
    low, high = np.clip(
      [line.means - line.halves, line.means + line.halves], 0, highest
    )
    axes.fill_between(line.steps, low, high, color=COLOURS[i], alpha=0.1, lw=0)
    axes.plot(
      line.steps,
      line.means,
      color=COLOURS[i],
      linestyle=_STYLES[again % len(_STYLES)],
      marker=_MARKERS[i],
      markersize=4,
      label=line.name,
    )


def draw(folder: str, output: str, split: str, title: str) -> None:
  """Writes the picture, in the format that the name of `output` ends in.

  Raises:
    UserError: no finished run, no such split, matplotlib is missing, or the
      file cannot be written.
  """
  found = results_lib.load(folder)
  keys = results_lib.setting_keys(found)
  names = results_lib.labels(found, keys)
  where = results_lib.settings(found, keys)
  names = [
    " ".join(filter(None, pair)) for pair in zip(names, where, strict=True)
  ]
  # A larger legend would cover the lines; it gets room of its own.
  inside = len(found) <= len(COLOURS) and max(map(len, names)) <= 30
  figure = output_lib.new_figure(7, 4.2 if inside else 4.4 + 0.17 * len(found))
  axes = figure.subplots()
  lines = []
  for result, name in zip(found, names, strict=True):
    path = os.path.join(result["workdir"], run_directory.METRICS)
    seeds = len(result["seeds"])
    label = f"{name} ({seeds} {'seed' if seeds == 1 else 'seeds'})"
    try:
      lines.append(Line(label, *curve(rows_lib.read_rows(path), split)))
    except UserError as error:
      raise UserError(f"{result['workdir']}: {error}") from None
  plot(axes, lines)
  axes.set(
    xlabel="training step",
    ylabel=f"{split} accuracy (%)",
    title=title or os.path.basename(os.path.normpath(folder)),
  )
  axes.grid(alpha=0.3)
  if inside:
    axes.legend()
  else:
    figure.legend(loc="outside lower center", fontsize=7)
  output_lib.figure(figure, output)


def _run(argv: Sequence[str]) -> None:
  parser = cli.parser("metaaux curves", __doc__)
  parser.add_argument(
    "--workdir",
    type=cli.path,
    required=True,
    metavar="DIR",
    help="folder of run directories",
  )
  parser.add_argument(
    "--output",
    type=cli.path,
    default="curves.png",
    metavar="FILE",
    help="picture to write (%(default)s)",
  )
  parser.add_argument(
    "--split",
    default="test",
    help="split whose accuracy is drawn (%(default)s)",
  )
  parser.add_argument("--title", default="", help="line above the picture")
  flags = parser.parse_args(argv)
  draw(flags.workdir, flags.output, flags.split, flags.title)
  print(flags.output)


def main(argv: Sequence[str]) -> int:
  """Draws the picture and prints where it is; returns the exit status."""
  return cli.status_of(lambda: _run(argv), {})


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
