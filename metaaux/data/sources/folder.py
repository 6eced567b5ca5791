"""Image files in class folders: `folder:PATH`."""

import os
import pathlib
import zlib
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from metaaux.data.sources import (
  folder_look,
  foreign_files,
  lazy_images,
  split_folders,
  split_names,
)
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError

# Of each class, where the folders do not say what is for testing.
_TEST_FRACTION = 0.2
_SHUFFLE_SEED = 0


class _Files(NamedTuple):
  """Image files of one split and their class ids, in a fixed random order."""

  paths: list[pathlib.Path]
  ids: np.ndarray
  domains: np.ndarray | None = None


class Listing(NamedTuple):
  """What a folder holds.

  Attributes:
    root: of the folder.
    names: of the classes.
    domains: names of the domains; () without any.
    splits: name of the split -> its files.
    divided: whether the folders are splits, such as train/ and test/.
  """

  root: pathlib.Path
  names: tuple[str, ...]
  domains: tuple[str, ...]
  splits: dict[str, _Files]
  divided: bool


def load(where: str, part: split_names.Slice) -> source_lib.Source:
  """Loads a part of a folder of images.

  PATH holds `train/` and `test/` (and perhaps more splits), each with a folder
  a class; or PATH itself holds the class folders, and 20% of each class are the
  test split. The order of examples and that division depend on the names of the
  files alone. The level is named after the number of classes, such as "10".

  PATH may also hold a folder for each domain, and these the class folders; the
  domains are then a level `domain`, and the one split is `all`.

  Args:
    where: path of the folder.
    part: the split or a part of it.

  Raises:
    UserError: no folder, no images, fewer than two classes, a file that cannot
      be decoded, or images of different sizes where `part.side` is 0.
  """
  root, names, domains, splits, _ = listed(where)
  split_names.check_name(part, splits, f"folder:{where}")
  everything = [path for split in splits.values() for path in split.paths]
  everything = list(dict.fromkeys(everything))
  found = folder_look.look(everything, splits[part.name].paths, part)
  paths, ids, domain_ids = _without(splits[part.name], found.broken)
  start, stop = part.bounds(len(paths))
  read = folder_look.reader(found, paths, part.side)
  wanted = np.arange(start, stop)
  pixels = (
    lazy_images.Images(read, wanted, found.size, _origin(root, paths))
    if part.lazy
    else read(wanted)
  )
  level = str(len(names))
  labels, all_names = {level: ids[start:stop]}, {level: names}
  if domains:
    labels["domain"] = domain_ids[start:stop]
    all_names["domain"] = domains
  notes = (*split_folders.notes(root, bool(domains)), *found.notes)
  return source_lib.Source(pixels, labels, all_names, notes=notes)


def listed(where: str) -> Listing:
  """The listing of a folder, made of the names of its files alone.

  Args:
    where: path of the folder.

  Raises:
    UserError: no folder, no images, or fewer than two classes.
  """
  root = foreign_files.expand(where, f"folder:{where}")
  if not root.is_dir():
    raise UserError(f"folder:{where}: no such folder; check the path")
  domains = _domain_names(root)
  names, splits = _list_domains(root, domains) if domains else _list(root)
  divided = not domains and bool(split_folders.splits(root, _folders(root)))
  return Listing(root, names, domains, splits, divided)


def unread(found: Listing, parts: Collection[str]) -> list[str]:
  """Image files that are in none of these splits, which a user may miss.

  Args:
    found: the listing.
    parts: names of splits; none: all.

  Returns:
    `FOLDER/ (N images)` for each folder, then those beside the folders.
  """
  if not parts or not (found.divided or found.domains):
    parts = found.splits
  read = {
    path
    for name in parts
    if name in found.splits
    for path in found.splits[name].paths
  }
  used = {path.parent for path in read}
  used |= {above for path in used for above in path.parents}
  counts: Counter[pathlib.Path] = Counter()
  for path, folders, _ in os.walk(found.root):
    folders[:] = [name for name in folders if not foreign_files.is_junk(name)]
    here = pathlib.Path(path)
    left = sum(image not in read for image in _images(here))
    if left:
      # Told by the topmost folder that holds nothing else.
      depth = len(here.relative_to(found.root).parts)
      above = (here, *here.parents)[:depth]
      top = next((each for each in reversed(above) if each not in used), here)
      counts[top] += left
  beside = counts.pop(found.root, 0)
  told = [
    f"{top.relative_to(found.root)}/ ({_number(count)})"
    for top, count in sorted(counts.items())
  ]
  return [*told, f"{_number(beside)} beside the folders"] if beside else told


def _number(count: int) -> str:
  return f"{count} image" if count == 1 else f"{count} images"


def _origin(root: pathlib.Path, paths: list[pathlib.Path]) -> str:
  """Digest of the names and sizes of the files, wherever the folder lies."""
  sizes = [f"{path.relative_to(root)} {path.stat().st_size}" for path in paths]
  checksum = zlib.crc32(os.fsencode("\n".join(sizes)))
  return f"{len(paths)} files, {checksum:08x}"


def _without(found: _Files, broken: Collection[pathlib.Path]) -> _Files:
  """The files that are not broken."""
  if not broken:
    return found
  kept = np.array([path not in broken for path in found.paths])
  paths = [path for path in found.paths if path not in broken]
  domains = None if found.domains is None else found.domains[kept]
  return _Files(paths, found.ids[kept], domains)


def _domain_names(root: pathlib.Path) -> tuple[str, ...]:
  """Domains, if the folders of `root` hold class folders; else ().

  A folder with images of its own is one of a class, whatever else it holds; and
  folders that have no name in common hold no classes.
  """
  folders = _folders(root)
  nested = [name for name in folders if _folders(root / name)]
  if split_folders.splits(root, folders) or len(nested) < 2:
    return ()
  inside = [name for folder in nested for name in _folders(root / folder)]
  if len(set(inside)) == len(inside):
    return ()
  if any(_images(root / name) for name in folders):
    return ()
  for name in set(folders) - set(nested):
    raise UserError(
      f"{root / name} is empty, and the other folders of {root.name}/ hold "
      "class folders; fill it or remove it"
    )
  return tuple(nested)


def _list_domains(
  root: pathlib.Path, domains: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, _Files]]:
  """Class names, and the files of all domains as the split `all`."""
  names = tuple(
    sorted({name for domain in domains for name in _folders(root / domain)})
  )
  parts = [_files(root / domain, names) for domain in domains]
  sizes = [len(part.paths) for part in parts]
  everything = _Files(
    [path for part in parts for path in part.paths],
    np.concatenate([part.ids for part in parts]),
    np.repeat(np.arange(len(domains), dtype=np.int32), sizes),
  )
  return names, {"all": everything}


def _list(root: pathlib.Path) -> tuple[tuple[str, ...], dict[str, _Files]]:
  """Class names, and the files of every split."""
  found = split_folders.splits(root, _folders(root))
  if not found:
    names = _class_names(root)
    return names, _divided(_files(root, names))
  names = _class_names(root / found["train"])
  read = {folder: _files(root / folder, names) for folder in found.values()}
  return names, {split: read[folder] for split, folder in found.items()}


def _folders(path: pathlib.Path) -> list[str]:
  return sorted(
    entry.name
    for entry in path.iterdir()
    if entry.is_dir() and not foreign_files.is_junk(entry.name)
  )


def _images(path: pathlib.Path) -> list[pathlib.Path]:
  """Image files of a folder, by name; not those of the folders inside."""
  return foreign_files.walk(path, inside=False).images


def _class_names(path: pathlib.Path) -> tuple[str, ...]:
  names = tuple(_folders(path))
  if len(names) < 2:
    only = path / names[0] if names else path
    meant = names and len(_folders(only)) > 1
    raise UserError(
      f"folder:{path} has {len(names)} class folders; it needs two or more, "
      "each with the images of one class"
      f"{f' (did you mean folder:{only}?)' if meant else ''}"
    )
  return names


def _files(split: pathlib.Path, names: tuple[str, ...]) -> _Files:
  """All images of a split, shuffled: slices of it hold every class."""
  paths, ids = [], []
  for name in _folders(split):
    if name not in names:
      raise UserError(
        f"{split / name} is not a class of train/; its classes: "
        f"{', '.join(names)}"
      )
    found = foreign_files.walk(split / name).images
    if not found:
      raise UserError(
        f"{split / name} has no images ({', '.join(foreign_files.SUFFIXES)}); "
        "add some or remove the folder"
      )
    paths += found
    ids += [names.index(name)] * len(found)
  order = np.random.default_rng(_SHUFFLE_SEED).permutation(len(paths))
  shuffled = [paths[i] for i in order]
  return _Files(shuffled, np.asarray(ids, np.int32)[order])


def _divided(files: _Files) -> dict[str, _Files]:
  """Train and test part of one set of files; the files are in random order."""
  is_test = np.zeros(len(files.paths), bool)
  for c in np.unique(files.ids):
    members = np.flatnonzero(files.ids == c)
    # At least one for testing, but never the only one.
    count = max(round(_TEST_FRACTION * len(members)), 1)
    is_test[members[:count] if len(members) > 1 else []] = True
  return {
    name: _Files(
      [p for p, chosen in zip(files.paths, mask, strict=True) if chosen],
      files.ids[mask],
    )
    for name, mask in (("train", ~is_test), ("test", is_test))
  }
