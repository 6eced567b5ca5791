"""The clusters of a run, as its directory holds them, with their images."""

import glob
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from metaaux import config as config_lib
from metaaux import data, files
from metaaux.data import fingerprint
from metaaux.errors import UserError
from metaaux.methods.embeddings import file
from metaaux.run import directory as run_directory

# Methods that cluster all images of the pool.
_CLUSTERING = ("joint", "meta_mtl")


class Clusters(NamedTuple):
  """Partitions of one seed; n is the number of images that were clustered.

  Attributes:
    seed: of the run.
    partitions: int [T, n].
    embedding: float [n, d] that was clustered, None where it is not at hand.
    images: uint8 or float32 [n, H, W, C].
    primary: int [n], true labels.
    primary_names: class names.
    files: where partitions and embedding were found.
  """

  seed: int
  partitions: np.ndarray
  embedding: np.ndarray | None
  images: np.ndarray
  primary: np.ndarray
  primary_names: tuple[str, ...]
  files: tuple[str, ...]


class _File(NamedTuple):
  path: str
  array: np.ndarray
  made_of: Mapping[str, Any]


def load(workdir: str, seed: int | None = None) -> Clusters:
  """Partitions, embedding and images of a run.

  Args:
    workdir: of a run, finished or not.
    seed: None: the first of the run.

  Raises:
    UserError: there is no run, it has no partitions of this seed, its data is
      not at hand, or they do not fit each other.
  """
  config = run_directory.load_config(workdir)
  seed = config.seed if seed is None else seed
  # Fails before the data is read, which may take a while.
  found = _partitions(workdir, config, seed)
  problem = data.build(config)
  images, primary = problem.pool["image"], problem.pool["primary"]
  where = np.arange(len(images))
  if config.partition.images == "train":
    where = problem.train[seed - config.seed]
  partitions = found.array
  if partitions.shape[1] == len(images) != len(where):
    partitions = partitions[:, where]
  if partitions.shape[1] != len(where):
    raise UserError(
      f"{found.path} has clusters of {partitions.shape[1]} images, but the run "
      f"clusters {len(where)} of the {len(images)} in {config.dataset}; has "
      "the data changed since?"
    )
  embedding = _embedding(workdir, config, seed, found, len(images))
  files = (found.path,) if embedding is None else (found.path, embedding.path)
  return Clusters(
    seed=seed,
    partitions=partitions,
    embedding=None if embedding is None else embedding.array[where],
    images=images[where],
    primary=primary[where],
    primary_names=problem.primary_names,
    files=files,
  )


def _folders(workdir: str, config: Any) -> list[str]:
  own = os.path.join(workdir, "cache")
  shared = config.get("cache", "")
  return [own, shared] if shared else [own]


def _partitions(workdir: str, config: Any, seed: int) -> _File:
  """The newest file that was made with the run's options."""
  last = config.seed + config.num_seeds - 1
  if not config.seed <= seed <= last:
    raise UserError(
      f"--seed={seed}: the run has the seeds {config.seed} to {last}"
    )
  folders = _folders(workdir, config)
  options = config_lib.to_json(config).get("partition")
  name = f"partitions-seed{seed}-*.npz"
  for found in _files(folders, name, "partitions"):
    if found.made_of.get("partition", options) == options:
      if found.array.ndim != 2 or not found.array.size:
        raise UserError(
          f"{found.path} has partitions of shape {found.array.shape}, expected "
          "[tasks, images]; remove it and run again"
        )
      return found
  if config.method not in _CLUSTERING:
    raise UserError(
      f"a run of method {config.method!r} makes no clusters of all images; "
      f"give one of {' or '.join(_CLUSTERING)}"
    )
  raise UserError(
    f"no partitions of seed {seed} in {' or '.join(folders)} (no {name} of "
    f"this config); a run of method {config.method!r} with partition.labels="
    f"{options['labels']!r} "
    + (
      "writes them when its embedding is trained"
      if options["labels"] in ("kmeans", "permuted")
      else "makes no clusters"
    )
  )


def _embedding(
  workdir: str, config: Any, seed: int, partitions: _File, count: int
) -> _File | None:
  """What was clustered: by its fingerprint, where the partitions tell it."""
  wanted = partitions.made_of.get("embedding")
  options = config.embedding
  if options.name == "file":
    return _File(options.path, file.read(options.path, count), {})
  for found in _files(_folders(workdir, config), "*.npz", "embedding"):
    of_seed = re.search(r"-seed(\d+)-", os.path.basename(found.path))
    if of_seed and int(of_seed[1]) != seed:
      continue
    if found.array.ndim != 2 or len(found.array) != count:
      continue
    if wanted in (None, fingerprint.of(found.array)):
      return found
  return None


def _files(folders: list[str], pattern: str, array: str) -> Iterator[_File]:
  """Files with this array, the newest first, read one at a time.

  Raises:
    UserError: a file cannot be read.
  """
  paths = [
    path
    for folder in folders
    for path in glob.glob(os.path.join(glob.escape(folder), pattern))
  ]
  for path in sorted(paths, key=os.path.getmtime, reverse=True):
    try:
      # Opened here, because numpy leaves a broken file open.
      with files.open_regular(path) as raw, np.load(raw) as stored:
        if array not in stored:
          continue
        text = str(stored["made_of"]) if "made_of" in stored else "{}"
        found = _File(path, stored[array], json.loads(text))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
      raise UserError(
        f"{path} cannot be read ({error}); remove it and run again"
      ) from None
    yield found
