"""A run's autoencoder: reconstructions, interpolations, and what it is worth.

  metaaux interpolations --workdir=runs/meta_mtl

For a run with embedding.name=acai, finished or not. Writes
pictures/interpolations-seedS.png, test images above their reconstructions and
paths between pairs of them, and reports/embedding-seedS.json with

  rmse             of up to 2,000 reconstructed test images, pixels in [-1, 1]
  rmse_mean_image  of the mean training image in their place
  critic_loss      on these images; critic_loss_blind: the least that a critic
                   can have which gives the same answer to everything
  probe_accuracy   on up to 10,000 test images, of a logistic regression on the
                   embedding of up to 5,000 labelled images;
                   probe_accuracy_pixels: the same on their pixels
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metaaux import files, messages
from metaaux.data import augment
from metaaux.run import cli
from metaaux.run import directory as run_directory

from . import clusters
from . import output as output_lib
from .opened_runs import autoencoder
from .opened_runs.autoencoder import Trained

_COLUMNS, _PAIRS, _BLOCKS = 10, 6, 2


def tiled(images: np.ndarray) -> np.ndarray:
  """Images side by side, a white pixel between them.

  Args:
    images: float [rows, columns, H, W, C] in [0, 1].

  Returns:
    uint8 [rows (H + 1) - 1, columns (W + 1) - 1, 3].
  """
  pixels = clusters.displayable(np.rint(255 * images).astype(np.uint8))
  framed = np.pad(
    pixels, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)), constant_values=255
  )
  rows, columns, height, width, _ = framed.shape
  canvas = framed.transpose(0, 2, 1, 3, 4).reshape(
    rows * height, columns * width, 3
  )
  return canvas[:-1, :-1]


def picture(trained: Trained, found: dict[str, Any]) -> Any:
  """A figure of reconstructions and interpolations.

  Args:
    trained: of `autoencoder.load`.
    found: of `autoencoder.measure`.
  """
  raw = trained.test["image"]
  total = _BLOCKS * _COLUMNS
  some = np.arange(total + 2 * _PAIRS) % len(raw)
  images = jnp.asarray(raw[some])
  batch = autoencoder.normalised(trained, images)
  pixels = np.asarray(augment.normalise(images, 0.0, 1.0))
  networks, params = trained.networks, trained.params
  again = np.asarray(jax.jit(networks.reconstruct)(params, batch[:total]))
  interpolate = jax.jit(networks.interpolate, static_argnums=2)
  paths = np.asarray(interpolate(params, batch[total:], _COLUMNS - 2))
  ends = pixels[total:].reshape(_PAIRS, 2, *pixels.shape[1:])
  shape = (_BLOCKS, _COLUMNS, *pixels.shape[1:])
  above = np.stack(
    [pixels[:total].reshape(shape), again.reshape(shape)], axis=1
  ).reshape(2 * _BLOCKS, *shape[1:])
  below = np.concatenate([ends[:, :1], paths, ends[:, 1:]], axis=1)
  return _arranged(trained, found, tiled(above), tiled(below))


def _arranged(
  trained: Trained, found: dict[str, Any], above: np.ndarray, below: np.ndarray
) -> Any:
  width, shapes = 7.0, (above.shape, below.shape)
  heights = [(width - 1.3) * shape[0] / shape[1] for shape in shapes]
  figure = output_lib.new_figure(width, sum(heights) + 1.8)
  top, bottom = figure.subplots(2, 1, height_ratios=heights)
  for axes, canvas in ((top, above), (bottom, below)):
    axes.imshow(canvas, interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
  _ticks(top, above, ["image", "reconstruction"] * _BLOCKS, [""] * _COLUMNS)
  shares = np.linspace(0, 1, _COLUMNS - 2)
  _ticks(
    bottom,
    below,
    [f"pair {i + 1}" for i in range(_PAIRS)],
    ["image", *(f"{share:.2f}" for share in shares), "image"],
  )
  top.set_title("test images and their reconstructions", fontsize=9)
  bottom.set_title(
    "from one test image to another, by the share of the second one's latent",
    fontsize=9,
  )
  figure.suptitle(summary(trained, found).replace("; ", "\n"), fontsize=9)
  return figure


def _ticks(
  axes: Any, canvas: np.ndarray, rows: list[str], columns: list[str]
) -> None:
  height, width = canvas.shape[0] / len(rows), canvas.shape[1] / len(columns)
  axes.set_yticks((np.arange(len(rows)) + 0.5) * height - 0.5, rows)
  axes.set_xticks((np.arange(len(columns)) + 0.5) * width - 0.5, columns)


def summary(trained: Trained, found: dict[str, Any]) -> str:
  """One line with every figure.

  Args:
    trained: of `autoencoder.load`.
    found: of `autoencoder.measure`.
  """
  return (
    f"ACAI on {trained.run.config.dataset}, seed {found['seed']}, step "
    f"{found['step']} of {found['num_steps']}, {found['dim']} dimensions; "
    f"test RMSE {found['rmse']:.4f} (mean image "
    f"{found['rmse_mean_image']:.4f}), critic loss {found['critic_loss']:.4f} "
    f"(blind {found['critic_loss_blind']:.4f}); linear probe of "
    f"{found['labelled_images']} labelled images "
    f"{100 * found['probe_accuracy']:.2f} % (of their pixels "
    f"{100 * found['probe_accuracy_pixels']:.2f} %)"
  )


def _run(argv: Sequence[str]) -> None:
  parser = cli.parser("metaaux interpolations", __doc__)
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
    help="picture (pictures/interpolations-seedS.png in the run directory)",
  )
  parser.add_argument(
    "--seed", type=int, metavar="S", help="of the run (its first)"
  )
  flags = parser.parse_args(argv)
  trained = autoencoder.load(flags.workdir, flags.seed)
  found = autoencoder.measure(trained)
  print(summary(trained, found))
  path = flags.output or os.path.join(
    flags.workdir, "pictures", f"interpolations-seed{trained.seed}.png"
  )
  output_lib.figure(picture(trained, found), path)
  print(path)
  report = os.path.join(
    flags.workdir, run_directory.REPORTS, f"embedding-seed{trained.seed}.json"
  )
  try:
    os.makedirs(os.path.dirname(report), exist_ok=True)
    files.write_json(report, found)
  except OSError as error:
    messages.warn(f"{report} is not written ({error.strerror})")
  else:
    print(report)


def main(argv: Sequence[str]) -> int:
  """Draws the picture, writes the report; returns the exit status."""
  return cli.status_of(lambda: _run(argv), {})


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
