"""Binary attributes, made from levels."""

import numpy as np
import pytest
import tiny
import tiny_tfds

from metaaux import data
from metaaux.data import attributes as attributes_lib
from metaaux.data import sources
from metaaux.data.sources import decode
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError
from metaaux.run import batches as batches_lib
from metaaux.run import opening

# Two levels share "b"; one has the name of a class of another.
NAMES = {
  "Smiling": ("no", "yes"),
  "kind": ("a", "b", "c"),
  "sort": ("b", "d", "kind"),
}
IDS = {"Smiling": [0, 1, 1, 0], "kind": [0, 1, 2, 1], "sort": [0, 0, 1, 2]}
SOURCE = source_lib.Source(
  np.zeros((4, 2, 2, 1), np.uint8),
  {level: np.array(ids, np.int32) for level, ids in IDS.items()},
  NAMES,
)


def _config(**changes):
  return tiny.config(
    **{
      "method": "single",
      "attributes": ("2", "10"),
      "primary": "2",
      "labels_per_class": 0,
      **changes,
    }
  )


def test_names_are_unique_and_readable():
  config = _config(attributes=("sort", "*", "kind"), primary="Smiling")
  found = attributes_lib.choose(config, NAMES)
  names = ("Smiling", "sort=b", "d", "sort=kind", "a", "kind=b", "c")
  assert tuple(attribute.name for attribute in found) == names
  expected = [
    [0, 1, 0, 0, 1, 0, 0],
    [1, 1, 0, 0, 0, 1, 0],
    [1, 0, 1, 0, 0, 0, 1],
    [0, 0, 0, 1, 0, 1, 0],
  ]
  table = attributes_lib.table(SOURCE, found)
  assert table.dtype == np.int8
  np.testing.assert_array_equal(table, expected)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"attributes": ("kin",)},
      r"attributes='kin' is not a level of digits \(did you mean 'kind'\?\)",
    ),
    (
      {"primary": "smiling"},
      r"primary='smiling' is not among the attributes \(did you mean "
      r"'Smiling'\?\); they are Smiling, a, b, c",
    ),
    ({"primary": ""}, "primary does not say which of them .* one of Smiling"),
  ],
)
def test_mistakes(changes, message):
  made = {"attributes": ("*", "kind"), "primary": "Smiling"} | changes
  with pytest.raises(UserError, match=message):
    attributes_lib.choose(_config(**made), NAMES)


def test_no_level_with_two_classes():
  with pytest.raises(UserError, match=r"attributes='\*', but no level of"):
    attributes_lib.choose(_config(attributes=("*",)), {"x": ("a", "b", "c")})


def test_digits():
  made = data.build(_config(primary="7", label_fraction=0.1))
  assert made.spec.attribute_names == (
    *("2", "0", "1", "10=2", "3", "4", "5", "6", "8", "9"),
  )
  assert made.primary_names == ("no", "yes")
  assert made.spec.num_primary == 2 and not made.spec.has_auxiliary
  source = sources.load("digits", "test")
  digit = source.labels["10"]
  np.testing.assert_array_equal(made.test["primary"], digit == 7)
  others = made.test["attributes"]
  np.testing.assert_array_equal(others[:, 0], digit % 2)
  np.testing.assert_array_equal(
    others[:, 1:], digit[:, None] == np.array([[0, 1, 2, 3, 4, 5, 6, 8, 9]])
  )
  # A tenth of the labels, of both classes alike.
  assert made.train.shape == (1, 100)
  kept = made.pool["primary"][made.train[0]]
  assert abs(kept.sum() - made.pool["primary"].sum() / 10) < 1
  again = data.load_test(_config(primary="7"), "digits", "test", made)
  np.testing.assert_array_equal(again["primary"], made.test["primary"])
  np.testing.assert_array_equal(again["attributes"], others)


def test_a_primary_attribute_alone():
  made = data.build(_config(attributes=("*",)))
  assert made.spec.attribute_names == ()
  assert made.primary_names == ("even", "odd")
  assert "attributes" not in made.pool
  assert not data.constant_attributes(made)


def test_human_labels_only_where_they_are_asked_for():
  assert data.build(_config(aux="10")).levels == ("2", "10")
  assert data.build(_config()).levels == ("2", "")


def test_labels_per_class_of_attributes():
  made = data.build(_config(labels_per_class=50))
  counts = np.bincount(made.pool["primary"][made.train[0]])
  np.testing.assert_array_equal(counts, [50, 50])


def test_source_that_lacks_attributes(tmp_path):
  """Unknown ones are -1; the primary one has to be there."""
  path = tmp_path / "parity.npz"
  source = sources.load("digits", "test")
  archive = {}
  for split in ("train", "test"):
    archive[f"x_{split}"] = source.images
    archive[f"y_{split}"] = source.labels["2"]
  np.savez(path, **archive)
  made = data.build(_config())
  found = data.load_test(_config(), f"npz:{path}", "test", made)
  np.testing.assert_array_equal(found["primary"], source.labels["2"])
  assert (found["attributes"] == -1).all()
  made = data.build(_config(primary="7"))
  with pytest.raises(
    UserError, match=r"attribute '7' is class '7' of level '10"
  ):
    data.load_test(_config(primary="7"), f"npz:{path}", "test", made)


def test_attribute_without_variety(capsys):
  few = {"train_split": "train[:20]", "batch_size": 2}
  missing = sorted(set("0123456789") - set(_first_digits(20)))
  with pytest.raises(UserError, match=f"='{missing[0]}': 0 of the 20 training"):
    data.build(_config(primary=missing[0], **few))
  opening.open_run(_config(**few))
  assert f"attribute '{missing[0]}' is the same" in capsys.readouterr().err


def _first_digits(count):
  labels = sources.load("digits", f"train[:{count}]").labels["10"]
  return [str(label) for label in labels]


def test_batches():
  """Labels of the primary attribute are hidden where all images are drawn."""
  settings = _config(method="arml", setting="semi_supervised")
  _, _, run, stage = tiny.run_steps(settings, 0)
  inputs = batches_lib.inputs_at(run, stage, 0, None).value[0]
  batches = batches_lib.batches_at(run, stage, inputs, run.pool, 0, None)
  for name, batch in batches.items():
    index = np.asarray(batch["index"])
    np.testing.assert_array_equal(
      batch["attributes"], run.problem.pool["attributes"][index]
    )
    primary = run.problem.pool["primary"][index]
    np.testing.assert_array_equal(
      batch["primary"], -1 if name == "pool" else primary
    )
  settings = tiny.config(method="single")
  _, _, run, _ = tiny.run_steps(settings, 0)
  batch = batches_lib.draw(run, run.pool, np.arange(2), None)
  assert "attributes" not in batch


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp("tfds")
  tiny_tfds.write(path, "celeb_a", num_train=60, num_test=30)
  tiny_tfds.write(path, "cifar100", num_train=200, num_test=100)
  return path


def test_celeb_a(monkeypatch, data_dir):
  tiny_tfds.use(monkeypatch, data_dir)
  found = sources.load("tfds:celeb_a", "train")
  assert found.images.shape == (60, 218, 178, 3)
  assert len(found.names) == 40 and found.names["Bald"] == ("no", "yes")
  table = np.stack([found.labels[name] for name in sorted(found.names)], 1)
  rows = {tuple(tiny_tfds.attribute_bits(i, 40)) for i in range(60)}
  assert {tuple(row) for row in table.astype(bool)} == rows
  small = sources.load("tfds:celeb_a", "train[10:30]", side=16)
  assert small.images.dtype == np.uint8
  square = decode.fit_all(found.images[10:30, 20:198], 16)
  np.testing.assert_array_equal(small.images, square)
  one = sources.load("tfds:celeb_a", "train", side=16, select="Bald=yes")
  bald = found.labels["Bald"] == 1
  np.testing.assert_array_equal(
    one.images, decode.fit_all(found.images[bald], 16)
  )


def test_problem_of_celeb_a(monkeypatch, data_dir):
  tiny_tfds.use(monkeypatch, data_dir)
  config = _config(
    dataset="tfds:celeb_a",
    attributes=("*",),
    primary="Smiling",
    image_side=8,
    label_fraction=0.5,
    batch_size=8,
  )
  made = data.build(config)
  assert made.spec.image_shape == (8, 8, 3)
  assert len(made.spec.attribute_names) == 39
  assert "Smiling" not in made.spec.attribute_names
  assert made.pool["attributes"].shape == (60, 39)
  assert made.train.shape == (1, 30)


def test_problem_of_cifar100(monkeypatch, data_dir):
  tiny_tfds.use(monkeypatch, data_dir)
  config = _config(
    dataset="tfds:cifar100",
    attributes=("20", "10", "3"),
    primary="10=vegetations",
    batch_size=8,
  )
  made = data.build(config)
  assert len(made.spec.attribute_names) == 32
  assert made.pool["attributes"].sum(1).tolist() == [
    2 + (1 - present) for present in made.pool["primary"]
  ]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_middle_square_is_averaged(dtype):
  """By the triangle filter of width 2: weights 1 3 3 1 of four pixels."""
  image = np.zeros((4, 8, 1), dtype)
  image[:, 2:6] = 64
  image[:, :2] = 255  # cut off
  np.testing.assert_array_equal(decode.fit(image, 2), np.full((2, 2, 1), 64))
  image[:, 4:6] = 0
  # The left pixel sees columns 64 64 0 of weights 3 3 1 (over 7).
  found = decode.fit(image, 2)[..., 0]
  np.testing.assert_allclose(found[0], [64 * 6 / 7, 64 / 7], atol=0.51)
  assert decode.fit(image, 0) is image
  assert decode.fit_all(image[None], 0)[0].shape == image.shape


def test_side_of_any_source():
  found = sources.load("digits", "test[:5]", side=4)
  assert found.images.shape == (5, 4, 4, 1)
