"""TFDS sets, prepared on disk by the tests themselves."""

import importlib.util
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tiny
import tiny_tfds

from metaaux.config import cifar100
from metaaux.data import hierarchies, identity, sources
from metaaux.errors import UserError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp("tfds")
  tiny_tfds.write(path, "cifar100", num_train=200, num_test=100)
  tiny_tfds.write(path, "mnist", num_train=30, num_test=20)
  tiny_tfds.write(path, "cifar10_1/v6", num_train=0, num_test=20)
  characters = (range(6), range(6, 9))
  tiny_tfds.write(path, "omniglot", 6 * 4, 3 * 4, characters)
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
    ("20", "10", cifar100.FROM_20_TO_10),
    ("10", "3", cifar100.FROM_10_TO_3),
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


def test_omniglot(prepared):
  train = sources.load("tfds:omniglot", "train")
  test = sources.load("tfds:omniglot", "test")
  both = sources.load("tfds:omniglot", "train+test")
  assert list(both.labels) == ["label", "alphabet"]
  assert [len(n) for n in both.names.values()] == [1623, 50]
  assert both.images.shape == (36, 105, 105, 1)
  np.testing.assert_array_equal(
    both.images, np.concatenate([train.images, test.images])
  )
  np.testing.assert_array_equal(np.bincount(both.labels["label"]), [4] * 9)
  np.testing.assert_array_equal(
    both.labels["alphabet"], both.labels["label"] // tiny_tfds.CHARACTERS
  )


def test_one_alphabet(prepared):
  """Whether its images are decoded alone or picked out, they are the same."""
  both = sources.load("tfds:omniglot", "train+test")
  found = sources.load(
    "tfds:omniglot", "train+test", select="alphabet=alphabet_2"
  )
  chosen = both.labels["alphabet"] == 2
  np.testing.assert_array_equal(found.images, both.images[chosen])
  assert found.names == {"label": ("label_6", "label_7", "label_8")}
  np.testing.assert_array_equal(
    found.labels["label"], both.labels["label"][chosen] - 6
  )
  assert found.labels["label"].dtype == np.int32


@pytest.mark.parametrize(
  ("split", "select", "message"),
  [
    ("train", "alphabet=alphabet_2", "leaves no example of tfds:omniglot, sp"),
    ("train", "alphabet=Alfabet_2", "no class 'Alfabet_2'; did you mean 'alp"),
    ("train", "alphabets=alphabet_2", "no level 'alphabets'; its levels: lab"),
    ("train", "label=label_1", "leaves one class at every level"),
  ],
)
def test_mistakes_in_a_selection(prepared, split, select, message):
  with pytest.raises(UserError, match=message) as caught:
    sources.load("tfds:omniglot", split, select=select)
  assert "\n" not in str(caught.value)


def test_reads_without_tensorflow(data_dir):
  """In a fresh process, which finds the directory by TFDS_DATA_DIR."""
  code = (
    "import sys\n"
    "from metaaux.data import sources\n"
    "assert len(sources.load('tfds:cifar100', 'train').images) == 200\n"
    "assert 'tensorflow' not in sys.modules\n"
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
  find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util,
    "find_spec",
    lambda n: None if n == "tensorflow" else find(n),
  )
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


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("binarized_mnist", "has 1 image and 0 class label features of image"),
    ("oxford_flowers102", r"several sizes, such as \(16, 16, 3\) and \(17"),
  ],
)
def test_sets_of_another_kind(monkeypatch, tmp_path, name, message):
  tiny_tfds.write(tmp_path, name, num_train=10, num_test=0)
  tiny_tfds.use(monkeypatch, tmp_path)
  with pytest.raises(UserError, match=message):
    sources.load(f"tfds:{name}", "train")


def test_another_file_format(monkeypatch, tmp_path):
  folder = tiny_tfds.write(tmp_path, "mnist", num_train=10, num_test=0)
  tiny_tfds.use(monkeypatch, tmp_path)
  info = folder / "dataset_info.json"
  info.write_text(info.read_text().replace("array_record", "tfrecord"))
  with pytest.raises(UserError, match="is not in array_record files; prepare"):
    sources.load("tfds:mnist", "train")


def test_damaged_files(monkeypatch, tmp_path):
  folder = tiny_tfds.write(tmp_path, "cifar10", num_train=60, num_test=0)
  tiny_tfds.use(monkeypatch, tmp_path)
  (path,) = folder.glob("cifar10-train*")
  content = path.read_bytes()
  middle = len(content) // 2
  for damaged in (
    content[:middle],
    b"",
    content[:50_000] + bytes(1000) + content[51_000:],
  ):
    path.write_bytes(damaged)
    with pytest.raises(
      UserError, match=r"is damaged .*; prepare it again"
    ) as e:
      sources.load("tfds:cifar10", "train")
    assert "\n" not in str(e.value)


def test_identity_of_a_prepared_set(data_dir, tmp_path, monkeypatch):
  """That of its records, wherever they lie."""
  config = tiny.config(dataset="tfds:mnist")

  def look(folder):
    tiny_tfds.use(monkeypatch, folder)
    return identity.of(config, {}, lambda: None)["tfds:mnist"]

  first = look(data_dir)
  shutil.copytree(data_dir / "mnist", tmp_path / "mnist")
  assert look(tmp_path)["content"] == first["content"]
  (record,) = (tmp_path / "mnist").rglob("*-train.array_record*")
  record.write_bytes(record.read_bytes() + b" ")
  assert look(tmp_path)["content"] != first["content"]
