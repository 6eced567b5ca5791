"""Folders of image files."""

import numpy as np
import pytest
from PIL import Image

from metaaux import data
from metaaux.data import sources
from metaaux.errors import UserError


def _image(path, seed=0, mode="RGB", size=(6, 5)):
  rng = np.random.default_rng(seed)
  pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).convert(mode).save(path)
  return pixels


def _classes(root, counts, mode="RGB", first=0):
  """Makes `counts` images in the class folders a, b, c, ..."""
  for c, count in enumerate(counts):
    for i in range(count):
      seed = first + 100 * c + i
      _image(root / "abcdef"[c] / f"{i:03d}.png", seed, mode)


def _load(root, split="train"):
  return sources.load(f"folder:{root}", split)


def test_train_and_test_folders(tmp_path):
  _classes(tmp_path / "train", (4, 3, 2))
  _classes(tmp_path / "test", (1, 2), first=1000)
  train, test = _load(tmp_path), _load(tmp_path, "test")
  assert train.names == test.names == {"3": ("a", "b", "c")}
  assert train.images.shape == (9, 5, 6, 3)
  np.testing.assert_array_equal(np.bincount(train.labels["3"]), [4, 3, 2])
  np.testing.assert_array_equal(np.bincount(test.labels["3"]), [1, 2])
  rng = np.random.default_rng(1101)
  pixels = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
  found = [(image == pixels).all() for image in test.images]
  np.testing.assert_array_equal(test.labels["3"][found], [1])


def test_other_splits_beside_train(tmp_path):
  for split, counts in (("train", (3, 3)), ("test", (1, 1)), ("val", (2, 1))):
    _classes(tmp_path / split, counts)
  assert len(_load(tmp_path, "val").images) == 3


def test_fraction_of_each_class(tmp_path):
  _classes(tmp_path, (20, 10, 1))
  train, test = _load(tmp_path), _load(tmp_path, "test")
  np.testing.assert_array_equal(np.bincount(train.labels["3"]), [16, 8, 1])
  np.testing.assert_array_equal(np.bincount(test.labels["3"]), [4, 2])
  everything = {i.tobytes() for s in (train, test) for i in s.images}
  assert len(everything) == 31


def test_order_is_that_of_the_names_alone(tmp_path):
  """Files made in the opposite order are found in the same order."""
  names = [(c, i) for c in "ab" for i in range(10)]
  for root, order in (("one", names), ("two", names[::-1])):
    for c, i in order:
      _image(tmp_path / root / c / f"{i}.png", seed=ord(c) + 10 * i)
  one, two = _load(tmp_path / "one"), _load(tmp_path / "two")
  np.testing.assert_array_equal(one.images, two.images)
  np.testing.assert_array_equal(one.labels["2"], two.labels["2"])
  # And it is shuffled: a slice does not hold one class alone.
  assert len(np.unique(one.labels["2"][:6])) == 2


def test_a_class_named_train(tmp_path):
  for name in ("train", "bus"):
    _image(tmp_path / name / "1.png")
    _image(tmp_path / name / "2.png")
  assert _load(tmp_path).names == {"2": ("bus", "train")}


@pytest.mark.parametrize(
  ("mode", "suffix", "channels"),
  [
    ("L", "png", 1),
    ("1", "png", 1),
    ("LA", "png", 1),
    ("L", "jpg", 1),
    ("RGB", "jpg", 3),
    ("RGBA", "png", 3),
    ("P", "png", 3),
    ("CMYK", "jpg", 3),
    ("RGB", "bmp", 3),
  ],
)
def test_modes(tmp_path, mode, suffix, channels):
  for c in "ab":
    for i in range(2):
      _image(tmp_path / c / f"{i}.{suffix.upper()}", mode=mode)
  found = _load(tmp_path)
  assert found.images.shape == (2, 5, 6, channels)
  assert found.images.dtype == np.uint8


def test_palette_with_transparency(tmp_path):
  for c in "ab":
    for i in range(2):
      pixels = np.arange(30, dtype=np.uint8).reshape(5, 6)
      image = Image.fromarray(pixels).convert("P")
      (tmp_path / c).mkdir(exist_ok=True)
      image.save(tmp_path / c / f"{i}.png", transparency=bytes(range(30)))
  assert _load(tmp_path).images.shape == (2, 5, 6, 3)


def test_16_bits_keep_the_upper_byte(tmp_path):
  values = np.linspace(0, 65535, 30).astype(np.uint16).reshape(5, 6)
  for c in "ab":
    (tmp_path / c).mkdir()
    for i in range(2):
      Image.fromarray(values).save(tmp_path / c / f"{i}.png")
  np.testing.assert_array_equal(_load(tmp_path).images[0, ..., 0], values >> 8)


def test_grey_among_colour_becomes_colour(tmp_path):
  _classes(tmp_path / "train", (2, 2), mode="L")
  _classes(tmp_path / "test", (2, 2), mode="RGB")
  grey = _load(tmp_path).images
  assert grey.shape[-1] == 3
  np.testing.assert_array_equal(grey[..., 0], grey[..., 2])


def test_sizes_differ(tmp_path):
  _classes(tmp_path, (3, 3))
  _image(tmp_path / "b" / "odd.png", size=(7, 5))
  pattern = r"\.png is \dx5, .*\.png is \dx5; resize the images to one size"
  with pytest.raises(UserError, match=pattern) as caught:
    _load(tmp_path)
  assert "odd.png is 7x5" in str(caught.value)
  # The middle of each, at the side that is asked for.
  resized = sources.load(f"folder:{tmp_path}", "train", side=4)
  assert resized.images.shape[1:] == (4, 4, 3)


def test_truncated_image(tmp_path):
  _classes(tmp_path, (3, 3))
  for path in (tmp_path / "a").iterdir():
    path.write_bytes(path.read_bytes()[:80])
  with pytest.raises(UserError, match=r"a/00\d\.png cannot be decoded"):
    _load(tmp_path)


def test_not_an_image(tmp_path):
  _classes(tmp_path, (3, 3))
  (tmp_path / "a" / "text.png").write_text("no image")
  with pytest.raises(UserError, match=r"text\.png is not a readable image"):
    _load(tmp_path)


def test_other_files_are_passed_over(tmp_path):
  _classes(tmp_path, (2, 2))
  (tmp_path / "README.txt").write_text("about")
  (tmp_path / ".git").mkdir()
  (tmp_path / "a" / "notes.csv").write_text("1,2")
  (tmp_path / "a" / "._000.png").write_text("what some systems leave behind")
  assert len(_load(tmp_path).images) == 2


def test_missing_folder(tmp_path):
  with pytest.raises(UserError, match="no such folder"):
    _load(tmp_path / "none")


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda root: None, "has 0 class folders"),
    (lambda root: _classes(root, (3,)), "has 1 class folders"),
    (lambda root: _classes(root / "train", (3, 3)), "train/ but no test/"),
    (
      lambda root: (_classes(root, (3, 3)), (root / "z").mkdir()),
      "z has no im",
    ),
    (
      lambda root: (
        _classes(root / "train", (3, 3)),
        _classes(root / "test", (3, 3, 3)),
      ),
      "c is not a class of train/; its classes: a, b",
    ),
  ],
)
def test_mistakes(tmp_path, make, message):
  make(tmp_path)
  with pytest.raises(UserError, match=message):
    _load(tmp_path)


def test_unknown_split(tmp_path):
  _classes(tmp_path, (2, 2))
  with pytest.raises(
    UserError, match="no split 'val'; its splits: test, train"
  ):
    _load(tmp_path, "val")


def _domains(root, counts=((3, 2), (1, 4))):
  for k, of_classes in enumerate(counts):
    _classes(root / f"domain{k}", of_classes, first=1000 * k)


def test_domains_of_classes(tmp_path):
  _domains(tmp_path)
  found = _load(tmp_path, "all")
  assert found.names == {"2": ("a", "b"), "domain": ("domain0", "domain1")}
  pairs = np.stack([found.labels["domain"], found.labels["2"]], 1)
  table = np.zeros((2, 2), int)
  np.add.at(table, tuple(pairs.T), 1)
  np.testing.assert_array_equal(table, [[3, 2], [1, 4]])
  # An image has the labels of its folders.
  rng = np.random.default_rng(1103)  # domain1/b/003.png
  pixels = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
  (place,) = np.flatnonzero((found.images == pixels).all((1, 2, 3)))
  np.testing.assert_array_equal(pairs[place], [1, 1])


def test_a_domain_without_images_is_no_mistake_that_passes(tmp_path):
  _domains(tmp_path)
  (tmp_path / "domain2").mkdir()
  with pytest.raises(UserError, match="domain2 is empty, and the other"):
    _load(tmp_path, "all")


def test_classes_with_folders_inside_are_classes(tmp_path):
  _classes(tmp_path, (3, 3))
  for name in "ab":
    _image(tmp_path / name / "thumbnails" / "0.png")
  assert _load(tmp_path).names == {"2": ("a", "b")}


def test_images_that_are_not_read_are_named(tmp_path):
  def unread(*splits):
    return data.unread(f"folder:{tmp_path}", *splits)

  for split in ("train", "test"):
    _classes(tmp_path / split, (2, 2))
  assert unread("train", "test") == []
  _image(tmp_path / "unlabelled" / "1.png")
  _image(tmp_path / "unlabelled" / "2.png")
  _image(tmp_path / "loose.png")
  _image(tmp_path / "train" / "too.png")
  _image(tmp_path / "train" / "a" / "inside" / "1.png")  # of class a
  _classes(tmp_path / "val", (1, 1))
  (line,) = unread("train[:50%]", "test")
  assert line == (
    f"folder:{tmp_path}: not read: train/ (1 image), unlabelled/ (2 images), "
    "val/ (2 images), 1 image beside the folders"
  )
  assert "val/" not in unread("train+val", "test")[0]
  assert "val/" not in unread()[0] and "unlabelled" in unread()[0]
  assert data.unread("digits", "train") == []


def test_an_unlabelled_folder_among_classes_is_named(tmp_path):
  _classes(tmp_path, (2, 2))
  _image(tmp_path / "Unlabelled" / "1.png")
  _image(tmp_path / "loose.png")
  left, taken = data.unread(f"folder:{tmp_path}", "train", "test")
  assert left.endswith("not read: 1 image beside the folders")
  assert "Unlabelled/ is taken for a class" in taken


def test_domains_are_read_whole(tmp_path):
  _domains(tmp_path)
  assert data.unread(f"folder:{tmp_path}", "all", "all") == []
