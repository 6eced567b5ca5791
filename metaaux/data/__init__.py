"""Data: sources, levels of labels, splits, order of batches, augmentation."""

from metaaux.data.extra_tests import default_split, load_test, unread
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
  "default_split",
  "every_position",
  "load",
  "load_test",
  "unread",
]
