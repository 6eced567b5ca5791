"""Finds the folders that are splits, by their names."""

import pathlib
from collections import Counter
from collections.abc import Sequence

from metaaux.data.sources import foreign_files
from metaaux.errors import UserError

# Names of the splits in other people's data, in small letters.
_ALSO = {
  "train": ("train", "training"),
  "test": ("test", "testing"),
  "val": ("val", "valid", "validation"),
}
_SPLIT_OF = {name: split for split, names in _ALSO.items() for name in names}
_SHOWN = 4


def splits(root: pathlib.Path, folders: Sequence[str]) -> dict[str, str]:
  """Split -> folder; {} where the folders are no splits.

  Capitals make no difference, `training/` is the split `train`, and so on;
  every folder is also a split by its own name. Without a test folder `val/` is
  the test split, too.

  Args:
    root: folder of the data.
    folders: names of the folders in it.

  Raises:
    UserError: no folder is for training, or none for tests, or several are.
  """
  known: dict[str, list[str]] = {}
  for name in folders:
    split = _SPLIT_OF.get(name.lower())
    # A class may be called so; a split has folders of classes.
    if split and _has_folders(root / name):
      known.setdefault(split, []).append(name)
  if "train" not in known:
    if len(known) > 1 and set(folders) == {
      n for v in known.values() for n in v
    }:
      raise UserError(
        f"folder:{root} has {', '.join(f'{name}/' for name in folders)} but no "
        "train/; add it, or rename one of them"
      )
    return {}
  found = {split: _one_of(root, split, names) for split, names in known.items()}
  if "test" not in found:
    if "val" not in found:
      raise UserError(
        f"folder:{root} has {found['train']}/ but no test/; add it, or put the "
        f"class folders directly into {root.name}/"
      )
    found["test"] = found["val"]
  return {name: name for name in folders} | found


def notes(root: pathlib.Path, has_domains: bool) -> list[str]:
  """Lines that say how the folders are read, and what is left out."""
  folders = sorted(
    entry.name
    for entry in root.iterdir()
    if entry.is_dir() and not foreign_files.is_junk(entry.name)
  )
  found = splits(root, folders)
  told = []
  renamed = [
    f"{folder}/ is the split {split}"
    for split, folder in found.items()
    if split in _ALSO and split != folder
  ]
  if renamed:
    told.append(", ".join(renamed))
  above = [root / name for name in found.values()] if found else [root]
  if has_domains:
    above = [root / name for name in folders]
  return [*told, *_left_out(above)]


def _left_out(above: Sequence[pathlib.Path]) -> list[str]:
  """Files in the class folders below that are no images, and nested ones."""
  others: list[str] = []
  nested: list[str] = []
  for parent in dict.fromkeys(above):
    for folder in sorted(parent.iterdir()):
      if folder.is_dir() and not foreign_files.is_junk(folder.name):
        found = foreign_files.walk(folder)
        others += [path.suffix or path.name for path in found.others]
        nested += [f"{folder.name}/ ({found.nested})"] * (found.nested > 0)
  told = []
  if others:
    kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(others).items())
    told.append(f"passed over, as no images: {foreign_files.short(kinds)}")
  if nested:
    more = ", ..." if len(nested) > _SHOWN else ""
    told.append(
      "images in folders inside class folders are of that class: "
      f"{', '.join(nested[:_SHOWN])}{more}"
    )
  return told


def _one_of(root: pathlib.Path, split: str, names: Sequence[str]) -> str:
  if len(names) > 1 and split not in names:
    raise UserError(
      f"folder:{root} has {' and '.join(f'{name}/' for name in names)}, which "
      f"may both be the split {split}; rename one"
    )
  return split if split in names else names[0]


def _has_folders(path: pathlib.Path) -> bool:
  return any(
    entry.is_dir() and not foreign_files.is_junk(entry.name)
    for entry in path.iterdir()
  )
