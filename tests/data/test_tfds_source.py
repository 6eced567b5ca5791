"""TFDS sets, prepared on disk by the tests themselves."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_tfds

from metaaux.data import hierarchies, sources
from metaaux.errors import UserError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp("tfds")
  tiny_tfds.write(path, "cifar100", num_train=200, num_test=100)
  tiny_tfds.write(path, "mnist", num_train=30, num_test=20)
  tiny_tfds.write(path, "cifar10_1/v6", num_train=0, num_test=20)
  return path


@pytest.fixture
def prepared(monkeypatch, data_dir):
  tiny_tfds.use(monkeypatch, data_dir)
  return data_dir


def test_cifar100(prepared):
  found = sources.load("tfds:cifar100", "train")
  assert found.images.shape == (200, 32, 32, 3)
  assert found.images.dtype == np.uint8
  assert set(found.labels) == {"100", "20", "10", "3"}
  for level, names in found.names.items():
    assert len(names) == int(level)
    assert found.labels[level].dtype == np.int32
  np.testing.assert_array_equal(np.bincount(found.labels["100"]), [2] * 100)
  for child, parent, table in (
    ("100", "20", tiny_tfds.FINE_TO_COARSE),
    ("20", "10", hierarchies.CIFAR100_20_TO_10),
    ("10", "3", hierarchies.CIFAR100_10_TO_3),
  ):
    derived = hierarchies.parents(found.labels[child], found.labels[parent])
    assert derived == tuple(table)
  assert found.names["3"][0] == "animals"
  assert found.names["100"][7] == "label_7"


def test_pixels_are_those_written(prepared):
  """Noise around the pattern of the label: the two belong together."""
  found = sources.load("tfds:cifar100", "test[:20]")
  for image, label in zip(found.images, found.labels["100"], strict=True):
    pattern = np.random.default_rng(label).integers(0, 256, image.shape)
    assert np.abs(image - pattern.astype(int)).mean() < 20


def test_slices(prepared):
  whole = sources.load("tfds:cifar100", "train")
  part = sources.load("tfds:cifar100", "train[25%:75%]")
  np.testing.assert_array_equal(part.images, whole.images[50:150])
  np.testing.assert_array_equal(part.labels["20"], whole.labels["20"][50:150])


def test_grey_images_and_names_of_one_level(prepared):
  found = sources.load("tfds:mnist:3.0.1", "test")
  assert found.images.shape == (20, 28, 28, 1)
  assert list(found.labels) == ["10"]


def test_config_in_the_name(prepared):
  assert len(sources.load("tfds:cifar10_1/v6", "test").images) == 20


def test_reads_without_tensorflow(data_dir):
  """In a fresh process, which finds the directory by TFDS_DATA_DIR."""
  code = (
    "import sys\n"
    "sys.modules['tensorflow'] = None  # any import of it fails\n"
    "from metaaux.data import sources\n"
    "assert len(sources.load('tfds:cifar100', 'train').images) == 200\n"
    "del sys.modules['tensorflow']\n"
    "assert not any(m.split('.')[0] == 'tensorflow' for m in sys.modules)\n"
  )
  environment = {**os.environ, "TFDS_DATA_DIR": str(data_dir)}
  done = subprocess.run(
    [sys.executable, "-c", code],
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert done.stderr == ""


def test_not_prepared(monkeypatch, tmp_path):
  tiny_tfds.use(monkeypatch, tmp_path)
  monkeypatch.setitem(sys.modules, "tensorflow", None)
  with pytest.raises(UserError) as caught:
    sources.load("tfds:mnist", "train")
  message = str(caught.value)
  assert "pip install 'metaaux[tfds]'" in message
  assert str(tmp_path / "mnist") in message
  assert "TFDS_DATA_DIR" in message
  assert "\n" not in message


@pytest.mark.parametrize("name", ["no_such_set", "mnist:1.2.3", "../mnist"])
def test_unknown_name(prepared, name):
  pattern = "is neither a TensorFlow Datasets name nor a prepared set"
  with pytest.raises(UserError, match=pattern) as caught:
    sources.load(f"tfds:{name}", "train")
  assert str(prepared) in str(caught.value)
  assert "\n" not in str(caught.value)


def test_unknown_split(prepared):
  pattern = "tfds:cifar10_1/v6 has no split 'train'; its splits: test"
  with pytest.raises(UserError, match=pattern):
    sources.load("tfds:cifar10_1/v6", "train")
