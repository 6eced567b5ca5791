"""Stratified draws."""

import numpy as np
import pytest

from metaaux.data import splits
from metaaux.errors import UserError

# 3 primary classes of 5, 1 and 4 finest ones, of unequal sizes, mixed up.
_SIZES = (40, 31, 22, 13, 4, 50, 33, 33, 33, 10)
_PARENT = np.array([0, 0, 0, 0, 0, 1, 2, 2, 2, 2])
FINEST = np.random.default_rng(7).permutation(np.repeat(range(10), _SIZES))
PRIMARY = _PARENT[FINEST]


def _split(labels_per_class=0, meta_fraction=0.1, seed=0, **changes):
  return splits.train_meta(
    FINEST,
    PRIMARY,
    labels_per_class=labels_per_class,
    meta_fraction=meta_fraction,
    seed=seed,
    **changes,
  )


def _counts(labels, positions):
  return np.bincount(labels[positions], minlength=labels.max() + 1)


def test_everything():
  train, meta = _split(meta_fraction=0.0)
  np.testing.assert_array_equal(train, np.arange(len(FINEST)))
  np.testing.assert_array_equal(meta, train)


@pytest.mark.parametrize("labels_per_class", [0, 17])
@pytest.mark.parametrize("meta_fraction", [0.1, 0.25, 0.5])
def test_sorted_disjoint_and_of_one_size(labels_per_class, meta_fraction):
  num_kept = 3 * labels_per_class or len(FINEST)
  for seed in range(20):
    train, meta = _split(labels_per_class, meta_fraction, seed)
    assert train.dtype == meta.dtype == np.int32
    assert len(meta) == int(meta_fraction * num_kept + 0.5)
    assert len(train) == num_kept - len(meta)
    assert len(np.union1d(train, meta)) == num_kept
    for positions in (train, meta):
      np.testing.assert_array_equal(positions, np.sort(positions))


def test_meta_split_is_stratified():
  for seed in range(10):
    _, meta = _split(meta_fraction=0.2, seed=seed)
    for labels in (PRIMARY, FINEST):
      exact = 0.2 * np.bincount(labels)
      # Largest remainders, twice: primary classes, then finest ones in them.
      assert np.abs(_counts(labels, meta) - exact).max() < 1.5


def test_seeds_differ_and_repeat():
  first, again, other = _split(seed=3), _split(seed=3), _split(seed=4)
  np.testing.assert_array_equal(first[1], again[1])
  assert not np.array_equal(first[1], other[1])


def test_few_labels_are_spread_evenly():
  for seed in range(10):
    train, _ = _split(labels_per_class=50, meta_fraction=0.0, seed=seed)
    np.testing.assert_array_equal(_counts(PRIMARY, train), [50, 50, 50])
    counts = _counts(FINEST, train)
    # Class 4 has 4 examples, all taken; the others share 46 of 50.
    assert counts[4] == 4
    assert sorted(counts[:4]) == [11, 11, 12, 12]
    # Class 9 has 10; the others share 40.
    assert counts[9] == 10
    assert sorted(counts[6:9]) == [13, 13, 14]


def test_who_gets_the_rest_is_drawn():
  drawn = {
    tuple(_counts(FINEST, _split(6, 0.0, seed)[0])[:5]) for seed in range(20)
  }
  assert len(drawn) > 2
  assert all(sum(counts) == 6 for counts in drawn)


def test_each_example_is_drawn_alike():
  chosen = np.zeros(len(FINEST))
  for seed in range(400):
    chosen[_split(labels_per_class=20, meta_fraction=0.0, seed=seed)[0]] += 1
  in_class_5 = chosen[FINEST == 5] / 400
  # Binomial with p = 20/50: four standard errors are 0.1.
  assert np.abs(in_class_5 - 0.4).max() < 0.1


def test_a_share_of_all_labels():
  exact = 0.1 * np.bincount(PRIMARY)
  drawn = []
  for seed in range(10):
    train, meta = _split(label_fraction=0.1, meta_fraction=0.0, seed=seed)
    assert len(train) == round(0.1 * len(PRIMARY))
    assert np.abs(_counts(PRIMARY, train) - exact).max() < 1
    np.testing.assert_array_equal(train, meta)
    np.testing.assert_array_equal(train, np.unique(train))
    drawn.append(tuple(train))
  assert len(set(drawn)) == 10
  train, meta = _split(label_fraction=0.1, meta_fraction=0.25)
  both = _split(label_fraction=0.1, meta_fraction=0.0)[0]
  assert len(meta) == round(0.25 * len(both))
  np.testing.assert_array_equal(np.union1d(train, meta), both)


def test_who_wins_a_tie_is_drawn():
  """Four classes of 5; two of them get the odd ones of 6, any two."""
  labels = np.arange(20) % 4
  wins = np.zeros(4)
  for seed in range(60):
    drawn = splits.stratified(labels, 6, np.random.default_rng(seed))
    counts = _counts(labels, drawn)
    assert sorted(counts) == [1, 1, 2, 2]
    wins += counts == 2
  # Binomial with p = 1/2: four standard errors are 15.5.
  assert np.abs(wins - 30).max() < 16


def test_stratified_takes_all_or_nothing():
  rng = np.random.default_rng(0)
  np.testing.assert_array_equal(
    splits.stratified(FINEST, len(FINEST), rng), np.arange(len(FINEST))
  )
  assert len(splits.stratified(FINEST, 0, rng)) == 0


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"labels_per_class": 51},
      "labels_per_class=51, but primary class 1 has 50 examples; lower",
    ),
    (
      {"labels_per_class": 111, "names": ("x", "y", "z")},
      r"primary class 0 \('x'\) has 110 examples",
    ),
    (
      {"labels_per_class": 1, "names": tuple("abcd")},
      r"primary class 3 \('d'\) has 0 examples",
    ),
    ({"labels_per_class": -1}, "labels_per_class=-1"),
    ({"meta_fraction": 1.0}, "meta_fraction=1.0"),
    ({"meta_fraction": -0.1}, "meta_fraction=-0.1"),
    ({"labels_per_class": 1, "meta_fraction": 0.1}, "leaves 0 for the meta"),
    ({"labels_per_class": 1, "meta_fraction": 0.9}, "and 0 for training"),
    ({"seed": -1}, "seed=-1"),
    ({"label_fraction": 1.0}, r"label_fraction=1.0; use a share in \[0, 1\)"),
    (
      {"label_fraction": 0.1, "labels_per_class": 5},
      "labels_per_class=5 and label_fraction=0.1 are two ways .* set one to 0",
    ),
    (
      {"label_fraction": 0.005, "names": ("x", "y", "z")},
      r"label_fraction=0.005 keeps 1 of 269 labels, and none of primary class "
      r"\d \('[xyz]'\)",
    ),
  ],
)
def test_mistakes(changes, message):
  with pytest.raises(UserError, match=message):
    _split(**changes)


def test_images_held_out_besides_the_labelled_ones():
  """The training images are those that train without any held out."""
  for seed in range(5):
    train, meta = _split(17, 0.0, seed, meta_per_class=9)
    np.testing.assert_array_equal(train, _split(17, 0.0, seed)[0])
    np.testing.assert_array_equal(_counts(PRIMARY, meta), [9, 9, 9])
    assert not np.intersect1d(train, meta).size
    np.testing.assert_array_equal(meta, np.sort(meta))
    assert meta.dtype == np.int32
  assert not np.array_equal(meta, _split(17, 0.0, 0, meta_per_class=9)[1])


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"labels_per_class": 40, "meta_per_class": 11, "names": tuple("abc")},
      r"meta_per_class=11, but primary class 1 \('b'\) has 10 examples besides "
      "those of labels_per_class; lower meta_per_class, or 0 for none",
    ),
    ({"meta_per_class": 5}, "labels_per_class=0 takes all"),
    (
      {"labels_per_class": 5, "meta_per_class": 5, "meta_fraction": 0.1},
      "two ways to hold labelled images out; set one to 0",
    ),
  ],
)
def test_mistakes_about_images_held_out(changes, message):
  with pytest.raises(UserError, match=message):
    _split(**{"meta_fraction": 0.0, **changes})
