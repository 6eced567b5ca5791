"""The images that are neither for training nor for the outer update."""

import numpy as np
import pytest
import tiny

from metaaux import data
from metaaux.errors import UserError


def test_unlabelled_images():
  for changes in (
    {},
    {"labels_per_class": 30},
    {"meta_fraction": 0.5, "batch_size": 8},
  ):
    config = tiny.config(num_seeds=2, **{"labels_per_class": 20, **changes})
    made = data.build(config)
    found = made.positions("unlabelled")
    assert found.dtype == np.int32
    for row, train, meta in zip(found, made.train, made.meta, strict=True):
      assert sorted({*row, *train, *meta}) == list(range(1000))
      assert not np.isin(row, train).any() and not np.isin(row, meta).any()
    assert not np.array_equal(found[0], found[1])


def test_no_unlabelled_images():
  made = data.build(tiny.config(labels_per_class=0))
  with pytest.raises(UserError, match=r"all 1000 .* labelled.*pool=all"):
    made.positions("unlabelled")
