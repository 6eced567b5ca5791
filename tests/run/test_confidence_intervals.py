"""Intervals over seeds and test images, against closed forms and draws."""

import math

import numpy as np
import pytest

from metaaux.run import confidence_intervals


def test_seeds_that_agree_have_the_binomial_interval():
  """That of Agresti & Coull 1998; also of a single seed."""
  row = np.arange(40) < 33
  p = 35 / 44  # two hits and two misses more
  expected = 1.959964 * math.sqrt(p * (1 - p) / 44)
  for seeds in (1, 5):
    found = confidence_intervals.of_shares(np.tile(row, (seeds, 1)))
    assert found == pytest.approx(expected, rel=1e-6)
  # Within a few percent of p (1 - p) / n, once there are many.
  many = np.tile(np.arange(40000) % 40 < 33, (3, 1))
  plain = 1.959964 * math.sqrt(33 / 40 * 7 / 40 / 40000)
  assert confidence_intervals.of_shares(many) == pytest.approx(plain, rel=1e-3)


def test_very_many_images_leave_the_interval_of_the_seeds():
  rng = np.random.default_rng(0)
  hits = rng.random((4, 400_000)) < np.array([[0.8], [0.9], [0.7], [0.85]])
  _, seeds = confidence_intervals.mean_ci(hits.mean(1))
  found = confidence_intervals.of_shares(hits)
  assert seeds <= found < 1.0001 * seeds


def test_forty_of_forty_are_not_certain():
  assert confidence_intervals.of_shares(np.ones((5, 40))) == pytest.approx(
    0.0615, abs=1e-3
  )


def test_paired_differences_of_one_seed():
  """That of Agresti & Min 2005, from the images that one side alone has."""
  ours, theirs, both, n = 9, 4, 50, 80
  gap = np.repeat([1, -1, 0], [ours, theirs, n - ours - theirs])
  del both
  expected = math.sqrt(ours + theirs + 1 - (ours - theirs) ** 2 / (n + 2))
  found = confidence_intervals.of_differences(gap[None])
  assert found == pytest.approx(1.959964 * expected / (n + 2), rel=1e-6)


def test_what_methods_share_is_not_in_their_difference():
  rng = np.random.default_rng(1)
  hard = rng.random(200) < 0.3
  one, two = (~hard[None] & (rng.random((3, 200)) < 0.98) for _ in range(2))
  paired = confidence_intervals.of_differences(1.0 * one - two)
  apart = math.hypot(
    confidence_intervals.of_shares(one), confidence_intervals.of_shares(two)
  )
  assert paired < apart / 2


def test_never_below_the_interval_of_the_seeds():
  rng = np.random.default_rng(2)
  for _ in range(50):
    hits = rng.random((3, 30)) < rng.random((3, 1))
    _, seeds = confidence_intervals.mean_ci(hits.mean(1))
    assert confidence_intervals.of_shares(hits) >= seeds


def test_images_in_another_order_for_each_seed():
  rng = np.random.default_rng(3)
  hits = rng.random((3, 50)) < rng.random(50)
  order = np.stack([rng.permutation(50) for _ in range(3)])
  expected = confidence_intervals.of_shares(hits)
  shuffled = np.take_along_axis(hits, order, 1)
  found = confidence_intervals.of_shares(shuffled, order)
  assert found == pytest.approx(expected, rel=1e-9)
  # Each seed lacks some: nearly the same.
  part = confidence_intervals.of_shares(shuffled[:, :45], order[:, :45])
  assert part == pytest.approx(expected, rel=0.3)


@pytest.mark.parametrize(
  ("seeds", "images", "of_seed", "of_image"),
  [
    (3, 40, 0.0, 4.0),
    (5, 40, 0.5, 4.0),
    (5, 400, 0.3, 1.0),
    (3, 1000, 0.5, 0.5),
    (5, 100, 0.2, 0.0),
  ],
)
def test_coverage(seeds, images, of_seed, of_image):
  """19 of 20 intervals hold the mean over all seeds and images there are."""
  rng = np.random.default_rng((seeds, images))

  def hits(seeds, images):
    logit = 1.2 + of_seed * rng.standard_normal((seeds, 1))
    logit = logit + of_image * rng.standard_normal((1, images))
    return rng.random((seeds, images)) < 1 / (1 + np.exp(-logit))

  truth = np.mean([hits(1000, 1000).mean() for _ in range(5)])
  inside, inside_seeds = [], []
  for _ in range(400):
    found = hits(seeds, images)
    mean, half = confidence_intervals.mean_ci(found.mean(1))
    inside.append(abs(mean - truth) <= confidence_intervals.of_shares(found))
    inside_seeds.append(abs(mean - truth) <= half)
  assert np.mean(inside) >= 0.93
  if of_image > 1 and images == 40:
    # That of the seeds alone says little of few images.
    assert np.mean(inside_seeds) < 0.85
