"""Embeddings: images to vectors, without labels, for k-means to cluster.

Pixels, principal components and the spectral embedding are computed at once;
ACAI and DeepCluster are trained first, in stages of their own; a file has what
was computed elsewhere.
"""

from typing import Any

import jax
import numpy as np

from metaaux.data import fingerprint
from metaaux.data.sources import lazy_images
from metaaux.errors import UserError
from metaaux.methods.embeddings import acai, deepcluster, file, pca, spectral
from metaaux.stage import Array, PoolView, Spec, Stage

__all__ = ["NAMES", "compute", "stages"]

NAMES = ("pixels", "pca", "spectral", "acai", "deepcluster", "file")

_TRAINED = ("acai", "deepcluster")

# Dimensions of `embedding.dim` 0.
_PCA_DIM = 64
_SPECTRAL_DIM = 20


def stages(
  config: Any, spec: Spec, images: str, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """The stages that train `embedding.name`; () for what is not trained.

  Args:
    config: see `acai.make_stage` and `deepcluster.make_stages`.
    spec: the problem.
    images: that it learns from: "all" or "train", the labelled ones.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: the name is unknown, or the options do not fit.
  """
  name = config.embedding.name
  if name == "acai":
    return (acai.make_stage(config, spec, images, axis_name),)
  if name == "deepcluster":
    return deepcluster.make_stages(config, spec, images, axis_name)
  if name in NAMES:
    return ()
  raise UserError(
    f"embedding.name={name!r} is unknown; use one of {', '.join(NAMES)}"
  )


def compute(config: Any, spec: Spec, pool: PoolView, images: str) -> np.ndarray:
  """The vectors of all images that take part; kept in the cache of the run.

  Args:
    config: `embedding` and what the network reads.
    spec: the problem.
    pool: of one seed; for a trained embedding `previous` is the state of its
      last stage.
    images: as for `stages`.

  Returns:
    float32 [n, d]. With images="train" nothing is fitted to other images than
    the labelled ones, and the rows of the others are zero.
  """
  options, count = config.embedding, len(pool.images)
  if options.name == "file":
    return file.read(options.path, count)
  where = pool.train if images == "train" else np.arange(count)
  made_of, make = _maker(config, spec, pool, where)

  def everywhere() -> dict[str, np.ndarray]:
    found_MxD = make()
    vectors_NxD = np.zeros((count, found_MxD.shape[1]), np.float32)
    vectors_NxD[where] = found_MxD
    return {"embedding": vectors_NxD}

  # What is not trained is the same for all seeds that use the same images.
  suffix = f"-seed{pool.seed}" if options.name in _TRAINED else ""
  return pool.cache(
    f"embedding-{options.name}{suffix}",
    {**made_of, "where": fingerprint.of(where)},
    everywhere,
  )["embedding"]


def _maker(
  config: Any, spec: Spec, pool: PoolView, where: np.ndarray
) -> tuple[dict[str, Any], Any]:
  """What decides the vectors, and a function that computes them."""
  options = config.embedding
  if options.name == "pixels":
    return {}, lambda: _pixels(pool, where)
  if options.name == "pca":
    dim = options.dim or _PCA_DIM
    return {"dim": dim, "whiten": options.whiten}, lambda: pca.pca(
      _pixels(pool, where), dim, options.whiten
    )
  if options.name == "spectral":
    dim, neighbours = options.dim or _SPECTRAL_DIM, options.neighbours
    return {"dim": dim, "neighbours": neighbours}, lambda: spectral.spectral(
      _pixels(pool, where), dim, neighbours
    )
  # What a network makes of images is decided by its parameters.
  trained = {
    "state": [
      fingerprint.of(np.asarray(leaf))
      for leaf in jax.tree.leaves(pool.previous.params)
    ]
  }
  if options.name == "acai":
    return trained, lambda: _acai(config, spec, pool)[where]
  return {**trained, "dim": options.dim}, lambda: deepcluster.whitened(
    _features(config, pool)[where], options.dim
  )


def _pixels(pool: PoolView, where: np.ndarray) -> np.ndarray:
  return pca.pixels(lazy_images.whole(pool.images)[where])


def _acai(config: Any, spec: Spec, pool: PoolView) -> np.ndarray:
  networks = acai.make(config, spec)

  def encode(state: acai.AcaiState, images: Array) -> Array:
    return networks.encode(state.params, images)

  return pool.map(encode)


def _features(config: Any, pool: PoolView) -> np.ndarray:
  network = deepcluster.make(config)

  def encode(state: deepcluster.ClusterState, images: Array) -> Array:
    return deepcluster.encode(network, state, images)

  return pool.map(encode)
