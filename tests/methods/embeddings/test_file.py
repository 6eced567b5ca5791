"""Vectors from a file: what is read, and what is refused in one line."""

import numpy as np
import pytest

from metaaux.errors import UserError
from metaaux.methods.embeddings import file

VECTORS = np.arange(12, dtype=np.float64).reshape(6, 2)


def save(folder, **arrays):
  path = folder / "vectors.npz"
  np.savez(path, **arrays)
  return str(path)


def test_an_npy_file_is_read_as_float32(tmp_path):
  path = tmp_path / "vectors.npy"
  np.save(path, VECTORS)
  found = file.read(str(path), 6)
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found, VECTORS)


def test_of_an_npz_file_one_array_is_read(tmp_path):
  path = save(tmp_path, embedding=VECTORS, made_of=np.array("{}"))
  np.testing.assert_array_equal(file.read(path, 6), VECTORS)


@pytest.mark.parametrize(
  ("arrays", "says"),
  [
    ({"embedding": VECTORS[:5]}, "has 5 vectors, but there are 6"),
    ({"embedding": VECTORS[0]}, r"float64\[2\]; it must be floats"),
    ({"embedding": VECTORS.astype(int)}, "it must be floats"),
    ({"embedding": VECTORS * np.nan}, "NaN or infinity"),
    ({"features": VECTORS}, "holds features; name the array"),
  ],
)
def test_what_does_not_fit_is_refused(tmp_path, arrays, says):
  with pytest.raises(UserError, match=says):
    file.read(save(tmp_path, **arrays), 6)


def test_a_path_that_is_no_file_is_refused(tmp_path):
  with pytest.raises(UserError, match="is not a file"):
    file.read(str(tmp_path), 6)
  with pytest.raises(UserError, match=r"needs embedding\.path"):
    file.read("", 6)


def test_a_damaged_file_is_refused(tmp_path):
  path = tmp_path / "vectors.npz"
  path.write_bytes(b"PK\x03\x04 and no more")
  with pytest.raises(UserError, match="cannot be read"):
    file.read(str(path), 6)
