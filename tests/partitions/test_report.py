"""Sizes of clusters, their agreement with labels and with each other."""

import json

import numpy as np
import pytest

from metaaux.partitions._report import report


def test_report_of_the_worked_example():
  rows = np.array([[0, 0, 1, 2], [0, 0, 1, 1]])
  found = report(rows, np.array([0, 0, 1, 1]), num_classes=4)
  json.dumps(found)
  first, second = found["partitions"]
  assert first["ari"] == pytest.approx(0.571429, abs=1e-6)
  assert first["nmi"] == pytest.approx(0.8)
  assert first["purity"] == 1
  assert first["sizes"] == [2, 1, 1, 0]
  assert (first["min"], first["median"], first["max"]) == (0, 1.0, 2)
  assert first["empty"] == 1 and second["empty"] == 2
  assert second["nmi"] == second["ari"] == second["purity"] == 1
  assert found["between"]["nmi"] == pytest.approx(0.8)
  assert found["between"]["ari"] == pytest.approx(0.571429, abs=1e-6)


def test_report_is_the_same_after_relabelling_and_looks_only_at_positions():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 4, 400)
  row = np.where(rng.random(400) < 0.7, labels, rng.integers(0, 4, 400))
  positions = np.arange(200)
  hidden = np.where(np.arange(400) < 200, labels, -1)
  (one,) = report(row[None, :], hidden, positions)["partitions"]
  other = np.array([3, 1, 0, 2])[row][None, :]
  (two,) = report(other, hidden, positions)["partitions"]
  for name in ("nmi", "ari", "purity", "nmi_permuted"):
    assert one[name] == pytest.approx(two[name])
  assert sum(one["sizes"]) == 400
  assert one["nmi_permuted"] < 0.1 < one["nmi"]


def test_report_without_labels_or_a_second_partition():
  found = report(np.array([[0, 1, 1]]), inertia_T=np.array([2.5]))
  assert found["between"] is None
  assert found["partitions"][0] == {
    "sizes": [1, 2],
    "min": 1,
    "median": 1.5,
    "max": 2,
    "empty": 0,
    "inertia": 2.5,
    "inertia_per_image": pytest.approx(2.5 / 3),
  }


def test_report_leaves_out_what_takes_no_part():
  rows = np.array([[-1, 0, 0, 1, 2, -1], [-1, 0, 0, 1, 1, -1]])
  labels = np.array([7, 0, 0, 1, 1, 7])
  everything, first = report(rows, labels), report(rows[:, 1:5], labels[1:5])
  assert everything == first
  some = report(rows, labels, np.array([3, 1, 0]))["partitions"][0]
  assert (some["nmi"], some["sizes"]) == (1, [2, 1, 1])
