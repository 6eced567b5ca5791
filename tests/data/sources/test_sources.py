"""Dispatch, the embedded digits, and hierarchy files."""

import json
import subprocess
import sys

import numpy as np
import pytest

from metaaux.data import sources
from metaaux.errors import UserError

PARITY = {"names": ["a", "b"], "of": "10", "parent": [0, 1] * 5}


def test_digits():
  train = sources.load("digits", "train")
  test = sources.load("digits", "test")
  assert train.images.shape == (1000, 8, 8, 1)
  assert test.images.shape == (797, 8, 8, 1)
  for source in (train, test):
    assert source.images.dtype == np.uint8
    assert (source.images.min(), source.images.max()) == (0, 255)
    assert source.labels["10"].dtype == np.int32
    np.testing.assert_array_equal(source.labels["2"], source.labels["10"] % 2)
  assert train.names == {"10": tuple("0123456789"), "2": ("even", "odd")}


def test_digits_are_stratified_and_disjoint():
  train = sources.load("digits", "train")
  test = sources.load("digits", "test")
  counts = np.bincount(train.labels["10"]) / 1000
  np.testing.assert_allclose(
    counts, np.bincount(test.labels["10"]) / 797, atol=2e-3
  )
  seen = {image.tobytes() for image in train.images}
  assert not any(image.tobytes() in seen for image in test.images)


def test_a_slice_is_a_part_in_the_same_order():
  whole = sources.load("digits", "train")
  part = sources.load("digits", "train[10%:30%]")
  np.testing.assert_array_equal(part.images, whole.images[100:300])
  np.testing.assert_array_equal(part.labels["10"], whole.labels["10"][100:300])
  # A short prefix already has every class, since the order is random.
  assert len(np.unique(whole.labels["10"][:100])) == 10


@pytest.mark.parametrize(
  "source", ["", "digit", "tfds", "npz:", "folder:", "digits:x", "zip:a.zip"]
)
def test_unknown_kinds(source):
  with pytest.raises(UserError, match="is not understood; use digits, tfds:"):
    sources.load(source, "train")


def test_a_bare_path_is_understood_by_half(tmp_path):
  with pytest.raises(UserError, match=rf"did you mean 'folder:{tmp_path}'\?"):
    sources.load(str(tmp_path), "train")
  with pytest.raises(UserError, match=r"did you mean 'npz:a\.npz'\?"):
    sources.load("a.npz", "train")


def test_unknown_split():
  with pytest.raises(UserError, match="no split 'valid'; its splits: test, tr"):
    sources.load("digits", "valid[:50%]")


def _write(tmp_path, content):
  path = tmp_path / "hierarchy.json"
  path.write_text(content if isinstance(content, str) else json.dumps(content))
  return str(path)


def test_hierarchy_adds_levels(tmp_path):
  top = {"names": ["x", "y"], "of": "threes", "parent": [0, 1, 0]}
  threes = {
    "names": ["low", "mid", "high"],
    "of": "10",
    "parent": [0, 0, 0, 1, 1, 1, 1, 2, 2, 2],
  }
  path = _write(tmp_path, {"levels": {"threes": threes, "top": top}})
  found = sources.load("digits", "train[:200]", hierarchy=path)
  digit = found.labels["10"]
  expected = np.digitize(digit, [3, 7])
  np.testing.assert_array_equal(found.labels["threes"], expected)
  np.testing.assert_array_equal(found.labels["top"], expected == 1)
  assert found.names["threes"] == ("low", "mid", "high")
  assert list(found.names) == list(found.labels)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("{", "is not JSON"),
    ({}, "the one key 'levels'"),
    ({"level": {}}, "the one key 'levels'"),
    ({"levels": []}, "'levels' must be an object"),
    ({"levels": {"g": 3}}, r"levels\.g must have the keys"),
    ({"levels": {"g": {"names": []}}}, r"levels\.g must have the keys names"),
    ({"levels": {"2": PARITY}}, r"levels\.2: there is a level of that name"),
    ({"levels": {"g": PARITY | {"of": "11"}}}, r"g\.of='11' is not a level"),
    ({"levels": {"g": PARITY | {"of": 10}}}, r"g\.of=10 is not a level"),
    ({"levels": {"g": PARITY | {"names": "ab"}}}, r"g\.names='ab' must be"),
    ({"levels": {"g": PARITY | {"names": ["a"]}}}, r"g\.names has 1 classes"),
    ({"levels": {"g": PARITY | {"names": ["a", "a"]}}}, r"g\.names has a name"),
    ({"levels": {"g": PARITY | {"parent": [0]}}}, r"each of the 10 classes"),
    ({"levels": {"g": PARITY | {"parent": 3}}}, r"g\.parent must list"),
    (
      {"levels": {"g": PARITY | {"parent": [0, 2] * 5}}},
      r"g\.parent\[1\]=2 is not a class id; use 0\.\.1",
    ),
    (
      {"levels": {"g": PARITY | {"parent": [0, 1.0] * 5}}},
      r"g\.parent\[1\]=1\.0 is not a class id",
    ),
    (
      {"levels": {"g": PARITY | {"parent": [0] * 10}}},
      r"g\.parent never says 1 \('b'\)",
    ),
  ],
)
def test_mistakes_in_a_hierarchy(tmp_path, content, message):
  path = _write(tmp_path, content)
  with pytest.raises(UserError, match=message) as caught:
    sources.load("digits", "train", hierarchy=path)
  assert "\n" not in str(caught.value)


def test_missing_hierarchy(tmp_path):
  with pytest.raises(UserError, match="cannot be read"):
    sources.load("digits", "train", hierarchy=str(tmp_path / "no.json"))


def test_import_is_cheap():
  code = (
    "import sys, metaaux.data; heavy = {'tensorflow', 'tensorflow_datasets', "
    "'sklearn', 'PIL'}; sys.exit(str(heavy & set(sys.modules)) "
    "if heavy & set(sys.modules) else 0)"
  )
  done = subprocess.run([sys.executable, "-c", code])
  assert done.returncode == 0
