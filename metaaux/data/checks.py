"""Refuses training data, test data and batches that do not fit each other."""

from typing import Any

import numpy as np

from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError


def batch_size(batch_size: int, train: np.ndarray, meta: np.ndarray) -> None:
  """Raises UserError if a batch is larger than one of the splits [S, n]."""
  for name, positions in (("train", train), ("meta", meta)):
    size = positions.shape[1]
    if not 1 <= batch_size <= size:
      raise UserError(
        f"batch_size={batch_size}, but the {name} split has {size} examples; "
        f"use 1..{size}, or change meta_fraction, labels_per_class or "
        "label_fraction"
      )


def alike(
  pool: source_lib.Source, test: source_lib.Source, config: Any
) -> None:
  """Raises UserError unless the splits agree in shape, range and classes."""
  shapes = pool.images.shape[1:], test.images.shape[1:]
  if shapes[0] != shapes[1]:
    raise UserError(
      f"{config.dataset}: training images have shape {shapes[0]}, test images "
      f"{shapes[1]}; convert them to one shape"
    )
  ranges = [s.pixel_range or "the usual range" for s in (pool, test)]
  if ranges[0] != ranges[1]:
    raise UserError(
      f"{config.dataset}: training images look like {ranges[0]} from black to "
      f"white, test images like {ranges[1]}; store them alike, or set "
      "--config.pixel_range=BLACK,WHITE"
    )
  if pool.names != test.names:
    raise UserError(
      f"{config.dataset}: train_split='{config.train_split}' and "
      f"test_split='{config.test_split}' do not have the same classes where "
      f"select='{config.select}'; name the same splits in both, such as "
      "train[:70%/class] and train[70%:/class]"
    )


# What is of images alone, with the value that does nothing.
_OF_IMAGES = {
  "shrink": 1,
  "image_side": 0,
  "pixel_range": (),
  "augment.pad": 0,
  "augment.shift": 0.0,
  "augment.flip": False,
  "augment.grayscale": 0.0,
}


def of_vectors(config: Any, images: Any) -> None:
  """Raises UserError if rows are vectors and a setting is of images alone."""
  if images.ndim != 2:
    return
  for key, nothing in _OF_IMAGES.items():
    value = config
    for name in key.split("."):
      value = getattr(value, name, nothing)
    if value != nothing:
      raise UserError(
        f"{key}={value!r} is of images, and rows of {config.dataset} are "
        f"vectors of {images.shape[1]} numbers; set it to {nothing!r}"
      )


def all_labelled(config: Any, source: source_lib.Source, key: str) -> None:
  """Raises UserError where examples without a label could not be used."""
  if source.unlabelled is not None:
    raise UserError(
      f"{config.dataset}: {len(source.unlabelled)} examples have no label, and "
      f"{key}={config[key]!r} divides the data by labels; leave them out, or "
      f"leave {key} empty"
    )


def primary_attribute(config: Any, pool: source_lib.Source) -> None:
  """Raises UserError unless some images, and not all, have the attribute."""
  count = int((pool.labels[config.primary] == 1).sum())
  if not 0 < count < len(pool.images):
    raise UserError(
      f"primary='{config.primary}': {count} of the {len(pool.images)} training "
      "images have this attribute; choose another, or a larger train_split"
    )


def two_classes(config: Any, pool: source_lib.Source, level: str) -> None:
  """Raises UserError unless the images have two primary classes or more."""
  found = np.unique(pool.labels[level])
  if len(found) < 2:
    name = pool.names[level][found[0]]
    without = ""
    if pool.unlabelled is not None:
      without = (
        f" ({len(pool.unlabelled)} others have no label, or -1, which says "
        "that there is none)"
      )
    raise UserError(
      f"{config.dataset}: all {len(pool.images)} training images are of the "
      f"class '{name}' of level '{level}', so that every answer would be "
      f"right{without}; give images of two or more classes"
    )
