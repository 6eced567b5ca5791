"""NumPy archives."""

import json

import numpy as np
import pytest

from metaaux.data import sources
from metaaux.errors import UserError


def _arrays(**changes):
  """A sound archive of 12 training and 6 test images in 3 classes."""
  rng = np.random.default_rng(0)
  made = {
    "x_train": rng.integers(0, 256, (12, 5, 4, 3), dtype=np.uint8),
    "y_train": np.arange(12) % 3,
    "x_test": rng.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8),
    "y_test": np.arange(6) % 3,
  }
  made.update(changes)
  return {key: value for key, value in made.items() if value is not None}


def _load(tmp_path, split="train", **changes):
  path = tmp_path / "data.npz"
  np.savez_compressed(path, **_arrays(**changes))
  return sources.load(f"npz:{path}", split)


def test_uint8_colour(tmp_path):
  made = _arrays()
  found = _load(tmp_path, "test")
  np.testing.assert_array_equal(found.images, made["x_test"])
  np.testing.assert_array_equal(found.labels["3"], made["y_test"])
  assert found.labels["3"].dtype == np.int32
  assert found.names == {"3": ("0", "1", "2")}


def test_grey_images_get_a_channel(tmp_path):
  grey = np.zeros((12, 5, 4), np.uint8)
  assert _load(tmp_path, x_train=grey).images.shape == (12, 5, 4, 1)


def test_floats_stay_floats(tmp_path):
  images = np.random.default_rng(0).random((12, 5, 4, 1))
  found = _load(tmp_path, x_train=images)
  assert found.images.dtype == np.float32
  np.testing.assert_allclose(found.images, images, rtol=1e-6)


def test_columns_of_labels(tmp_path):
  found = _load(tmp_path, y_train=(np.arange(12) % 3)[:, None])
  np.testing.assert_array_equal(found.labels["3"], np.arange(12) % 3)


def test_more_levels(tmp_path):
  fine = np.arange(12) % 6
  found = _load(
    tmp_path, "train[50%:]", y_train_fine=fine, y_test_fine=np.arange(6)
  )
  assert set(found.labels) == {"3", "fine"}
  np.testing.assert_array_equal(found.labels["fine"], fine[6:])
  assert found.names["fine"] == tuple("012345")


def test_classes_are_counted_over_both_splits(tmp_path):
  found = _load(tmp_path, y_train=np.arange(12) % 2)
  assert found.names == {"3": ("0", "1", "2")}


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"x_train": None}, "no array 'x_train'; it has: y_train, x_test, y_test"),
    ({"y_test": None}, "no array 'y_test'"),
    ({"y_train_fine": np.arange(12) % 6}, "no array 'y_test_fine'"),
    (
      {"y_train_3": np.arange(12) % 6, "y_test_3": np.arange(6)},
      "y_train has 3 classes, and so has the level of y_train_3",
    ),
    ({"y_train": np.arange(11) % 3}, "12 images but 11 labels"),
    ({"y_train": np.arange(12) % 3 - 2}, r"label -2 is outside 0\.\.2"),
    ({"y_train": np.arange(12) % 3 * 0.9}, "'y_train' is float64"),
    ({"y_train": np.zeros((12, 2), int)}, r"'y_train' is int64 of shape \(12"),
    ({"y_train": np.arange(12) * 1000}, "18 labels, but one is 11000"),
    (
      {"y_train": np.arange(12) % 3 + 1, "y_test": np.arange(6) % 3 + 1},
      "start at 1; number the classes from 0",
    ),
    ({"x_train": np.zeros(12)}, r"shape \(12,\)"),
    ({"x_train": np.zeros((0, 4, 4, 1))}, "no examples"),
    ({"x_train": np.zeros((12, 4, 4), int)}, "images are int64"),
    ({"x_train": np.full((12, 4, 4), 256.0)}, "float images hold 256.0"),
    ({"x_train": np.full((12, 4, 4), np.nan)}, "float images hold nan"),
    ({"x_train": np.full((12, 4, 4), np.inf)}, "float images hold inf"),
    ({"x_train": np.full((12, 4, 4), -0.5)}, "float images hold -0.5"),
    ({"x_train": np.full((12, 4, 4), None)}, "cannot be read"),
  ],
)
def test_mistakes(tmp_path, changes, message):
  with pytest.raises(UserError, match=message) as caught:
    _load(tmp_path, **changes)
  assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
  with pytest.raises(UserError, match="no such file"):
    sources.load(f"npz:{tmp_path / 'none.npz'}", "train")


def test_truncated_file(tmp_path):
  path = tmp_path / "data.npz"
  np.savez_compressed(path, **_arrays())
  content = path.read_bytes()
  for length in (0, 10, len(content) // 2, len(content) - 30):
    path.write_bytes(content[:length])
    with pytest.raises(UserError, match="cannot be read") as caught:
      sources.load(f"npz:{path}", "train")
    assert "\n" not in str(caught.value)


def test_damaged_member(tmp_path):
  path = tmp_path / "data.npz"
  np.savez_compressed(path, **_arrays())
  content = bytearray(path.read_bytes())
  content[200:260] = bytes(60)
  path.write_bytes(content)
  with pytest.raises(UserError, match="cannot be read"):
    sources.load(f"npz:{path}", "train")


def test_other_files(tmp_path):
  np.save(tmp_path / "one.npy", np.zeros(3))
  with pytest.raises(UserError, match="is one array"):
    sources.load(f"npz:{tmp_path / 'one.npy'}", "train")
  (tmp_path / "text.npz").write_text("no archive")
  with pytest.raises(UserError, match="cannot be read"):
    sources.load(f"npz:{tmp_path / 'text.npz'}", "train")


def _undivided(path, **changes):
  """An archive of one set: 12 images, 3 classes, 2 domains."""
  made = {
    "x": _arrays()["x_train"],
    "y": np.arange(12) % 3,
    "domain": np.arange(12) % 2,
    "domain_names": np.array(["ink", "oil"]),
  }
  made.update(changes)
  np.savez(path, **{k: v for k, v in made.items() if v is not None})
  return f"npz:{path}"


@pytest.mark.parametrize("key", ["class_names", "y_names"])
def test_one_set_with_domains(tmp_path, key):
  source = _undivided(tmp_path / "a.npz", **{key: np.array(["a", "b", "c"])})
  found = sources.load(source, "all")
  assert found.names == {"3": ("a", "b", "c"), "domain": ("ink", "oil")}
  np.testing.assert_array_equal(found.labels["3"], np.arange(12) % 3)
  np.testing.assert_array_equal(found.labels["domain"], np.arange(12) % 2)
  np.testing.assert_array_equal(found.images, _arrays()["x_train"])
  part = sources.load(source, "all[3:5]")
  np.testing.assert_array_equal(part.labels["3"], [0, 1])


def test_names_beside_the_archive(tmp_path):
  """As image sets are unpacked: image, label, domain, and a meta.json."""
  made = {"image": _arrays()["x_train"], "label": np.arange(12) % 3}
  changes = dict.fromkeys(("x", "y", "domain_names"))
  source = _undivided(tmp_path / "all.npz", **changes, **made)
  numbers = {"3": tuple("012"), "domain": tuple("01")}
  assert sources.load(source, "all").names == numbers
  beside = {"class_names": ["a", "b", "c"], "domain_names": ["ink", "oil"]}
  (tmp_path / "meta.json").write_text(json.dumps({"name": "x", **beside}))
  named = {"3": ("a", "b", "c"), "domain": ("ink", "oil")}
  assert sources.load(source, "all").names == named
  # Other data's names do not fit, and what is no list of names is no matter.
  for content in ({**beside, "class_names": list("abcd")}, [1], 3):
    (tmp_path / "meta.json").write_text(json.dumps(content))
    assert sources.load(source, "all").names["3"] == numbers["3"]


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"y": None}, "has no array 'y'; it has: x, domain, domain_names"),
    ({"domain_names": np.array(["ink"])}, "'domain_names' has 1 different nam"),
    ({"domain_names": np.array(["a", "a"])}, "'domain' has the label 1; name"),
    ({"domain": np.arange(11) % 2}, "12 images but 11 labels of level 'domain"),
    ({"domain": np.arange(12) / 2}, "'domain' is float64"),
    ({"domain": np.arange(12) + 1}, "labels of 'domain' start at 1"),
  ],
)
def test_mistakes_in_one_set(tmp_path, changes, message):
  with pytest.raises(UserError, match=message):
    sources.load(_undivided(tmp_path / "a.npz", **changes), "all")


def test_a_divided_archive_may_hold_an_x(tmp_path):
  assert len(_load(tmp_path, x=np.zeros(3)).images) == 12
