"""Examples without a label: what is read, who learns from them, who may not."""

import numpy as np
import pytest

from experiments import clusters
from metaaux import config as config_lib
from metaaux import data, evaluate, train
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError

RNG = np.random.default_rng(0)


def rows(count, shape=(6,)):
  return RNG.normal(size=(count, *shape)).astype(np.float32)


def images(count):
  return RNG.integers(0, 256, (count, 4, 4, 1)).astype(np.uint8)


def write(tmp_path, **arrays):
  path = tmp_path / "some.npz"
  made = {
    "x_train": rows(40),
    "y_train": np.arange(40) % 2,
    "x_test": rows(20),
    "y_test": np.arange(20) % 2,
  }
  made.update(arrays)
  np.savez(path, **{k: v for k, v in made.items() if v is not None})
  return path


def config(path, **changes):
  found = config_lib.base()
  found.update(
    dataset=f"npz:{path}", primary="2", psi=(1,), batch_size=4, method="joint"
  )
  found.model.update(name="mlp", widths=(8,))
  found.embedding.name = "pixels"
  found.partition.num_classes = 3
  found.update_from_flattened_dict(changes)
  return found


@pytest.mark.parametrize("make", [rows, images])
def test_further_rows_are_in_the_pool_and_have_no_label(tmp_path, make):
  train_x, more = make(40), make(30)
  path = write(tmp_path, x_train=train_x, x_test=make(20), x_unlabelled=more)
  problem = data.build(config(path, labels_per_class=5, num_seeds=2))
  pool = problem.pool
  np.testing.assert_array_equal(pool["image"][:40], train_x)
  np.testing.assert_array_equal(pool["image"][40:], more)
  assert (pool["primary"][40:] == -1).all()
  assert (pool["auxiliary"][40:] == -1).all()
  assert problem.spec.num_examples == 70
  assert problem.splits["all"].shape == (2, 70)
  rest = problem.positions("unlabelled")
  assert rest.shape == (2, 60) and set(range(40, 70)) <= set(rest[0])
  assert problem.train.shape == (2, 10) and problem.train.max() < 40
  assert "30 further" in problem.notes[0]


def test_rows_of_label_minus_one_are_such_rows(tmp_path):
  labels = np.arange(40) % 2
  labels[[3, 8, 20]] = -1
  tested = np.arange(20) % 2
  tested[0] = -1
  whole = rows(40)
  path = write(tmp_path, x_train=whole, y_train=labels, y_test=tested)
  problem = data.build(config(path))
  known = labels >= 0
  np.testing.assert_array_equal(problem.pool["image"][:37], whole[known])
  np.testing.assert_array_equal(problem.pool["image"][37:], whole[~known])
  np.testing.assert_array_equal(problem.pool["primary"][:37], labels[known])
  assert len(problem.test["primary"]) == 19
  assert "3 further rows have no label" in problem.notes[0]
  assert "1 test rows without a label are left out" in problem.notes[0]


def test_both_kinds_and_an_archive_that_is_not_divided(tmp_path):
  labels = np.arange(40) % 2
  labels[::4] = -1
  path = write(
    tmp_path,
    **dict.fromkeys(("x_train", "y_train", "x_test", "y_test")),
    x=rows(40),
    y=labels,
    x_unlabelled=rows(7),
  )
  wanted = {
    "train_split": "all[:50%/class]",
    "test_split": "all[50%:/class]",
    "primary": "",
  }
  problem = data.build(config(path, **wanted))
  assert len(problem.pool["primary"]) == 15 + 10 + 7
  assert len(problem.test["primary"]) == 15


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    ({"y_train": np.full(40, -1)}, r"no example has a label \(all are -1\)"),
    ({"x_unlabelled": rows(5, (7,))}, r"shape \(7,\), those with one \(6,\)"),
    (
      {"x_unlabelled": np.full((5, 6), np.nan)},
      "without labels: row 0 has nan",
    ),
    ({"y_train": np.arange(40) % 2 - 2}, r"label -2 is outside 0\.\.1"),
  ],
)
def test_what_cannot_be_read(tmp_path, arrays, message):
  with pytest.raises(UserError, match=message):
    data.build(config(write(tmp_path, **arrays)))


def test_pixels_without_a_label_are_of_the_same_range():
  """0 and 1 alone are black and white only if the others say so, too."""
  found = source_lib.check(
    source_lib.Source(
      images(8),
      {"2": np.arange(8) % 2},
      {"2": ("a", "b")},
      unlabelled=images(3),
    ),
    "here",
  )
  assert found.unlabelled.dtype == np.uint8
  floats = RNG.random((3, 4, 4, 1), np.float32)
  with pytest.raises(UserError, match="are float32, those with one uint8"):
    source_lib.check(
      source_lib.Source(
        images(8),
        {"2": np.arange(8) % 2},
        {"2": ("a", "b")},
        unlabelled=floats,
      ),
      "here",
    )


def test_data_divided_by_labels_need_them(tmp_path):
  path = write(tmp_path, x_unlabelled=rows(5))
  wanted = config(path, task_classes=("0", "1"), method="single")
  with pytest.raises(UserError, match="5 examples have no label, and task_cl"):
    data.build(wanted)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A finished run whose clusters are of all rows."""
  folder = tmp_path_factory.mktemp("run")
  path = write(folder, x_unlabelled=rows(30))
  small = {"num_steps": 4, "eval_every": 4, "checkpoint_every": 4}
  result = train.train_and_evaluate(config(path, **small), str(folder / "run"))
  assert np.isfinite(result["mean"])
  return folder / "run"


def test_clusters_are_of_all_rows(run, capsys):
  pytest.importorskip("matplotlib")
  (path,) = (run / "cache").glob("partitions-seed0-*.npz")
  with np.load(path) as stored:
    assert stored["partitions"].shape == (4, 70)
  assert clusters.main([f"--workdir={run}"]) == 0
  capsys.readouterr()


def test_accuracy_of_rows_without_a_label_is_refused(run, capsys):
  assert evaluate.main([f"--workdir={run}", "--split=unlabelled"]) == 2
  assert "has examples without a label" in capsys.readouterr().err
  assert evaluate.main([f"--workdir={run}", "--split=train"]) == 0


def test_rows_without_a_label_are_taken_once(tmp_path):
  """However many slices of their split are named, of one class or all."""
  labels = np.arange(40) % 4
  path = write(
    tmp_path,
    y_train=labels,
    y_test=np.arange(20) % 4,
    y_train_half=labels // 2,
    y_test_half=np.arange(20) % 4 // 2,
    x_unlabelled=rows(30),
  )
  for select, split, labelled in (
    ("", "train[:10]+train[30:]", 20),
    ("half=0", "train[:5/class]+train[5:6/class]", 12),
  ):
    changes = {"primary": "4", "select": select, "train_split": split}
    found = data.build(config(path, **changes)).pool["primary"]
    assert (found >= 0).sum() == labelled
    assert (found < 0).sum() == 30


def test_images_without_a_label_are_made_smaller_too(tmp_path):
  more = images(6)
  path = write(
    tmp_path, x_train=images(40), x_test=images(20), x_unlabelled=more
  )
  pool = data.build(config(path, shrink=2)).pool["image"]
  assert pool.shape == (46, 2, 2, 1)
  wanted = np.rint(more.reshape(6, 2, 2, 2, 2, 1).mean((2, 4)))
  np.testing.assert_array_equal(pool[40:], wanted)
