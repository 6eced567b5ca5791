"""Test accuracy over training, one line a method, with its 95% interval.

python -m experiments.curves --workdir=runs/digits --output=curves.png
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments import results as results_lib
from metaaux import cli, metrics, rundir
from metaaux.errors import UserError

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = ("#000000", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7")
_MARKERS = "osD^vP"


def curve(
  rows: Sequence[dict[str, Any]], split: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Accuracy over training, as percentages.

  Args:
    rows: of metrics.jsonl.
    split: whose accuracy.

  Returns:
    Steps [n], means over seeds [n], half-widths of 95% intervals [n] (0 for a
    single seed).

  Raises:
    UserError: the rows have no evaluation of the split.
  """
  by_step: dict[int, list[float]] = {}
  for row in rows:
    if row["split"] == split and "accuracy" in row:
      by_step.setdefault(row["total_step"], []).append(row["accuracy"])
  if not by_step:
    raise UserError(f"no evaluation on split {split!r}; try --split=test")
  steps = sorted(by_step)
  points = [metrics.mean_ci(by_step[step]) for step in steps]
  means, halves = zip(*points, strict=True)
  halves = [half or 0.0 for half in halves]
  return np.array(steps), 100 * np.array(means), 100 * np.array(halves)


def draw(folder: str, output: str, split: str, title: str) -> None:
  """Writes the picture; only here is matplotlib needed.

  Raises:
    UserError: no finished run, no such split, or matplotlib is missing.
  """
  try:
    from matplotlib.figure import Figure
  except ImportError:
    raise UserError(
      "matplotlib is missing; pip install 'metaaux[report]'"
    ) from None
  figure = Figure(figsize=(7, 4.2), layout="constrained")
  axes = figure.subplots()
  for i, result in enumerate(results_lib.load(folder)):
    path = os.path.join(result["workdir"], rundir.METRICS)
    steps, means, halves = curve(metrics.read_rows(path), split)
    colour = _COLOURS[i % len(_COLOURS)]
    label = f"{result['method']} ({len(result['seeds'])} seeds)"
    low, high = np.clip([means - halves, means + halves], 0, 100)
    axes.fill_between(steps, low, high, color=colour, alpha=0.1, lw=0)
    axes.plot(
      steps,
      means,
      color=colour,
      marker=_MARKERS[i % len(_MARKERS)],
      markersize=4,
      label=label,
    )
  axes.set(
    xlabel="training step",
    ylabel=f"{split} accuracy (%)",
    title=title or os.path.basename(os.path.normpath(folder)),
  )
  axes.grid(alpha=0.3)
  axes.legend()
  figure.savefig(output, dpi=150)


def _run(argv: Sequence[str]) -> None:
  parser = cli.parser("experiments.curves", __doc__)
  parser.add_argument(
    "--workdir", required=True, metavar="DIR", help="folder of run directories"
  )
  parser.add_argument(
    "--output",
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
