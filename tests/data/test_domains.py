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
    ({"meta_fraction": 0.1}, "meta_fraction=0.1 has no effect with target_do"),
    ({"within": "domain"}, "within='domain' has no effect"),
    ({"psi": (3,)}, r"psi=\(3,\) has no effect"),
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


def small(path, **splits):
  """Six images of each of two classes in each of two domains."""
  rng = np.random.default_rng(0)
  count = np.arange(24)
  made = {
    "x": rng.integers(0, 256, (24, 8, 8), dtype=np.uint8),
    "y": count % 2,
    "domain": count // 2 % 2,
  }
  np.savez(path, **{splits.get(key, key): x for key, x in made.items()})
  return made


def test_few_labels_must_leave_some_to_test_on(tmp_path):
  small(tmp_path / "a.npz")
  options = {"dataset": f"npz:{tmp_path / 'a.npz'}", "target_domain": "1"}
  problem = build(**options, labels_per_class=5, batch_size=10)
  assert problem.tested().shape == (1, 2)
  with pytest.raises(UserError, match=r"takes all 12 images .* leaves none to"):
    build(**options, labels_per_class=6, batch_size=10)


def test_an_archive_that_is_divided(tmp_path):
  made = small(tmp_path / "whole.npz")
  parts = {"train": slice(0, 14), "test": slice(14, 24)}
  np.savez(
    tmp_path / "a.npz",
    **{f"x_{k}": made["x"][part] for k, part in parts.items()},
    **{f"y_{k}": made["y"][part] for k, part in parts.items()},
    **{f"y_{k}_domain": made["domain"][part] for k, part in parts.items()},
  )
  problem = build(
    dataset=f"npz:{tmp_path / 'a.npz'}",
    train_split="train+test",
    target_domain="0",
    batch_size=4,
  )
  assert problem.spec.domain_names == ("1",)
  assert problem.tested().shape == (1, 8)
  np.testing.assert_array_equal(problem.pool["primary"], made["y"])
  rest = np.concatenate([problem.positions("domain_0")[0], problem.meta[0]])
  np.testing.assert_array_equal(
    np.sort(rest), np.flatnonzero(made["domain"] == 1)
  )


def test_too_few_images_of_the_target_are_no_reason_for_all():
  """0 is refused with a target domain, and so nobody is told to set it."""
  with pytest.raises(UserError, match=r"primary class 0 .* lower it") as found:
    build(labels_per_class=1000)
  assert "0 for all" not in str(found.value)
  with pytest.raises(UserError, match="lower labels_per_class, or 0 for all"):
    data.build(tiny.config(labels_per_class=1000))
