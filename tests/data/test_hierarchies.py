"""The hierarchy of CIFAR-100, and hierarchies from labels."""

import numpy as np
import pytest
import tiny_tfds

from metaaux.config import cifar100
from metaaux.data import hierarchies
from metaaux.errors import UserError


def _cifar100():
  """Labels of one example a fine class, by level."""
  twenty = np.array(tiny_tfds.FINE_TO_COARSE)
  ten = np.array(cifar100.FROM_20_TO_10)[twenty]
  three = np.array(cifar100.FROM_10_TO_3)[ten]
  return {"100": np.arange(100), "20": twenty, "10": ten, "3": three}


@pytest.mark.parametrize(
  ("primary", "aux", "psi"),
  [
    ("3", "10", (5, 1, 4)),
    ("3", "20", (10, 3, 7)),
    ("3", "100", (50, 15, 35)),
    ("10", "20", (3, 2, 2, 2, 1, 3, 3, 1, 1, 2)),
    ("10", "100", (15, 10, 10, 10, 5, 15, 15, 5, 5, 10)),
    ("20", "100", (5,) * 20),
  ],
)
def test_psi_of_cifar100(primary, aux, psi):
  labels = _cifar100()
  parents = hierarchies.parents(labels[aux], labels[primary])
  assert hierarchies.psi(parents, int(primary)) == psi


def test_tables_name_every_class():
  assert sorted(set(cifar100.FROM_20_TO_10)) == list(range(10))
  assert len(cifar100.NAMES_OF_10) == 10
  assert sorted(set(cifar100.FROM_10_TO_3)) == list(range(3))
  assert len(cifar100.NAMES_OF_3) == 3


def test_columns_stand_in_blocks():
  columns = hierarchies.block_columns((1, 0, 1, 2, 0))
  np.testing.assert_array_equal(columns, [2, 0, 3, 4, 1])
  assert columns.dtype == np.int32


def test_columns_of_cifar100():
  """Every human sub-class lies in the block of its primary class."""
  labels = _cifar100()
  columns = hierarchies.block_columns(labels["20"])
  np.testing.assert_array_equal(np.sort(columns), np.arange(100))
  np.testing.assert_array_equal(columns // 5, labels["20"])
  # Within a block the order is that of the own ids.
  for c in range(20):
    block = columns[labels["20"] == c]
    np.testing.assert_array_equal(block, np.sort(block))


def test_two_parents():
  child, parent = np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1])
  with pytest.raises(UserError, match=r"class 1 \('b'\) .* classes 0, 1; each"):
    hierarchies.parents(child, parent, names=("a", "b", "c"))


def test_class_without_examples():
  child, parent = np.array([0, 2]), np.array([0, 1])
  with pytest.raises(UserError, match=r"class 1 .* has no example"):
    hierarchies.parents(child, parent)
  with pytest.raises(UserError, match=r"class 3 \('d'\) .* has no example"):
    hierarchies.parents(np.arange(3), np.zeros(3, int), names=tuple("abcd"))
