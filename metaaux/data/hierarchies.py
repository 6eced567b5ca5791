"""Which classes of a fine level belong to which class of a coarse one.

The tables of CIFAR-100 are those of Liu, Davison & Johns 2019: its 20 coarse
classes are grouped into 10, and those into 3.
"""

from collections.abc import Sequence

import numpy as np

from metaaux.errors import UserError

CIFAR100_10_NAMES = (
  "large animals",
  "medium animals",
  "small animals",
  "invertebrates",
  "people",
  "vegetations",
  "household objects",
  "construction",
  "natural scenes",
  "vehicles",
)
CIFAR100_3_NAMES = ("animals", "vegetations", "objects and scenes")

# Index: the standard (alphabetical) id of the fine class.
# fmt: off
CIFAR100_100_TO_20 = (
  4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11,
  6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5,
  5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17,
  10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13,
  16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
)
# fmt: on

# Index: the standard (alphabetical) id of the coarse class.
# fmt: off
CIFAR100_20_TO_10 = (
  1, 2, 5, 6, 5, 6, 6, 3, 0, 7, 8, 0, 1, 3, 4, 0, 2, 5, 9, 9,
)
# fmt: on
CIFAR100_10_TO_3 = (0, 0, 0, 0, 0, 1, 2, 2, 2, 2)


def parents(
  child_B: np.ndarray, parent_B: np.ndarray, *, names: Sequence[str] = ()
) -> tuple[int, ...]:
  """The one parent class of each child class, from the labels of examples.

  Args:
    child_B: labels of the finer level, int [B].
    parent_B: labels of the coarser level, int [B].
    names: of the child classes; without them the classes are 0 .. max.

  Returns:
    Parent class id of each child class.

  Raises:
    UserError: a child class has examples of two parents, or no example.
  """
  num_children = len(names) or int(child_B.max()) + 1
  pairs = np.unique(np.stack([child_B, parent_B], axis=1), axis=0)
  found = np.bincount(pairs[:, 0], minlength=num_children)
  for child in np.flatnonzero(found != 1):
    name = f" ('{names[child]}')" if names else ""
    of = pairs[pairs[:, 0] == child, 1].tolist()
    if of:
      raise UserError(
        f"class {child}{name} of the finer level has examples of the coarser "
        f"classes {', '.join(map(str, of))}; each must lie within one"
      )
    raise UserError(
      f"class {child}{name} of the finer level has no example, so its coarser "
      "class is unknown; use a larger split"
    )
  return tuple(pairs[:, 1].tolist())


def psi(parent_of_child: Sequence[int], num_primary: int) -> tuple[int, ...]:
  """Number of child classes of each primary class."""
  counts = np.bincount(parent_of_child, minlength=num_primary)
  return tuple(counts.tolist())


def block_columns(parent_of_child: Sequence[int]) -> np.ndarray:
  """Auxiliary column of each child class.

  The columns of one primary class stand together: children are ordered by
  (parent id, own id), as the blocks of generated labels are.

  Returns:
    int32 [number of children], a permutation.
  """
  order = np.argsort(np.asarray(parent_of_child), kind="stable")
  columns = np.empty(len(order), np.int32)
  columns[order] = np.arange(len(order), dtype=np.int32)
  return columns
