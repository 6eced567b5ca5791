"""A picture of the labels that a run of MAXL generates.

  metaaux labels --workdir=runs/maxl
  metaaux labels --workdir=runs/maxl --output=labels.jpg

Writes labels.png: for each of the largest primary classes a row for each of its
auxiliary classes, with ten random test images whose likeliest label that is.
The title says how much the labels say at all; where that is next to nothing,
the rows show chance. The labels are those of the first seed.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from metaaux import losses
from metaaux.errors import UserError
from metaaux.run import cli

from . import clusters
from . import output as output_lib
from .opened_runs.generated_labels import Generated, generated

_COLUMNS, _WIDTH = 2, 4.6


def gallery(found: Generated, num_classes: int = 4, num_labels: int = 5) -> Any:
  """A figure with images of each auxiliary class.

  Args:
    found: of `generated`.
    num_classes: how many primary classes, the largest ones.
    num_labels: how many auxiliary classes of each, the first ones.

  Raises:
    UserError: matplotlib is missing.
  """
  chosen_N = found.labels.argmax(-1)
  starts = np.cumsum((0, *found.psi))
  sizes = np.bincount(found.primary, minlength=len(found.psi))
  largest = np.sort(np.argsort(-sizes, kind="stable")[:num_classes])
  columns = min(_COLUMNS, len(largest))
  rows = -(-len(largest) // columns)
  each = min(num_labels, max(found.psi))
  height, width = found.images.shape[1:3]
  tall = 0.85 * _WIDTH * each * height / (10 * width)
  figure = output_lib.new_figure(columns * _WIDTH, rows * (tall + 0.35) + 0.5)
  grid = figure.subplots(rows, columns, squeeze=False)
  for axes in grid.flat:
    axes.set_axis_off()
  for axes, c in zip(grid.flat, largest, strict=False):
    shown = starts[c] + np.arange(min(num_labels, found.psi[c]))
    _strips(axes, found, chosen_N, shown)
    axes.set_title(
      f"{found.primary_names[c]}: {sizes[c]} images", fontsize=9, loc="left"
    )
  figure.suptitle(_about(found), fontsize=9)
  return figure


def _strips(
  axes: Any, found: Generated, chosen_N: np.ndarray, shown: np.ndarray
) -> None:
  """A row of images for each auxiliary class, with how many have it."""
  canvas = clusters.mosaic(found.images, chosen_N, shown)
  axes.set_axis_on()
  axes.imshow(canvas, interpolation="nearest")
  axes.spines[:].set_visible(False)
  cell = len(canvas) / len(shown)
  axes.set_xticks([])
  axes.set_yticks(
    (np.arange(len(shown)) + 0.5) * cell - 1,
    [
      f"label {k + 1}: {(chosen_N == column).sum()}"
      for k, column in enumerate(shown)
    ],
    fontsize=8,
  )
  axes.tick_params(length=0)


def _about(found: Generated) -> str:
  said = losses.label_statistics(found.labels, found.primary, found.psi)
  share = 100 * said["information_fraction"]
  return (
    f"{len(found.images)} test images at their likeliest label (seed "
    f"{found.seed}, step {found.step});\nthe labels say {share:.1f} % of what "
    "they could beyond the primary class"
  )


def draw(
  workdir: str, output: str, num_classes: int = 4, num_labels: int = 5
) -> None:
  """Writes the picture of a run, in the format that the name ends in.

  Args:
    workdir: of a run of MAXL.
    output: file to write.
    num_classes: how many primary classes, the largest ones.
    num_labels: how many auxiliary classes of each.

  Raises:
    UserError: see `generated_labels.generated`; a number is below 1; matplotlib
      is missing; or the file cannot be written.
  """
  for name, value in (("classes", num_classes), ("labels", num_labels)):
    if value < 1:
      raise UserError(f"--{name}={value} is out of range; use 1 or more")
  output_lib.check_matplotlib()
  found = generated(workdir)
  if not clusters.are_images(found.images):
    raise UserError(
      f"the data of {workdir!r} are vectors, of which there is no gallery; "
      "metaaux report says how many have each label"
    )
  output_lib.figure(gallery(found, num_classes, num_labels), output)


def _run(argv: Sequence[str]) -> None:
  parser = cli.parser("metaaux labels", __doc__)
  parser.add_argument(
    "--workdir",
    type=cli.path,
    required=True,
    metavar="RUN",
    help="run directory",
  )
  parser.add_argument(
    "--output",
    type=cli.path,
    default="",
    metavar="FILE",
    help="picture to write (pictures/labels.png in the run directory)",
  )
  parser.add_argument(
    "--classes",
    type=int,
    default=4,
    metavar="N",
    help="primary classes that are shown, the largest (%(default)s)",
  )
  parser.add_argument(
    "--labels",
    type=int,
    default=5,
    metavar="N",
    help="auxiliary classes of each that are shown (%(default)s)",
  )
  flags = parser.parse_args(argv)
  path = flags.output or os.path.join(flags.workdir, "pictures", "labels.png")
  draw(flags.workdir, path, flags.classes, flags.labels)
  print(path)


def main(argv: Sequence[str]) -> int:
  """Draws the picture and prints where it is; returns the exit status."""
  return cli.status_of(lambda: _run(argv), {})


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
