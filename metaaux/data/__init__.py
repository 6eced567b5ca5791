"""Data: sources, splits, streams of batches, augmentation."""

from metaaux.data.other_test import load_test
from metaaux.data.problem import (
  Problem,
  build,
  constant_attributes,
  every_position,
)
from metaaux.data.sources import Source, load

__all__ = [
  "Problem",
  "Source",
  "build",
  "constant_attributes",
  "every_position",
  "load",
  "load_test",
]
