"""Data: sources, splits, streams of batches, augmentation."""

from metaaux.data.problem import (
  Problem,
  build,
  constant_attributes,
  load_test,
)
from metaaux.data.sources import Source, load

__all__ = [
  "Problem",
  "Source",
  "build",
  "constant_attributes",
  "load",
  "load_test",
]
