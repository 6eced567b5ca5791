"""TensorFlow Datasets: `tfds:NAME`, read without TensorFlow."""

import importlib.util
from typing import Any

import numpy as np

from metaaux.data import arrays, hierarchies, images, slices
from metaaux.errors import UserError

# Records that one thread parses and decodes before it takes the next ones.
_CHUNK = 512


def load(where: str, part: slices.Slice) -> arrays.Source:
  """Loads a part of a set with one image and one or more class labels.

  The set is looked for where TFDS keeps its data (`TFDS_DATA_DIR`, else
  `~/tensorflow_datasets`) in array_record files. Preparing it there, which
  happens on the first use, needs TensorFlow.

  A level is named after its number of classes, such as "10". CIFAR-100 has the
  levels "100", "20", "10" and "3"; the last two are those of Liu, Davison &
  Johns 2019.

  Args:
    where: as TFDS spells it: NAME, NAME/CONFIG, NAME:VERSION.
    part: the split or a part of it.

  Raises:
    UserError: the set is unknown, not prepared or not of this kind.
  """
  builder = _prepared(where)
  splits = builder.info.splits
  slices.check_name(part, splits, f"tfds:{where}")
  wanted = range(*part.bounds(splits[part.name].num_examples))
  features = builder.info.features
  image_key, label_keys = _keys(features, where)
  pixels, ids = _read(builder, part.name, wanted, image_key, label_keys, where)
  return _with_levels(
    _stack(pixels, where),
    dict(zip(label_keys, np.array(ids, np.int32).T, strict=True)),
    {key: tuple(features[key].names) for key in label_keys},
    is_cifar100=builder.name == "cifar100",
  )


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
  where: str,
) -> tuple[tuple[np.ndarray, ...], tuple[list[int], ...]]:
  """Images [H, W, C] and labels [L] of the wanted examples."""
  import tensorflow_datasets as tfds

  num_channels = 1 if builder.info.features[image_key].shape[-1] == 1 else 3

  def read(chunk: range) -> list[tuple[np.ndarray, list[int]]]:
    return [
      (
        images.decode(record[image_key], num_channels, f"tfds:{where}, {i}"),
        [record[key] for key in label_keys],
      )
      for i, record in zip(chunk, records.__getitems__(chunk), strict=True)
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
  return tuple(zip(*examples, strict=True))


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


def _stack(pixels: tuple[np.ndarray, ...], where: str) -> np.ndarray:
  shapes = {p.shape for p in pixels}
  if len(shapes) > 1:
    first, second, *_ = sorted(shapes)
    raise UserError(
      f"tfds:{where} has images of several sizes, such as {first} and "
      f"{second}; use a set, or a config of it, with one size"
    )
  return np.stack(pixels)


def _with_levels(
  pixels: np.ndarray,
  ids: dict[str, np.ndarray],
  names: dict[str, tuple[str, ...]],
  *,
  is_cifar100: bool,
) -> arrays.Source:
  """Renames the labels to levels, and adds those of the papers."""
  levels = {}
  for key in ids:
    level = str(len(names[key]))
    levels[key if level in levels else level] = key
  labels = {level: ids[key] for level, key in levels.items()}
  classes = {level: names[key] for level, key in levels.items()}
  if is_cifar100:
    labels["10"] = np.array(hierarchies.CIFAR100_20_TO_10)[labels["20"]]
    labels["3"] = np.array(hierarchies.CIFAR100_10_TO_3)[labels["10"]]
    classes["10"] = hierarchies.CIFAR100_10_NAMES
    classes["3"] = hierarchies.CIFAR100_3_NAMES
  return arrays.Source(pixels, labels, classes)


def _first_line(error: Exception) -> str:
  return (str(error).splitlines() or [type(error).__name__])[0]
