"""Data: sources, splits, streams of batches, augmentation."""

from metaaux.data.other_test import load_test
from metaaux.data.problem import Problem, build, constant_attributes
from metaaux.data.sources import Source, load

__all__ = [
  "Problem",
  "Source",
  "build",
  "constant_attributes",
  "load",
  "load_test",
]
