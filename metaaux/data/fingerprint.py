"""Digests of arrays, which tell whether results made of them still hold."""

import zlib

import numpy as np


def of(array: np.ndarray) -> str:
  """Shape, type and checksum of an array, in a short text."""
  array = np.ascontiguousarray(array)
  return f"{array.shape}-{array.dtype}-{zlib.crc32(array.view(np.uint8)):08x}"
