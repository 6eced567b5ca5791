"""One class of a level, slices within each class, and sums of splits."""

import numpy as np
import pytest

from metaaux.data import sources
from metaaux.data.sources import selection, split_names
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError

FINE = np.random.default_rng(0).permutation(np.repeat(range(6), 20))


def _source(fine=FINE, names=tuple("abcdef")):
  """Images hold their own position; classes 0..2 are low, 3..5 high."""
  return source_lib.Source(
    images=np.arange(len(fine)),
    labels={"half": fine // 3, "fine": fine},
    names={"half": ("low", "high"), "fine": names},
  )


def _cut(source, text):
  (part,) = split_names.parse(f"train{text}")
  return selection.cut(source, part)


def test_parts_of_each_class_are_a_division():
  parts = [
    _cut(_source(), text)
    for text in ("[:50%/class]", "[50%:70%/class]", "[70%:/class]")
  ]
  for part, count in zip(parts, (10, 4, 6), strict=True):
    np.testing.assert_array_equal(np.bincount(part.labels["fine"]), [count] * 6)
    np.testing.assert_array_equal(part.labels["fine"], FINE[part.images])
    np.testing.assert_array_equal(part.images, np.sort(part.images))
  everything = np.concatenate([part.images for part in parts])
  np.testing.assert_array_equal(np.sort(everything), np.arange(120))


def test_counts_in_each_class():
  part = _cut(_source(), "[-3:/class]")
  np.testing.assert_array_equal(np.bincount(part.labels["fine"]), [3] * 6)
  again = _cut(_source(), "[17:/class]")
  np.testing.assert_array_equal(part.images, again.images)


def test_a_class_is_divided_alike_in_every_company():
  """Selected alone, or beside the other classes."""
  both = _cut(_source(), "[:50%/class]")
  high = selection.only(_source(), "half", 1)
  alone = selection.renumbered(
    _cut(high, "[:50%/class]"), {"fine": range(3, 6)}
  )
  in_both = both.images[both.labels["half"] == 1]
  np.testing.assert_array_equal(alone.images, in_both)


def test_classes_are_divided_by_lots_of_their_own():
  part = _cut(_source(np.repeat(range(6), 20)), "[:50%/class]")
  within = {tuple(part.images[10 * c : 10 * c + 10] - 20 * c) for c in range(6)}
  assert len(within) == 6


def test_renumbered_drops_what_does_not_occur():
  high = selection.only(_source(), "half", 1)
  kept = selection.occurring([high])
  found = selection.renumbered(high, kept)
  assert found.names == {"fine": ("d", "e", "f")}
  np.testing.assert_array_equal(found.labels["fine"], FINE[FINE >= 3] - 3)
  assert found.labels["fine"].dtype == np.int32


def test_sum_of_splits_of_digits():
  parts = [sources.load("digits", s) for s in ("train[:100]", "test[-50:]")]
  both = sources.load("digits", "train[:100]+test[-50:]")
  for key in ("10", "2"):
    np.testing.assert_array_equal(
      both.labels[key], np.concatenate([p.labels[key] for p in parts])
    )
  np.testing.assert_array_equal(
    both.images, np.concatenate([p.images for p in parts])
  )


def test_few_of_each_class_of_digits():
  found = sources.load("digits", "train[:7/class]+test[:2/class]")
  np.testing.assert_array_equal(np.bincount(found.labels["10"]), [9] * 10)


def test_slices_count_what_is_selected():
  odd = sources.load("digits", "train", select="2=odd")
  assert odd.names == {"10": tuple("13579")}
  part = sources.load("digits", "train[10:30]", select="2=odd")
  np.testing.assert_array_equal(part.images, odd.images[10:30])
  np.testing.assert_array_equal(part.labels["10"], odd.labels["10"][10:30])
  # A part too small for every class has the names of all.
  few = sources.load("digits", "train[:2]", select="2=odd")
  assert few.names == odd.names


def test_joined_splits_of_two_shapes(tmp_path):
  path = tmp_path / "data.npz"
  ids = np.arange(6) % 3
  made = {"y_train": ids, "y_test": ids}
  for key, side in (("x_train", 4), ("x_test", 5)):
    made[key] = np.zeros((6, side, 4, 1), np.uint8)
  np.savez(path, **made)
  with pytest.raises(UserError, match=r"shape \(4, 4, 1\) and \(5, 4, 1\)"):
    sources.load(f"npz:{path}", "train+test")


@pytest.mark.parametrize(
  ("split", "select", "message"),
  [
    ("train[:200/class]", "", r"\[:200/class\]' reaches outside the 9\d ex"),
    ("train[:0.1%/class]", "", "is empty"),
    ("train+dev", "", "no split 'dev'"),
    ("train", "odd", "select='odd' is not understood; write LEVEL=CLASS"),
    ("train", "2=", "is not understood"),
    (
      "train",
      "3=odd",
      "digits, split 'train' has no level '3'; its levels: 10",
    ),
    ("train", "2=Od", "no class 'Od'; did you mean 'odd'"),
    ("train", "10=x", r"no class 'x'; its classes: 0, 1, .*, 9$"),
    ("train", "10=3", "leaves one class at every level"),
  ],
)
def test_mistakes(split, select, message):
  with pytest.raises(UserError, match=message) as caught:
    sources.load("digits", split, select=select)
  assert "\n" not in str(caught.value)
