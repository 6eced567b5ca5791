"""TensorFlow Datasets: `tfds:NAME`, read without TensorFlow."""

import importlib.util
import pathlib
from collections.abc import Collection
from typing import Any

import numpy as np

from metaaux.config import cifar100
from metaaux.data.sources import selection, split_names, tfds_reader
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError

# Sets whose levels are called as TFDS calls them, not by number of classes; the
# finest comes first.
_LEVELS = {"omniglot": ("label", "alphabet")}
# Classes of a feature that is true or false.
_NO_YES = ("no", "yes")
_Path = tfds_reader.Path


def load(where: str, part: split_names.Slice) -> source_lib.Source:
  """Loads a part of a set with one image and one or more labels.

  The set is looked for where TFDS keeps its data (`TFDS_DATA_DIR`, else
  `~/tensorflow_datasets`) in array_record files. Preparing it there, which
  happens on the first use, needs TensorFlow.

  A level is named after its number of classes, such as "10". CIFAR-100 has the
  levels "100", "20", "10" and "3"; the last two are those of Liu, Davison &
  Johns 2019. Omniglot, read as grey images, has the levels "label" (characters)
  and "alphabet". A feature that is true or false, inside another or not, is a
  level of its name with the classes "no" and "yes"; CelebA has 40 of them.

  Args:
    where: as TFDS spells it: NAME, NAME/CONFIG, NAME:VERSION.
    part: the split or a part of it. Where it selects a class of a level of the
      set itself, only the examples of that class are decoded and returned,
      which may be none. Where it asks for a side, images are decoded straight
      to it, so that the large ones never lie in memory together.

  Raises:
    UserError: the set is unknown, not prepared or not of this kind.
  """
  builder = _prepared(where)
  splits = builder.info.splits
  split_names.check_name(part, splits, f"tfds:{where}")
  wanted = range(*part.bounds(splits[part.name].num_examples))
  features = builder.info.features
  image_key, label_keys = _keys(features, where)
  levels = _level_names(builder, label_keys)
  names = {level: _class_names(features, key) for level, key in levels.items()}
  only: tuple[_Path, int] | None = None
  if part.select.partition("=")[0] in levels:
    level, chosen = selection.class_id(part.select, names, f"tfds:{where}")
    only = levels[level], chosen
  request = tfds_reader.Request(
    part.name, wanted, image_key, label_keys, only, part.side, part.lazy
  )
  pixels, ids = tfds_reader.read(builder, request)
  by_key = dict(zip(label_keys, ids.T, strict=True))
  labels = {level: by_key[key] for level, key in levels.items()}
  found = source_lib.Source(pixels, labels, names)
  return _with_papers(found) if builder.name == "cifar100" else found


def files(
  where: str, parts: Collection[str]
) -> tuple[pathlib.Path, list[pathlib.Path]]:
  """Folder of a set, and its files of some splits and of all class names.

  Raises:
    UserError: the set is unknown or not prepared.
  """
  builder = _prepared(where)
  root = pathlib.Path(builder.data_dir)
  found = list(root.glob("*.labels.txt"))
  for name, split in builder.info.splits.items():
    if name in parts:
      found += map(pathlib.Path, split.filepaths)
  return root, found


def _prepared(where: str) -> Any:
  """The builder of a set that is on disk; prepares it if that is possible."""
  import tensorflow_datasets as tfds

  try:
    builder = tfds.builder(where)
  except (ImportError, ValueError, AssertionError) as error:
    raise UserError(
      f"tfds:{where} is neither a TensorFlow Datasets name nor a prepared set "
      f"in {tfds.core.constants.DATA_DIR} ({tfds_reader.first_line(error)}); "
      "check the name, or set TFDS_DATA_DIR"
    ) from error
  if builder.info.initialized:
    return builder
  if importlib.util.find_spec("tensorflow") is None:
    raise UserError(
      f"tfds:{where} is not prepared in {builder.data_dir}; set TFDS_DATA_DIR "
      "to the directory that has it, or run pip install 'metaaux[tfds]' to "
      "prepare it"
    )
  try:
    builder.download_and_prepare(file_format="array_record")
  except Exception as error:  # Builders raise whatever they like.
    raise UserError(
      f"tfds:{where} could not be prepared in {builder.data_dir} "
      f"({tfds_reader.first_line(error)}); prepare it elsewhere and set "
      "TFDS_DATA_DIR"
    ) from error
  return builder


def _keys(features: Any, where: str) -> tuple[str, list[_Path]]:
  """Name of the image feature and paths of the label features."""
  import tensorflow_datasets as tfds

  found = _leaves(features)
  image_keys = [
    path[0] for path, v in found if isinstance(v, tfds.features.Image)
  ]
  label_keys = [path for path, v in found if _is_label(v)]
  if len(image_keys) != 1 or not label_keys:
    raise UserError(
      f"tfds:{where} has {len(image_keys)} image and {len(label_keys)} class "
      f"label features of {', '.join(features)}; it takes one image and one or "
      "more labels"
    )
  return image_keys[0], label_keys


def _leaves(features: Any, above: _Path = ()) -> list[tuple[_Path, Any]]:
  """Path and feature of all that is no dictionary of features."""
  import tensorflow_datasets as tfds

  found = []
  for key, feature in features.items():
    path = (*above, key)
    if isinstance(feature, tfds.features.FeaturesDict):
      found += _leaves(feature, path)
    else:
      found.append((path, feature))
  return found


def _is_label(feature: Any) -> bool:
  """Whether it is a class label, or true or false."""
  import tensorflow_datasets as tfds

  if isinstance(feature, tfds.features.ClassLabel):
    return True
  is_scalar = isinstance(feature, tfds.features.Tensor) and not feature.shape
  return is_scalar and feature.np_dtype == np.bool_


def _class_names(features: Any, path: _Path) -> tuple[str, ...]:
  return tuple(getattr(tfds_reader.at(features, path), "names", _NO_YES))


def _level_names(builder: Any, label_keys: list[_Path]) -> dict[str, _Path]:
  """Level -> label feature."""
  if builder.name in _LEVELS:
    return {key: (key,) for key in _LEVELS[builder.name]}
  levels = {}
  for path in label_keys:
    feature = tfds_reader.at(builder.info.features, path)
    level = str(getattr(feature, "num_classes", path[-1]))
    levels[path[-1] if level in levels else level] = path
  return levels


def _with_papers(source: source_lib.Source) -> source_lib.Source:
  """CIFAR-100 with the coarser levels of the papers."""
  ten = np.array(cifar100.FROM_20_TO_10)[source.labels["20"]]
  three = np.array(cifar100.FROM_10_TO_3)[ten]
  return source._replace(
    labels={**source.labels, "10": ten, "3": three},
    names={
      **source.names,
      "10": cifar100.NAMES_OF_10,
      "3": cifar100.NAMES_OF_3,
    },
  )
