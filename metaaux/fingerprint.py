"""Digests of arrays, to know whether what was made of them still holds."""

import zlib
from typing import Any

import numpy as np

# Rows at a time, of arrays that are not in memory.
_ROWS = 4096


def of(array: Any) -> str:
  """Shape, type and checksum of an array, in a short text.

  Args:
    array: numpy array, or one that is read as it is sliced.
  """
  if array.ndim == 0:
    array = array[None]
  checksum = 0
  for start in range(0, len(array), _ROWS):
    part = np.ascontiguousarray(array[start : start + _ROWS])
    checksum = zlib.crc32(part.view(np.uint8), checksum)
  return f"{array.shape}-{array.dtype}-{checksum:08x}"
