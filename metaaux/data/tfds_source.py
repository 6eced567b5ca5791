"""TensorFlow Datasets: `tfds:NAME`, read without TensorFlow."""

import importlib.util
from typing import Any

import numpy as np

from metaaux.data import arrays, hierarchies, images, selection, slices
from metaaux.errors import UserError

# Sets of grey drawings that are stored in colour.
_GREY = ("omniglot",)
# Sets whose levels are called as TFDS calls them, not by number of classes; the
# finest comes first.
_LEVELS = {"omniglot": ("label", "alphabet")}
# Records that one thread parses and decodes before it takes the next ones.
_CHUNK = 512


def load(where: str, part: slices.Slice) -> arrays.Source:
  """Loads a part of a set with one image and one or more class labels.

  The set is looked for where TFDS keeps its data (`TFDS_DATA_DIR`, else
  `~/tensorflow_datasets`) in array_record files. Preparing it there, which
  happens on the first use, needs TensorFlow.

  A level is named after its number of classes, such as "10". CIFAR-100 has the
  levels "100", "20", "10" and "3"; the last two are those of Liu, Davison &
  Johns 2019. Omniglot, read as grey images, has the levels "label" (characters)
  and "alphabet".

  Args:
    where: as TFDS spells it: NAME, NAME/CONFIG, NAME:VERSION.
    part: the split or a part of it. Where it selects a class of a level of the
      set itself, only the examples of that class are decoded and returned,
      which may be none.

  Raises:
    UserError: the set is unknown, not prepared or not of this kind.
  """
  builder = _prepared(where)
  splits = builder.info.splits
  slices.check_name(part, splits, f"tfds:{where}")
  wanted = range(*part.bounds(splits[part.name].num_examples))
  features = builder.info.features
  image_key, label_keys = _keys(features, where)
  levels = _level_names(builder, label_keys)
  names = {level: tuple(features[k].names) for level, k in levels.items()}
  only = None
  if part.select.partition("=")[0] in levels:
    level, chosen = selection.class_id(part.select, names, f"tfds:{where}")
    only = levels[level], chosen
  pixels, ids = _read(builder, part.name, wanted, image_key, label_keys, only)
  columns = np.array(ids, np.int32).reshape(-1, len(label_keys)).T
  by_key = dict(zip(label_keys, columns, strict=True))
  labels = {level: by_key[key] for level, key in levels.items()}
  found = arrays.Source(_stack(pixels, where), labels, names)
  return _with_papers(found) if builder.name == "cifar100" else found


def _prepared(where: str) -> Any:
  """The builder of a set that is on disk; prepares it if that is possible."""
  import tensorflow_datasets as tfds

  try:
    builder = tfds.builder(where)
  except (ImportError, ValueError, AssertionError) as error:
    raise UserError(
      f"tfds:{where} is neither a TensorFlow Datasets name nor a prepared set "
      f"in {tfds.core.constants.DATA_DIR} ({_first_line(error)}); check the "
      "name, or set TFDS_DATA_DIR"
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
      f"({_first_line(error)}); prepare it elsewhere and set TFDS_DATA_DIR"
    ) from error
  return builder


def _read(
  builder: Any,
  split: str,
  wanted: range,
  image_key: str,
  label_keys: list[str],
  only: tuple[str, int] | None,
) -> tuple[list[np.ndarray], list[list[int]]]:
  """Images [H, W, C] and labels [L] of the wanted examples.

  Args:
    builder: of the set.
    split: name of the whole split.
    wanted: positions in it.
    image_key: name of the image feature.
    label_keys: names of the label features.
    only: label feature and value of the examples to keep; None: all.
  """
  import tensorflow_datasets as tfds

  where = builder.info.full_name
  grey = builder.info.features[image_key].shape[-1] == 1
  num_channels = 1 if grey or builder.name in _GREY else 3

  def read(chunk: range) -> list[tuple[np.ndarray, list[int]]]:
    return [
      (
        images.decode(record[image_key], num_channels, f"tfds:{where}, {i}"),
        [record[key] for key in label_keys],
      )
      for i, record in zip(chunk, records.__getitems__(chunk), strict=True)
      if only is None or record[only[0]] == only[1]
    ]

  chunks = [wanted[i : i + _CHUNK] for i in range(0, len(wanted), _CHUNK)]
  skip = {image_key: tfds.decode.SkipDecoding()}
  try:
    records = builder.as_data_source(split, decoders=skip)
    examples = [e for part in images.in_threads(read, chunks) for e in part]
  except NotImplementedError as error:
    raise UserError(
      f"tfds:{where} in {builder.data_dir} is not in array_record files; "
      "prepare it in another directory, with "
      "tfds.builder(NAME, data_dir=...)"
      ".download_and_prepare(file_format='array_record'), and set TFDS_DATA_DIR"
    ) from error
  except RuntimeError as error:
    raise UserError(
      f"tfds:{where} in {builder.data_dir} is damaged ({_first_line(error)}); "
      "prepare it again"
    ) from error
  return [e[0] for e in examples], [e[1] for e in examples]


def _keys(features: Any, where: str) -> tuple[str, list[str]]:
  """Names of the image feature and of the label features."""
  import tensorflow_datasets as tfds

  found = dict(features)
  image_keys = [
    k for k, v in found.items() if isinstance(v, tfds.features.Image)
  ]
  label_keys = [
    k for k, v in found.items() if isinstance(v, tfds.features.ClassLabel)
  ]
  if len(image_keys) != 1 or not label_keys:
    raise UserError(
      f"tfds:{where} has {len(image_keys)} image and {len(label_keys)} class "
      f"label features of {', '.join(found)}; it takes one image and one or "
      "more labels"
    )
  return image_keys[0], label_keys


def _stack(pixels: list[np.ndarray], where: str) -> np.ndarray:
  if not pixels:
    return np.zeros((0, 0, 0, 0), np.uint8)
  shapes = {p.shape for p in pixels}
  if len(shapes) > 1:
    first, second, *_ = sorted(shapes)
    raise UserError(
      f"tfds:{where} has images of several sizes, such as {first} and "
      f"{second}; use a set, or a config of it, with one size"
    )
  return np.stack(pixels)


def _level_names(builder: Any, label_keys: list[str]) -> dict[str, str]:
  """Level -> label feature."""
  if builder.name in _LEVELS:
    return {key: key for key in _LEVELS[builder.name]}
  levels = {}
  for key in label_keys:
    level = str(builder.info.features[key].num_classes)
    levels[key if level in levels else level] = key
  return levels


def _with_papers(source: arrays.Source) -> arrays.Source:
  """CIFAR-100 with the coarser levels of the papers."""
  ten = np.array(hierarchies.CIFAR100_20_TO_10)[source.labels["20"]]
  three = np.array(hierarchies.CIFAR100_10_TO_3)[ten]
  return source._replace(
    labels={**source.labels, "10": ten, "3": three},
    names={
      **source.names,
      "10": hierarchies.CIFAR100_10_NAMES,
      "3": hierarchies.CIFAR100_3_NAMES,
    },
  )


def _first_line(error: Exception) -> str:
  return (str(error).splitlines() or [type(error).__name__])[0]
