"""Which classes of a fine level belong to which class of a coarse one."""

from collections.abc import Sequence

import numpy as np

from metaaux.errors import UserError


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
