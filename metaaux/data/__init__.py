"""Data: sources, splits, streams of batches, augmentation."""

from metaaux.data.problem import Problem, build, load_test
from metaaux.data.sources import Source, load

__all__ = ["Problem", "Source", "build", "load", "load_test"]
