"""Split strings mean what they mean to TFDS."""

import pytest
from tensorflow_datasets.core import splits as tfds_splits

from metaaux.data.sources import split_names
from metaaux.errors import UserError


@pytest.mark.parametrize(
  "text",
  [
    "train",
    "train[:90%]",
    "train[90%:]",
    "train[33.3%:66.6%]",
    "train[100:200]",
    "train[:-10%]",
    "train[-10%:]",
    "train[-5:]",
    "train[2:]",
    "train[:10%]+train[50%:]",
    "train[5:9]+train",
  ],
)
@pytest.mark.parametrize("num_examples", [203, 1000])
def test_bounds_are_those_of_tfds(text, num_examples):
  info = tfds_splits.SplitInfo(
    name="train", shard_lengths=[num_examples], num_bytes=0
  )
  instruction = tfds_splits.ReadInstruction.from_spec(text)
  expected = [
    (theirs.from_ or 0, theirs.to or num_examples)
    for theirs in instruction.to_absolute({"train": info})
  ]
  ours = [part.bounds(num_examples) for part in split_names.parse(text)]
  assert ours == expected


def test_halves_meet_without_gap_or_overlap():
  for num_examples in range(10, 60):
    (first,) = split_names.parse("train[:35%]")
    (second,) = split_names.parse("train[35%:]")
    first, second = first.bounds(num_examples), second.bounds(num_examples)
    assert (first[0], first[1], second[1]) == (0, second[0], num_examples)


def test_sums_and_slices_within_each_class():
  text = "train[:50%/class]+test[-3:/class]+small"
  assert split_names.parse(text) == (
    split_names.Slice("train", "", "50%", per_class=True),
    split_names.Slice("test", "-3", "", per_class=True),
    split_names.Slice("small"),
  )
  assert "+".join(map(str, split_names.parse(text))) == text


@pytest.mark.parametrize(
  "text",
  [
    "",
    "a b",
    "train+",
    "+test",
    "train[:]+test",
    "train[:/class]",
    "train[:5/CLASS]",
    "train/class",
    "train[",
    "train[:]",
    "train[5]",
    "train[a:b]",
    "train[1.5:3]",
    "train[:50%]x",
    "train[1shard:2shard]",
    "train[::2]",
  ],
)
def test_other_forms_are_refused(text):
  with pytest.raises(UserError, match="is not understood"):
    split_names.parse(text)


def test_one_unit():
  with pytest.raises(UserError, match="mixes percents and examples"):
    split_names.parse("train[10%:500]")


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("train[:101]", r"train\[:101\]' reaches outside the 100 examples"),
    ("train[:150%]", "reaches outside"),
    ("train[-101:]", "reaches outside"),
    ("train[50:50]", "is empty"),
    ("train[60:40]", "is empty"),
    ("train[:0.1%]", "is empty"),
  ],
)
def test_bounds_that_leave_nothing(text, message):
  with pytest.raises(UserError, match=message):
    split_names.parse(text)[0].bounds(100)


def test_unknown_split_lists_the_known():
  with pytest.raises(UserError, match="no split 'valid'; its splits: a, b"):
    split_names.check_name(split_names.Slice("valid"), ["b", "a"], "here")
