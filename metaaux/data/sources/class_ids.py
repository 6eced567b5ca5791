"""Makes int64 class ids [n] of labels as other programs write them."""

import numpy as np

from metaaux.errors import UserError

_LARGEST = 2**31 - 1


def read(labels: np.ndarray, origin: str) -> np.ndarray:
  """One class id for each image.

  Args:
    labels: integers [n] or [n, 1]; bools; floats that are whole numbers; or
      [n, C] with a one in the column of the class and zeros in the others.
    origin: name of the array, which begins messages.

  Returns:
    int64 [n].

  Raises:
    UserError: the labels are something else, or do not fit into 32 bits.
  """
  ids = labels
  if ids.ndim == 2 and ids.shape[1] == 1:
    ids = ids[:, 0]
  elif _is_one_hot(ids):
    ids = ids.argmax(1)
  if ids.ndim != 1 or ids.dtype.kind not in "buif":
    raise UserError(
      f"{origin} is {labels.dtype} of shape {labels.shape}; store one "
      "integer class id an image"
    )
  if ids.dtype.kind == "f":
    wrong = ids[~(np.isfinite(ids) & (ids == np.rint(ids)))]
    if wrong.size:
      raise UserError(
        f"{origin} is {labels.dtype} and holds {wrong[0]}; store one integer "
        "class id an image"
      )
  wrong = ids[(ids > _LARGEST) | (ids < -_LARGEST)] if ids.size else ids
  if wrong.size:
    raise UserError(
      f"{origin} holds {wrong[0]}, which does not fit into 32 bits; number the "
      "classes from 0"
    )
  return ids.astype(np.int64)


def _is_one_hot(labels: np.ndarray) -> bool:
  if labels.ndim != 2 or labels.dtype.kind not in "buif" or not labels.size:
    return False
  return bool(
    ((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all()
  )
