"""The identity of a run's data, which tells whether it is still the same.

An identity is a digest of the files that a run reads: of their names below the
root of the source, and of their bytes. So a copy of the data on another machine
has the same one, and other times of the files do not change it. Above
`_READ` bytes the names and sizes alone count: reading all would take longer
than a resume should, and files of compressed images hardly ever keep their size
when they change. The zip directory of an npz archive has a checksum of each
array, so that nothing of it is read at all.

A stamp is a digest of names, sizes and times. While the stamp stays, so does
the identity, and nothing is read.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from metaaux.data.problem import Problem
from metaaux.data.sources import folder as folder_source
from metaaux.data.sources import lazy_images, split_names
from metaaux.data.sources import npz as npz_source
from metaaux.data.sources import tfds as tfds_source

# Bytes of a data set that are read to know it: some seconds.
_READ = 4 << 30

# `content`, `stamp` and `count` (of files or arrays), as JSON has them.
Identity = dict[str, Any]


def of(
  config: Any,
  known: Mapping[str, Identity],
  problem: Callable[[], Problem],
) -> dict[str, Identity]:
  """Identity of all data that a run reads, by source or key.

  Args:
    config: of the run.
    known: identities from an earlier look; files of the same stamp are not read
      again.
    problem: returns the result of `build(config)`; called for a source in the
      user's own code, which has no files to look at.

  Raises:
    UserError: the data is missing, or not as it has to be.
  """
  found = {config.dataset: _of_source(config, config.dataset, known, problem)}
  if config.hierarchy:
    found["hierarchy"] = _of_file(config.hierarchy, known.get("hierarchy"))
  if config.embedding.name == "file":
    key = "embedding.path"
    found[key] = _of_file(config.embedding.path, known.get(key))
  return {key: value for key, value in found.items() if value is not None}


def is_of(config: Any, known: Mapping[str, Identity], source: str) -> bool:
  """Whether a folder or an archive holds the very data of a run.

  Args:
    config: of the run.
    known: identities of the run, from `of`.
    source: another source, perhaps a copy, or the same by another path.
  """
  stored = known.get(config.dataset)
  if not stored or not source.startswith(("folder:", "npz:")):
    return False
  now = _of_source(config, source, {}, lambda: None)
  return now is not None and now["content"] == stored["content"]


def _of_source(
  config: Any,
  source: str,
  known: Mapping[str, Identity],
  problem: Callable[[], Problem],
) -> Identity | None:
  """None for a source that is missing, or part of a library, as the digits."""
  kind, _, where = source.partition(":")
  parts = {
    part.name
    for text in (config.train_split, config.test_split)
    for part in split_names.parse(text)
  }
  before = known.get(source)
  if kind == "folder" and not pathlib.Path(where).expanduser().is_dir():
    return None
  if kind == "folder":
    found = folder_source.listed(where)
    paths = [
      path
      for name, files in found.splits.items()
      if name in parts
      for path in files.paths
    ]
    return _of_files(found.root, paths, before)
  if kind == "tfds":
    return _of_files(*tfds_source.files(where, parts), before)
  if kind == "npz":
    return _of_archive(where)
  return _of_arrays(problem()) if kind == "python" else None


def _of_files(
  root: pathlib.Path, paths: Iterable[pathlib.Path], before: Identity | None
) -> Identity:
  paths = sorted(paths)
  names = [os.fsencode(path.relative_to(root)) for path in paths]
  stats = [path.stat() for path in paths]
  sizes = [stat.st_size for stat in stats]
  stamp = _digest(names, [(s.st_size, s.st_mtime_ns) for s in stats])
  if before is not None and before.get("stamp") == stamp:
    return before
  contents: Sequence[Any] = sizes
  if sum(sizes) <= _READ:
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
      contents = list(threads.map(_bytes, paths))
  return {
    "content": _digest(names, sizes, contents),
    "stamp": stamp,
    "count": len(paths),
  }


def _of_file(where: str, before: Identity | None) -> Identity | None:
  path = pathlib.Path(where).expanduser()
  if not path.is_file():
    return None  # what reads it says so
  return _of_files(path.parent, [path], before)


def _of_archive(where: str) -> Identity | None:
  """Checksum of each array as the archive has it, and the names beside it."""
  path = pathlib.Path(where).expanduser()
  if not path.is_file():
    return None  # what reads it says so
  try:
    with zipfile.ZipFile(path) as archive:
      arrays = sorted(
        (entry.filename, entry.CRC, entry.file_size)
        for entry in archive.infolist()
      )
  except (OSError, zipfile.BadZipFile):
    return None  # what reads it says so
  divided = npz_source.is_divided(where)
  names = {} if divided else npz_source.beside(path)
  return {
    "content": _digest(arrays, sorted(names.items())),
    "stamp": "",
    "count": len(arrays),
  }


def _of_arrays(problem: Problem) -> Identity:
  arrays = {
    f"{split} {name}": lazy_images.digest(value)
    for split, part in (("train", problem.pool), ("test", problem.test))
    for name, value in part.items()
  }
  names = problem.primary_names, problem.auxiliary_names
  return {
    "content": _digest(sorted(arrays.items()), names),
    "stamp": "",
    "count": len(arrays),
  }


def _bytes(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    made = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
  return made.hexdigest()


def _digest(*parts: Any) -> str:
  return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
