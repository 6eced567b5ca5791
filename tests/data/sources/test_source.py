"""Smaller images."""

import numpy as np
import pytest

from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError


def source(images):
  labels = {"2": np.zeros(len(images), np.int32)}
  return source_lib.Source(images, labels, {"2": ("a", "b")})


def test_a_pixel_is_the_mean_of_its_block():
  image = np.arange(5 * 7, dtype=np.uint8).reshape(1, 5, 7, 1)
  found = source_lib.shrink(source(image), 2, "digits").images
  # Rows and columns 0 and 1, 2 and 3; the last row and column are left out.
  wanted = [[4, 6, 8], [18, 20, 22]]
  np.testing.assert_array_equal(found[0, :, :, 0], wanted)
  assert found.dtype == np.uint8


def test_floats_are_not_rounded():
  image = np.array([[0.0, 1.0], [0.0, 0.0]], np.float32)[None, :, :, None]
  found = source_lib.shrink(source(image), 2, "digits").images
  np.testing.assert_array_equal(found, np.full((1, 1, 1, 1), 0.25, np.float32))


def test_a_factor_of_one_changes_nothing():
  given = source(np.ones((1, 3, 3, 1), np.uint8))
  assert source_lib.shrink(given, 1, "digits") is given


def test_a_factor_beyond_the_image_is_refused():
  given = source(np.ones((1, 3, 8, 1), np.uint8))
  with pytest.raises(UserError, match=r"shrink=4, but the images .* are 3x8"):
    source_lib.shrink(given, 4, "digits")
