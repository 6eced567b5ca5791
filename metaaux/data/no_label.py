"""Joins examples without a label to those that have one, at the end."""

import numpy as np

from metaaux.data.sources import lazy_images
from metaaux.data.sources import source as source_lib


def all_images(
  source: source_lib.Source,
) -> np.ndarray | lazy_images.Images:
  """The examples with a label, then those without: [n, ...].

  Args:
    source: the training pool.
  """
  if source.unlabelled is None:
    return source.images
  return np.concatenate(
    [np.asarray(source.images), np.asarray(source.unlabelled)]
  )


def extended(
  found: dict[str, np.ndarray], images: np.ndarray | lazy_images.Images
) -> dict[str, np.ndarray]:
  """Examples with further images at the end, whose labels are -1.

  Args:
    found: `image` and arrays of labels, in the form of `Problem.pool`.
    images: of `all_images`.
  """
  more = len(images) - len(found["primary"])
  labels = {
    name: np.pad(
      values,
      ((0, more), *((0, 0),) * (values.ndim - 1)),
      constant_values=source_lib.NO_LABEL,
    )
    for name, values in found.items()
    if name != "image"
  }
  return {"image": images, **labels}
