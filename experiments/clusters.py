"""Pictures of a run's clusters: a gallery and a map of the embedding.

  metaaux clusters --workdir=runs/meta_mtl

Writes clusters-seedS-partitionT.png, ten random images of each of the (up to
twenty) largest clusters, and embedding-seedS-partitionT.png, the first two
principal components of the embedding, coloured by cluster and beside it by true
label.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from metaaux import messages
from metaaux.errors import UserError
from metaaux.run import cli

from . import output as output_lib
from .opened_runs import clusters as opened_clusters
from .opened_runs.clusters import Clusters

_MAX_CLUSTERS, _PER_CLUSTER, _MAX_POINTS = 20, 10, 5000


def largest(row_N: np.ndarray) -> np.ndarray:
  """Numbers of the up to twenty largest clusters, int [m], largest first."""
  clusters, sizes = np.unique(row_N, return_counts=True)
  return clusters[np.argsort(-sizes, kind="stable")][:_MAX_CLUSTERS]


def sample(row_N: np.ndarray, cluster: int, seed: int = 0) -> np.ndarray:
  """Up to ten random members of a cluster, not the most typical ones."""
  members = np.flatnonzero(row_N == cluster)
  rng = np.random.default_rng((seed, int(cluster)))
  size = min(_PER_CLUSTER, len(members))
  return np.sort(rng.choice(members, size, replace=False))


def are_images(examples: np.ndarray) -> bool:
  """Whether examples can be shown; vectors [n, d] cannot."""
  return examples.ndim > 2


def displayable(images: np.ndarray) -> np.ndarray:
  """uint8 [..., 3] of uint8 or float images [..., C] with C 1 or 3.

  Float images are stretched to the range of all that are given. Vectors, which
  cannot be shown, stay as they are.
  """
  if not are_images(images):
    return images
  if images.dtype != np.uint8:
    low, high = float(images.min()), float(images.max())
    scaled = (images - low) / (high - low if high > low else 1.0)
    images = np.rint(255 * scaled).astype(np.uint8)
  if images.shape[-1] not in (1, 3):
    images = images[..., :1]
  return np.broadcast_to(images, (*images.shape[:-1], 3))


def project(embedding_NxD: np.ndarray) -> np.ndarray:
  """The first two principal components, float [n, 2]; 0 beyond the rank."""
  from sklearn.decomposition import PCA

  components = min(2, *embedding_NxD.shape)
  found = PCA(components, random_state=0).fit_transform(embedding_NxD)
  return np.pad(found, ((0, 0), (0, 2 - components)))


def mosaic(
  images: np.ndarray, row_N: np.ndarray, shown: np.ndarray
) -> np.ndarray:
  """Samples of clusters side by side, on white.

  Args:
    images: [n, H, W, C], uint8 or float.
    row_N: cluster of each image.
    shown: numbers of m clusters.

  Returns:
    uint8 [m (H + 1), 10 (W + 1), 3]; a row a cluster.
  """
  picks = [sample(row_N, cluster) for cluster in shown]
  pixels = displayable(images[np.concatenate(picks)])
  height, width = images.shape[1] + 1, images.shape[2] + 1
  canvas = np.full(
    (len(shown) * height, _PER_CLUSTER * width, 3), 255, np.uint8
  )
  cells = [(i, j) for i, pick in enumerate(picks) for j in range(len(pick))]
  for (i, j), image in zip(cells, pixels, strict=True):
    top, left = i * height, j * width
    canvas[top : top + height - 1, left : left + width - 1] = image
  return canvas


def gallery(clusters: Clusters, partition: int) -> Any:
  """A figure with a row of images for each cluster.

  Args:
    clusters: of one seed.
    partition: which one, from 0.
  """
  row_N = clusters.partitions[partition]
  shown = largest(row_N)
  canvas = mosaic(clusters.images, row_N, shown)
  width = 6.2
  height = width * canvas.shape[0] / canvas.shape[1]
  figure = output_lib.new_figure(width + 1.8, height + 0.7)
  axes = figure.subplots()
  axes.imshow(canvas, interpolation="nearest")
  axes.spines[:].set_visible(False)
  cell = len(canvas) / len(shown)
  axes.set_xticks([])
  axes.set_yticks(
    (np.arange(len(shown)) + 0.5) * cell - 1,
    [_about(clusters, row_N == cluster, cluster) for cluster in shown],
    fontsize=8,
  )
  axes.tick_params(length=0)
  total = len(np.unique(row_N))
  of = f"the {len(shown)} largest of {total}" if total > len(shown) else total
  figure.suptitle(
    f"partition {partition + 1} of {len(clusters.partitions)}, seed "
    f"{clusters.seed}: {of} clusters, ten random images each",
    fontsize=10,
  )
  return figure


def _about(clusters: Clusters, member_N: np.ndarray, cluster: int) -> str:
  """Size of a cluster, and the true class that is commonest in it."""
  size = f"{cluster}: {member_N.sum()} images"
  name, share = commonest(clusters.primary[member_N], clusters.primary_names)
  return f"{size}\n{share:.0f}% {name[:18]}" if name else size


def commonest(labels_M: np.ndarray, names: Sequence[str]) -> tuple[str, float]:
  """The commonest of the labels that are known, and its percentage of these.

  Args:
    labels_M: class ids; negative: not known.
    names: of the classes.

  Returns:
    ("", 0) where no label is known.
  """
  labels_M = labels_M[labels_M >= 0]
  if not len(labels_M):
    return "", 0.0
  counts = np.bincount(labels_M)
  return names[counts.argmax()], 100 * counts.max() / counts.sum()


def embedding_map(clusters: Clusters, partition: int) -> Any:
  """A figure of two maps of the embedding, by cluster and by true label.

  Args:
    clusters: of one seed, with an embedding.
    partition: which one, from 0.
  """
  from sklearn.metrics import normalized_mutual_info_score

  row_N, primary_N = clusters.partitions[partition], clusters.primary
  points_Nx2 = project(clusters.embedding)
  rng = np.random.default_rng(0)
  some = rng.permutation(len(row_N))[:_MAX_POINTS]
  figure = output_lib.new_figure(11, 5.4)
  by_cluster, by_label = figure.subplots(1, 2, sharex=True, sharey=True)
  _scatter(by_cluster, points_Nx2, row_N, some, {})
  names = {-1: "no label", **dict(enumerate(clusters.primary_names))}
  known_N = primary_N >= 0
  _scatter(by_label, points_Nx2, primary_N, some, names)
  agreement = normalized_mutual_info_score(primary_N[known_N], row_N[known_N])
  by_cluster.set_title(f"{len(np.unique(row_N))} clusters")
  by_label.set_title(f"true labels (NMI with the clusters {agreement:.3f})")
  figure.suptitle(
    f"embedding ({clusters.embedding.shape[1]} dimensions, PCA to 2), "
    f"partition {partition + 1}, seed {clusters.seed}, {len(some)} of "
    f"{len(row_N)} images",
    fontsize=10,
  )
  return figure


def _scatter(
  axes: Any,
  points_Nx2: np.ndarray,
  group_N: np.ndarray,
  some: np.ndarray,
  names: dict[int, str],
) -> None:
  """Points coloured by group.

  With few groups a legend has their names; without names each has its number at
  its median.
  """
  from matplotlib import colormaps
  from matplotlib.lines import Line2D

  groups, index_N = np.unique(group_N, return_inverse=True)
  few = len(groups) <= _MAX_CLUSTERS
  steps = np.arange(len(groups))
  if few:
    palette = colormaps["tab10" if len(groups) <= 10 else "tab20"](steps)
  else:  # neighbours in number are not neighbours in hue
    palette = colormaps["hsv"]((steps * 0.618034) % 1.0)
  axes.scatter(
    *points_Nx2[some].T, c=palette[index_N[some]], s=5, linewidths=0, alpha=0.7
  )
  axes.set(xticks=[], yticks=[])
  if few and names:
    handles = [
      Line2D([], [], marker="o", ls="", color=colour, label=names[group][:18])
      for group, colour in zip(groups.tolist(), palette, strict=True)
    ]
    axes.legend(handles=handles, fontsize=8, loc="best", framealpha=0.8)
  elif few:
    for i, group in enumerate(groups):
      x, y = np.median(points_Nx2[index_N == i], axis=0)
      box = {"facecolor": "white", "edgecolor": palette[i], "pad": 1.5}
      axes.text(
        x, y, str(group), ha="center", va="center", fontsize=8, bbox=box
      )


def draw(
  workdir: str, output: str, seed: int | None = None, partition: int = 1
) -> list[str]:
  """Writes the pictures of a run and returns where they are.

  Args:
    workdir: of a run.
    output: folder for the pictures, made if missing.
    seed: None: the first of the run.
    partition: from 1.

  Raises:
    UserError: see `opened_runs.clusters.load`; there is no such partition;
      matplotlib is missing; or the pictures cannot be written.
  """
  clusters = opened_clusters.load(workdir, seed)
  total = len(clusters.partitions)
  if not 1 <= partition <= total:
    raise UserError(f"--partition={partition}: the run has 1 to {total}")
  end = f"seed{clusters.seed}-partition{partition}.png"
  paths = []
  if are_images(clusters.images):
    paths.append(os.path.join(output, f"clusters-{end}"))
    output_lib.figure(gallery(clusters, partition - 1), paths[-1])
  else:
    messages.say("the data are vectors, of which there is no gallery")
  if clusters.embedding is None:
    messages.warn(
      f"the embedding of these clusters is not in the cache of {workdir}; no "
      "map of it is drawn"
    )
  else:
    paths.append(os.path.join(output, f"embedding-{end}"))
    output_lib.figure(embedding_map(clusters, partition - 1), paths[-1])
  return paths


def _run(argv: Sequence[str]) -> None:
  parser = cli.parser("metaaux clusters", __doc__)
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
    metavar="DIR",
    help="folder for the pictures (pictures/ in the run directory)",
  )
  parser.add_argument(
    "--seed", type=int, metavar="S", help="of the run (its first)"
  )
  parser.add_argument(
    "--partition",
    type=int,
    default=1,
    metavar="T",
    help="which partition, from 1 (%(default)s)",
  )
  flags = parser.parse_args(argv)
  output = flags.output or os.path.join(flags.workdir, "pictures")
  for path in draw(flags.workdir, output, flags.seed, flags.partition):
    print(path)


def main(argv: Sequence[str]) -> int:
  """Draws the pictures and prints where they are; returns the exit status."""
  return cli.status_of(lambda: _run(argv), {})


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
