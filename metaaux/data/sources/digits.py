"""The embedded data set: 1,797 handwritten digits of 8x8 pixels."""

import numpy as np

from metaaux.data import splits
from metaaux.data.sources import source as source_lib
from metaaux.data.sources import split_names

# Class names by level: the digit, and its parity.
NAMES = {"10": tuple("0123456789"), "2": ("even", "odd")}
_NUM_TEST = 797
_SHUFFLE_SEED = 0


def load(where: str, part: split_names.Slice) -> source_lib.Source:
  """Loads `digits` from scikit-learn, which carries it; needs no network.

  The division into 1,000 training and 797 test images is ours: stratified,
  shuffled with a fixed seed. Levels: "10", the digit, and "2", its parity
  (even 0, odd 1).

  Args:
    where: nothing; the source string is just `digits`.
    part: the split, `train` or `test`, or a part of it.
  """
  del where
  from sklearn import datasets

  split_names.check_name(part, ("train", "test"), "digits")
  raw = datasets.load_digits()
  rng = np.random.default_rng(_SHUFFLE_SEED)
  test = splits.stratified(raw.target, _NUM_TEST, rng)
  train = np.setdiff1d(np.arange(len(raw.target)), test)
  order = {"train": rng.permutation(train), "test": rng.permutation(test)}
  chosen = order[part.name]
  digit = raw.target[chosen]
  whole = source_lib.Source(
    # The grey values are 0..16.
    images=np.rint(raw.images[chosen] * (255 / 16)).astype(np.uint8)[..., None],
    labels={"10": digit, "2": digit % 2},
    names=dict(NAMES),
  )
  return source_lib.cut(whole, part)
