"""Runs beside each other: by seed, and over all seeds."""

import math

import pytest

from experiments import compare, results
from metaaux import config as config_lib
from metaaux.run import confidence_intervals


def run(method, per_seed, seeds, **meta_split):
  config = config_lib.base()
  config.method = method
  mean, ci95 = confidence_intervals.mean_ci(per_seed)
  return {
    "method": method,
    "name": method,
    "workdir": method,
    "config": config_lib.flatten(config_lib.to_json(config)),
    "per_seed": per_seed,
    "seeds": seeds,
    "mean": mean,
    "ci95": ci95,
    "meta_split": meta_split,
  }


def test_seeds_are_paired_and_not_values():
  """In another order, one run lacks a seed, and ranks differ between both."""
  base = run("single", [0.50, 0.90, 0.70, 0.10], [0, 1, 2, 9])
  other = run("maxl", [0.90, 0.60, 0.80], [2, 0, 1])
  mean, half, pairs = results.difference(other, base)
  # +.1, -.1, +.2 at seeds 0, 1, 2; the mean alone would not tell.
  assert pairs == 3
  assert mean == pytest.approx(0.2 / 3)
  deviation = math.sqrt((0.01 + 0.01 + 0.04 - 0.04 / 3) / 2)
  assert half == pytest.approx(4.30265 * deviation / math.sqrt(3), rel=1e-5)
  back = results.difference(base, other)
  assert back[0] == pytest.approx(-mean)
  assert back[1:] == (pytest.approx(half), 3)


def test_what_is_shown_of_a_run_is_over_all_of_its_seeds():
  base = run("single", [0.5, 0.7, 0.9], [0, 1, 2])
  other = run(
    "maxl",
    [0.6, 0.9, 0.9],
    [0, 1, 2],
    label_usage=[0.2, 0.4, 0.9],
    information_fraction=[0.0, 0.3, 0.3],
  )
  first, second = compare.compare([base, other], "single").rows
  assert first.accuracy == pytest.approx((0.7, 4.30265 * 0.2 / math.sqrt(3)))
  assert (first.seeds, second.seeds, second.pairs) == (3, 3, 3)
  assert first.usage is None and first.information is None
  assert second.accuracy == pytest.approx(
    confidence_intervals.mean_ci([0.6, 0.9, 0.9])
  )
  assert second.gap == pytest.approx(
    confidence_intervals.mean_ci([0.1, 0.2, 0.0])
  )
  assert second.usage == pytest.approx(
    confidence_intervals.mean_ci([0.2, 0.4, 0.9])
  )
  assert second.usage[0] == pytest.approx(0.5)
  assert second.information == pytest.approx(
    confidence_intervals.mean_ci([0, 0.3, 0.3])
  )
