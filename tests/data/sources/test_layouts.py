"""How folders are divided, and which files in them count."""

import numpy as np
import pytest
from PIL import Image

from metaaux import data
from metaaux.data import sources
from metaaux.errors import UserError
from metaaux.run import opening


def image(path, seed=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  rng = np.random.default_rng(seed)
  pixels = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
  Image.fromarray(pixels).save(path)


def classes(root, counts=(3, 3)):
  for c, count in zip("abc", counts, strict=False):
    for i in range(count):
      image(root / c / f"{i}.png", seed=i + 10 * count)
  return f"folder:{root}"


def sizes(where, *splits):
  return [len(sources.load(where, split).images) for split in splits]


@pytest.mark.parametrize(
  ("train", "test", "val"),
  [
    ("train", "val", None),
    ("train", "validation", None),
    ("Train", "Test", None),
    ("TRAIN", "TEST", "VAL"),
    ("training", "testing", "validation"),
    ("training", "test", "valid"),
    ("Train", "valid", None),
  ],
)
def test_names_of_splits(tmp_path, train, test, val):
  classes(tmp_path / train, (5, 4))
  classes(tmp_path / test, (2, 1))
  where = f"folder:{tmp_path}"
  assert sizes(where, "train", "test", train, test) == [9, 3, 9, 3]
  notes = " ".join(sources.load(where, "test").notes)
  for split, folder in (("train", train), ("test", test)):
    assert (f"{folder}/ is the split {split}" in notes) == (split != folder)
  if val:
    classes(tmp_path / val, (1, 1))
    assert sizes(where, "val", "train+val", val) == [2, 11, 2]


@pytest.mark.parametrize(
  ("names", "message"),
  [
    (("Train",), "has Train/ but no test/"),
    (("test", "val"), "has test/, val/ but no train/; add it"),
    (("Train", "training", "test"), "Train/ and training/, which may both be"),
    (("photos",), r"has 1 class folders; .* \(did you mean folder:.*photos"),
  ],
)
def test_splits_that_do_not_fit(tmp_path, names, message):
  for name in names:
    classes(tmp_path / name)
  with pytest.raises(UserError, match=message):
    sources.load(f"folder:{tmp_path}", "train")


def test_classes_may_have_names_of_splits(tmp_path):
  for name in ("Training", "test", "val"):
    image(tmp_path / name / "1.png")
    image(tmp_path / name / "2.png")
  names = sources.load(f"folder:{tmp_path}", "train").names
  assert names == {"3": ("Training", "test", "val")}


def test_folders_inside_class_folders(tmp_path):
  where = classes(tmp_path, (4, 4))
  image(tmp_path / "a" / "2019" / "may" / "x.png", 7)
  (tmp_path / "a" / "2019" / "again").symlink_to(tmp_path / "a")
  found = sources.load(where, "train")
  assert sum(sizes(where, "train", "test")) == 9
  assert found.notes == (
    "images in folders inside class folders are of that class: a/ (1)",
  )


def test_nested_folders_that_share_no_name_are_no_domains(tmp_path):
  for path in ("cat/anna/1", "cat/bob/1", "dog/carl/1", "dog/dora/1"):
    image(tmp_path / f"{path}.png")
  found = sources.load(f"folder:{tmp_path}", "train")
  assert found.names == {"2": ("cat", "dog")}


def test_what_systems_leave_behind(tmp_path):
  where = classes(tmp_path)
  before = sources.load(where, "train")
  for junk in ("__MACOSX", ".ipynb_checkpoints", ".git"):
    for parent in (tmp_path, tmp_path / "a"):
      image(parent / junk / "a" / "0.png")
  (tmp_path / "a" / "._0.png").write_bytes(b"")
  found = sources.load(where, "train")
  np.testing.assert_array_equal(found.images, before.images)
  assert found.names == before.names and found.notes == ()


def broken_folder(tmp_path):
  """Twelve whole and four broken images, of every kind of damage."""
  where = classes(tmp_path, (6, 6))
  whole = (tmp_path / "a" / "0.png").read_bytes()
  (tmp_path / "a" / "cut.png").write_bytes(whole[:90])
  (tmp_path / "a" / "empty.jpg").write_bytes(b"")
  (tmp_path / "b" / "text.png").write_text("no image")
  (tmp_path / "b" / "gone.png").symlink_to(tmp_path / "nowhere")
  return where


def test_all_broken_files_are_named(tmp_path):
  where = broken_folder(tmp_path)
  with pytest.raises(
    UserError, match=r"^4 files: .*skip_broken=True"
  ) as caught:
    sources.load(where, "train")
  for name in ("a/cut.png", "a/empty.jpg", "b/text.png", "b/gone.png"):
    assert f"{name} " in str(caught.value)
  assert "\n" not in str(caught.value)


def test_files_cut_short_are_named_with_those_of_the_other_split(tmp_path):
  where = classes(tmp_path, (20, 20))
  for path in tmp_path.glob("*/1*.png"):
    path.write_bytes(path.read_bytes()[:90])
  with pytest.raises(UserError, match=r"^22 files: .* and 12 more; replace"):
    sources.load(where, "train")


@pytest.mark.parametrize("lazy", [False, True])
def test_broken_files_are_left_out_and_counted(tmp_path, lazy):
  where = broken_folder(tmp_path)
  found = [
    sources.load(where, split, skip_broken=True, lazy=lazy)
    for split in ("train", "test")
  ]
  everything = np.concatenate([np.asarray(each.images) for each in found])
  labels = np.concatenate([each.labels["2"] for each in found])
  assert len(everything) == 12 and labels.tolist().count(0) == 6
  assert everything.any((1, 2, 3)).all()
  assert found[0].notes[0].startswith("left out, as skip_broken says: ")
  assert "files: " in found[0].notes[0]
  for each in ("a", "b"):
    for path in (tmp_path / each).iterdir():
      path.unlink()
      path.write_bytes(b"") if path.suffix == ".png" else None
  with pytest.raises(UserError, match="no image is left"):
    sources.load(where, "train", skip_broken=True)


def settings(dataset, **changes):
  import tiny

  return tiny.config(
    method="single",
    dataset=dataset,
    batch_size=2,
    labels_per_class=0,
    **changes,
  )


def test_what_a_run_says_of_its_data(tmp_path):
  classes(tmp_path / "train", (5, 4, 3))
  classes(tmp_path / "test", (2, 1))
  classes(tmp_path / "test", (0, 0, 0))
  problem = data.build(settings(f"folder:{tmp_path}"))
  assert problem.notes == (
    "data: colour, uint8 0..255; each class has 3 to 5 training images, and 0 "
    "to 2 test images",
    "warning: no test image of class c; accuracy is of the other 2 alone",
  )


def test_one_class_is_no_task(tmp_path):
  x = np.random.default_rng(0).integers(0, 256, (8, 6, 6), dtype=np.uint8)
  made = {"x_train": x, "x_test": x, "y_train": np.zeros(8, int)}
  np.savez(tmp_path / "a.npz", y_test=np.zeros(8, int), **made)
  with pytest.raises(UserError, match="all 8 training images are of the class"):
    opening.open_run(settings(f"npz:{tmp_path / 'a.npz'}"))
  made["y_train"] = np.arange(8) % 2
  np.savez(tmp_path / "a.npz", y_test=np.zeros(8, int), **made)
  notes = data.build(settings(f"npz:{tmp_path / 'a.npz'}")).notes
  assert "one constant answer would be 100 % right" in notes[-1]


def test_images_of_almost_one_shade(tmp_path):
  x = np.random.default_rng(0).integers(0, 17, (8, 6, 6), dtype=np.uint8)
  y = np.arange(8) % 2
  np.savez(tmp_path / "a.npz", x_train=x, x_test=x, y_train=y, y_test=y)
  where = f"npz:{tmp_path / 'a.npz'}"
  (note,) = data.build(settings(where)).notes[1:]
  assert "pixels lie in 0..16 of 0..255" in note and "pixel_range=0,16" in note
  found = data.build(settings(where, pixel_range=(0.0, 16.0)))
  assert (
    found.pool["image"].max() == 255 and "taken for 0..16" in found.notes[1]
  )


@pytest.mark.parametrize("value", [(1.0,), (3.0, 3.0), (2.0, 1.0)])
def test_a_range_is_two_numbers(value):
  with pytest.raises(UserError, match=r"pixel_range=.* give two numbers"):
    data.build(settings("digits", primary="10", pixel_range=value))
