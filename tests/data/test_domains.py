"""A target domain with few labels: who is in which split."""

import numpy as np
import pytest
import tiny
from PIL import Image

from metaaux import data
from metaaux.errors import UserError


def build(**changes):
  return data.build(tiny.config(**{**tiny.of_domains(), **changes}))


def domain_and_class():
  with np.load(tiny.domains_file()) as archive:
    return archive["domain"], archive["y"]


def test_every_image_is_where_it_belongs():
  problem = build(num_seeds=2, seed=3)
  domain, label = domain_and_class()
  assert problem.spec.domain_names == ("plain", "transposed")
  assert problem.spec.num_primary == 10
  for s in range(2):
    few, tested = problem.train[s], problem.tested()[s]
    np.testing.assert_array_equal(np.bincount(label[few]), np.full(10, 2))
    # The target is divided into the few labels and the test set.
    np.testing.assert_array_equal(
      np.sort(np.concatenate([few, tested])), np.flatnonzero(domain == 1)
    )
    validation = problem.meta[s]
    for k, number in enumerate((0, 2)):
      own = problem.positions(f"domain_{k}")[s]
      assert len(own) == 180
      held = validation[domain[validation] == number]
      np.testing.assert_array_equal(
        np.sort(np.concatenate([own, held])), np.flatnonzero(domain == number)
      )
  assert (problem.train[0] != problem.train[1]).any()
  again = build(seed=4)
  np.testing.assert_array_equal(again.train[0], problem.train[1])


def test_no_other_labels_of_the_target_reach_a_stream():
  problem = build()
  tested = set(problem.tested()[0].tolist())
  for name in ("train", "meta", "domain_0", "domain_1"):
    assert not tested & set(problem.positions(name)[0].tolist())


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"target_domain": "nagative"}, "its domains: plain, negative, transposed"),
    ({"labels_per_class": 0}, "labels_per_class=0"),
    ({"labels_per_class": 30}, "labels_per_class=30, but primary class"),
    ({"primary": "20"}, "primary='20' is not a level"),
    ({"dataset": "digits", "train_split": "train"}, "no level 'domain'"),
    ({"batch_size": 30}, "batch_size=30"),
  ],
)
def test_wrong_options(changes, match):
  with pytest.raises(UserError, match=match):
    build(**changes)


def test_folders_of_domains(tmp_path):
  rng = np.random.default_rng(0)
  for domain in ("photo", "sketch"):
    for name in ("cat", "dog", "owl"):
      folder = tmp_path / domain / name
      folder.mkdir(parents=True)
      for i in range(12):
        shade = np.uint8(rng.integers(0, 255, (8, 8)))
        Image.fromarray(shade).save(folder / f"{i}.png")
  problem = build(
    dataset=f"folder:{tmp_path}", target_domain="sketch", batch_size=6
  )
  assert problem.primary_names == ("cat", "dog", "owl")
  assert problem.spec.domain_names == ("photo",)
  assert problem.tested().shape == (1, 30)
  assert problem.positions("domain_0").shape[1] + problem.meta.shape[1] == 36


def test_an_archive_that_is_not_divided_has_the_split_all():
  with pytest.raises(UserError, match="no split 'train'; its splits: all"):
    build(train_split="train")
