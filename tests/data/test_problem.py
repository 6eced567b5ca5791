"""From a configuration to the arrays and splits of a run."""

import json
import types

import numpy as np
import pytest
import tiny_tfds

from metaaux import data
from metaaux.data import problem as problem_lib
from metaaux.errors import UserError


def _config(**changes):
  made = {
    "dataset": "digits",
    "hierarchy": "",
    "select": "",
    "train_split": "train",
    "test_split": "test",
    "primary": "10",
    "aux": "",
    "target_domain": "",
    "task_classes": (),
    "within": "",
    "shrink": 1,
    "image_side": 0,
    "pixels": types.SimpleNamespace(mean=(0.5,), std=(0.25,)),
    "attributes": (),
    "label_fraction": 0.0,
    "psi": (),
    "labels_per_class": 0,
    "meta_fraction": 0.1,
    "seed": 0,
    "num_seeds": 1,
    "batch_size": 20,
  }
  assert made.keys() >= changes.keys()
  return types.SimpleNamespace(**(made | changes))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp("tfds")
  tiny_tfds.write(path, "cifar100", num_train=200, num_test=100)
  tiny_tfds.write(path, "cifar10", num_train=40, num_test=20)
  tiny_tfds.write(path, "cifar10_1/v6", num_train=0, num_test=30)
  tiny_tfds.write(path, "mnist", num_train=40, num_test=20)
  return path


def _save(path, num_classes=3, num=60, shape=(8, 8, 1), **changes):
  labels = np.arange(num) % num_classes
  images = np.zeros((num, *shape), np.uint8)
  made = dict.fromkeys(("x_train", "x_test"), images)
  made |= dict.fromkeys(("y_train", "y_test"), labels)
  np.savez(path, **(made | changes))
  return f"npz:{path}"


def test_shapes_and_kinds():
  made = data.build(_config(num_seeds=3))
  for part, size in ((made.pool, 1000), (made.test, 797)):
    assert part["image"].shape == (size, 8, 8, 1)
    assert part["image"].dtype == np.uint8
    assert part["primary"].shape == part["auxiliary"].shape == (size,)
    assert part["primary"].dtype == part["auxiliary"].dtype == np.int32
  assert made.train.shape == (3, 900)
  assert made.meta.shape == (3, 100)
  every = made.splits["all"]
  assert every.shape == (3, 1000)
  assert made.train.dtype == made.meta.dtype == every.dtype == np.int32
  assert (every == np.arange(1000)).all()
  assert made.primary_names == tuple("0123456789")


def test_seeds_stand_for_themselves():
  """Row i of a run of several seeds is the run of seed + i alone."""
  several = data.build(_config(seed=5, num_seeds=3, labels_per_class=40))
  alone = data.build(_config(seed=7, num_seeds=1, labels_per_class=40))
  np.testing.assert_array_equal(several.train[2], alone.train[0])
  np.testing.assert_array_equal(several.meta[2], alone.meta[0])
  assert not np.array_equal(several.train[0], several.train[1])


def test_few_labels():
  made = data.build(_config(labels_per_class=30))
  kept = np.union1d(made.train[0], made.meta[0])
  counts = np.bincount(made.pool["primary"][kept])
  np.testing.assert_array_equal(counts, [30] * 10)
  # The rest stays in the pool, for methods that use images without labels.
  assert made.spec.num_examples == 1000


def test_without_a_meta_split():
  made = data.build(_config(meta_fraction=0.0))
  np.testing.assert_array_equal(made.train, made.meta)
  np.testing.assert_array_equal(made.train[0], np.arange(1000))


@pytest.mark.parametrize(
  ("changes", "levels", "psi", "has_auxiliary"),
  [
    # The only level that is left to divide: free.
    ({"primary": "10"}, ("10", ""), (5,) * 10, False),
    ({"primary": "10", "psi": 3}, ("10", ""), (3,) * 10, False),
    ({"primary": "10", "psi": (3,)}, ("10", ""), (3,) * 10, False),
    ({"primary": "10", "psi": range(1, 11)}, ("10", ""), range(1, 11), False),
    # Inferred: the coarsest level, and the finest one below it.
    ({"primary": ""}, ("2", "10"), (5, 5), True),
    ({"primary": "2"}, ("2", "10"), (5, 5), True),
    ({"primary": "", "aux": "10"}, ("2", "10"), (5, 5), True),
    # psi agrees with the human labels, or contradicts them.
    ({"primary": "2", "aux": "10", "psi": 5}, ("2", "10"), (5, 5), True),
    ({"primary": "2", "aux": "10", "psi": (4, 6)}, ("2", "10"), (4, 6), False),
    # psi alone: free, and its length tells the level.
    ({"primary": "2", "psi": 5}, ("2", ""), (5, 5), False),
    ({"primary": "", "psi": (3, 4)}, ("2", ""), (3, 4), False),
    ({"primary": "", "psi": (2,) * 10}, ("10", ""), (2,) * 10, False),
  ],
)
def test_levels_and_psi(changes, levels, psi, has_auxiliary):
  made = data.build(_config(**changes))
  assert made.levels == levels
  assert made.spec.psi == tuple(psi)
  assert made.spec.has_auxiliary == has_auxiliary
  assert bool(made.auxiliary_names) == has_auxiliary
  assert (made.pool["auxiliary"] >= 0).all() == has_auxiliary
  if not has_auxiliary:
    assert (made.test["auxiliary"] == -1).all()


def test_human_labels_stand_in_blocks():
  made = data.build(_config(primary="2", aux="10"))
  assert made.auxiliary_names == tuple("0246813579")
  for part in (made.pool, made.test):
    np.testing.assert_array_equal(part["auxiliary"] // 5, part["primary"])


@pytest.mark.parametrize(
  ("primary", "aux", "psi"),
  [
    ("3", "10", (5, 1, 4)),
    ("10", "20", (3, 2, 2, 2, 1, 3, 3, 1, 1, 2)),
    ("20", "100", (5,) * 20),
    ("", "", (50, 15, 35)),
  ],
)
def test_cifar100(monkeypatch, data_dir, primary, aux, psi):
  tiny_tfds.use(monkeypatch, data_dir)
  config = _config(
    dataset="tfds:cifar100",
    train_split="train[:80%]",
    primary=primary,
    aux=aux,
    batch_size=8,
  )
  made = data.build(config)
  assert made.spec.psi == psi
  assert made.spec.has_auxiliary
  assert made.spec.image_shape == (32, 32, 3)
  edges = np.cumsum(psi)
  for part in (made.pool, made.test):
    block = np.searchsorted(edges, part["auxiliary"], side="right")
    np.testing.assert_array_equal(block, part["primary"])


def test_hierarchy_file(tmp_path):
  thirds = [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
  level = {"names": ["low", "mid", "high"], "of": "10", "parent": thirds}
  path = tmp_path / "thirds.json"
  path.write_text(json.dumps({"levels": {"thirds": level}}))
  config = _config(hierarchy=str(path), primary="thirds")
  made = data.build(config)
  assert made.levels == ("thirds", "10")
  assert made.spec.psi == (3, 4, 3)
  assert made.primary_names == ("low", "mid", "high")
  again = data.load_test(config, "digits", "test", made)
  np.testing.assert_array_equal(again["primary"], made.test["primary"])


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"primary": "11"}, "primary='11' is not a level of digits; its levels: "),
    ({"aux": "fine"}, "aux='fine' is not a level of digits; its levels: '10'"),
    ({"aux": "2"}, r"aux='2' \(2 classes\) is not finer than primary='10'"),
    ({"aux": "10"}, "is not finer"),
    ({"psi": (2, 3)}, "psi has 2 entries, but primary='10' has 10 classes"),
    ({"psi": 0}, "psi=0: 0 auxiliary classes"),
    ({"psi": (1,) * 9 + (-1,)}, "-1 auxiliary classes"),
    ({"primary": "", "psi": 4}, "set primary to one of '10', '2'"),
    ({"batch_size": 101}, "batch_size=101, but the meta split has 100 examp"),
    ({"batch_size": 901}, "batch_size=901, but the train split has 900 exa"),
    ({"batch_size": 0}, "batch_size=0"),
    ({"num_seeds": 0}, "num_seeds=0"),
    ({"labels_per_class": 100}, r"primary class \d \('\d'\) has 9\d examples"),
    ({"train_split": "train[:0]"}, "is empty"),
    ({"test_split": "dev"}, "no split 'dev'"),
    ({"select": "10=3"}, "leaves one class at every level of digits, split"),
    (
      {"train_split": "train[:5]", "test_split": "test[:5]", "primary": "2"},
      "has no example, so its coarser class is unknown",
    ),
  ],
)
def test_mistakes(changes, message):
  with pytest.raises(UserError, match=message) as caught:
    data.build(_config(**changes))
  assert "\n" not in str(caught.value)


def test_aux_that_crosses_primary_classes(tmp_path):
  cross = {
    "y_train_six": np.arange(60) % 4,
    "y_test_six": np.arange(60) % 4,
  }
  source = _save(tmp_path / "data.npz", **cross)
  pattern = "class 0 .* of the finer level has examples of the coarser classes"
  with pytest.raises(UserError, match=pattern):
    data.build(_config(dataset=source, primary="3", aux="six", batch_size=2))


def test_primary_class_without_children(tmp_path):
  labels = np.arange(60) % 2
  source = _save(
    tmp_path / "data.npz",
    y_train=labels,
    y_test=labels,
    y_train_top=labels * 2,
    y_test_top=labels * 2,
    y_train_leaf=np.arange(60) % 4,
    y_test_leaf=np.arange(60) % 4,
  )
  config = _config(dataset=source, primary="top", aux="leaf", batch_size=2)
  with pytest.raises(
    UserError, match=r"primary class '1' has no class of aux="
  ):
    data.build(config)


def test_shapes_of_the_splits_differ(tmp_path):
  source = _save(tmp_path / "data.npz", x_test=np.zeros((60, 8, 9), np.uint8))
  with pytest.raises(UserError, match=r"\(8, 8, 1\), test images \(8, 9, 1\)"):
    data.build(_config(dataset=source, primary="", batch_size=2))


def test_load_test_of_the_same_source():
  config = _config(primary="2")
  made = data.build(config)
  for problem in (made, None):
    again = data.load_test(config, "digits", "test", problem)
    for key, expected in made.test.items():
      np.testing.assert_array_equal(again[key], expected)
  train = data.load_test(config, "digits", "train[:50]", made)
  np.testing.assert_array_equal(train["auxiliary"], made.pool["auxiliary"][:50])


def test_load_test_without_human_labels():
  found = data.load_test(_config(), "digits", "test[:9]")
  np.testing.assert_array_equal(found["auxiliary"], [-1] * 9)


def test_cifar10_1(monkeypatch, data_dir):
  tiny_tfds.use(monkeypatch, data_dir)
  config = _config(
    dataset="tfds:cifar10", primary="", psi=2, meta_fraction=0.5, batch_size=4
  )
  made = data.build(config)
  assert made.spec.psi == (2,) * 10
  found = data.load_test(config, "tfds:cifar10_1/v6", "test", made)
  assert found["image"].shape == (30, 32, 32, 3)
  np.testing.assert_array_equal(np.bincount(found["primary"]), [3] * 10)
  assert (found["auxiliary"] == -1).all()
  with pytest.raises(
    UserError, match=r"\(28, 28, 1\), tfds:cifar10 of \(32, 3"
  ):
    data.load_test(config, "tfds:mnist", "test", made)


def test_load_test_of_other_classes(tmp_path):
  config = _config()
  made = data.build(config)
  three = _save(tmp_path / "three.npz")
  with pytest.raises(UserError, match=r"no level '10', .* its levels: 3"):
    data.load_test(config, three, "test", made)
  labels = np.arange(60) % 4
  four = _save(
    tmp_path / "four.npz", y_train_10=labels, y_test_10=labels, num_classes=5
  )
  with pytest.raises(
    UserError, match="has 4 classes at level '10', digits has"
  ):
    data.load_test(config, four, "test", made)


def test_package_offers_what_the_modules_hold():
  assert data.build is problem_lib.build
  assert data.Problem is problem_lib.Problem
