"""Several tasks with their own classes and images, and the big task."""

import numpy as np
import pytest
import tiny

from metaaux import data
from metaaux.data import several_tasks, task_looks
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError


def build(**changes):
  return data.build(tiny.config(**{**tiny.of_several_tasks(), **changes}))


def test_local_labels_and_what_tasks_share():
  """K20: sizes, shared classes, union."""
  problem = build()
  spec = problem.spec
  assert (spec.num_primary, spec.num_big) == (13, 10)
  assert spec.groups == (0,) * 6 + (1,) * 7
  assert spec.origins == (0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8, 9)
  assert problem.group_names == ("task_0", "task_1")


def test_no_image_is_in_two_places():
  problem = build(num_seeds=2)
  images = problem.pool["image"].reshape(len(problem.pool["image"]), -1)
  for s in range(2):
    rows = {
      name: images[problem.positions(name)[s]]
      for name in ("big", "task_0", "task_1")
    }
    assert [len(x) for x in rows.values()] == [1000 - 65, 30, 35]
    everything = np.concatenate(list(rows.values()))
    whole = images[:1000]  # the source itself
    order = [np.lexsort(x.T) for x in (everything, whole)]
    np.testing.assert_array_equal(everything[order[0]], whole[order[1]])
  assert (problem.splits["task_0"][0] != problem.splits["task_0"][1]).any()


def test_labels_of_every_part():
  problem = build()
  pool = problem.pool
  big = problem.positions("big")[0]
  assert (pool["primary"][big] == -1).all()
  for j, (first, size) in enumerate(((0, 6), (6, 7))):
    rows = problem.positions(f"task_{j}")[0]
    counts = np.bincount(pool["primary"][rows] - first, minlength=size)
    np.testing.assert_array_equal(counts, np.full(size, 5))
    assert (pool["auxiliary"][rows] == -1).all()
  # Copies have the labels of the images that they are copies of.
  source = {
    x.tobytes(): y
    for x, y in zip(pool["image"][:1000], pool["auxiliary"][:1000], strict=True)
  }
  for x, y in zip(pool["image"][1000:], pool["primary"][1000:], strict=True):
    assert source[x.tobytes()] == problem.spec.origins[y]


def test_test_images_of_shared_classes_are_in_both_tasks():
  problem = build()
  primary = problem.test["primary"]
  counts = np.bincount(primary, minlength=13)
  np.testing.assert_array_equal(counts[3:6], counts[6:9])
  assert problem.tested().shape == (1, len(primary))


def test_a_class_without_test_images_moves_no_label():
  rng = np.random.default_rng(0)

  def source(labels):
    labels = np.array(labels, np.int32)
    images = rng.integers(0, 255, (len(labels), 4, 4, 1), np.uint8)
    names = {"4": ("a", "b", "c", "d")}
    return source_lib.Source(images, {"4": labels}, names)

  config = tiny.config(task_classes=("0-1", "2-3"), labels_per_class=1)
  found = several_tasks.divide(
    config, source([0, 0, 1, 1, 2, 2, 3, 3]), source([0, 0, 2]), "4"
  )
  np.testing.assert_array_equal(found.test["primary"], [0, 0, 2])


def test_a_big_task_of_fixed_size_is_the_same_beside_any_tasks():
  one = build(big_per_class=40)
  other = build(
    big_per_class=40, task_classes=("0-1", "2-9"), labels_per_class=9
  )
  big = one.positions("big")[0]
  np.testing.assert_array_equal(big, other.positions("big")[0])
  np.testing.assert_array_equal(
    np.bincount(one.pool["auxiliary"][big], minlength=10), 40
  )


def of_domains(**changes):
  return build(
    dataset=f"npz:{tiny.domains_file()}",
    primary="",
    train_split="all",
    task_domains=("plain", "negative"),
    **changes,
  )


def test_tasks_of_domains_and_a_big_task_of_the_others():
  problem = of_domains(num_seeds=2)
  domain = np.arange(600) % 3  # plain, negative, transposed
  for s in range(2):
    big = problem.positions("big")[s]
    np.testing.assert_array_equal(big, np.flatnonzero(domain == 2))
  images = problem.pool["image"][:600]
  source = {x.tobytes(): d for x, d in zip(images, domain, strict=True)}
  for j in range(2):
    rows = problem.positions(f"task_{j}")
    assert {source[problem.pool["image"][i].tobytes()] for i in rows[0]} == {j}
  assert (rows[0] != rows[1]).any()


def test_a_task_of_a_domain_is_tested_on_the_rest_of_it():
  problem = of_domains(num_seeds=2)
  pool, test = problem.pool, problem.test
  for s, tested in enumerate(problem.tested()):
    rows = np.concatenate([problem.positions(f"task_{j}")[s] for j in range(2)])
    trained = {pool["image"][i].tobytes() for i in rows}
    assert not trained & {test["image"][i].tobytes() for i in tested}
    # Together they are the images of both domains that have the classes.
    assert len(rows) + len(tested) == (pool["primary"] >= 0).sum()


@pytest.mark.parametrize(
  ("domains", "match"),
  [
    (("plain",), "are 1 for 2 tasks"),
    (("plain", "sketch"), "'sketch' is not a domain.*plain, negative"),
    (("plain", "negative", "transposed"), "leave no domain"),
  ],
)
def test_wrong_domains(domains, match):
  classes = ("0-4", "5-9", "0-9")[: max(len(domains), 2)]
  with pytest.raises(UserError, match=match):
    build(
      dataset=f"npz:{tiny.domains_file()}",
      primary="",
      train_split="all",
      task_domains=domains,
      task_classes=classes,
    )


def test_looks():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 255, (3, 4, 6, 3), np.uint8)
  assert task_looks.seen_as(images, "plain") is images
  gray = task_looks.seen_as(images, "gray")
  assert gray.dtype == np.uint8 and gray.shape == images.shape
  wanted = np.rint(images @ np.array([0.299, 0.587, 0.114]))
  for channel in range(3):
    np.testing.assert_allclose(gray[..., channel], wanted, atol=1)
  half = task_looks.seen_as(images, "half")
  np.testing.assert_array_equal(half[:, ::2, ::2], half[:, 1::2, 1::2])
  block = images[0, 2:4, 4:6, 1].mean(dtype=np.float32)
  assert half[0, 2, 5, 1] == np.rint(block)
  wide = images.astype(np.float32)
  assert task_looks.seen_as(wide, "half").dtype == np.float32


def test_a_task_looks_different_in_pool_and_test():
  plain, half = build(), build(task_looks=("plain", "half"))
  for one, other in ((plain.pool, half.pool), (plain.test, half.test)):
    second = one["primary"] >= 6
    np.testing.assert_array_equal(
      one["image"][~second], other["image"][~second]
    )
    assert (one["image"][second] != other["image"][second]).any()
    np.testing.assert_array_equal(
      task_looks.seen_as(one["image"][second], "half"), other["image"][second]
    )


@pytest.mark.parametrize(
  ("text", "ids"),
  [("0-2", (0, 1, 2)), ("7+1", (7, 1)), ("0-1+4+6-7", (0, 1, 4, 6, 7))],
)
def test_classes_of_a_task(text, ids):
  assert several_tasks.parse(text, 10) == ids


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"task_classes": ("0-5", "3-10")}, "'3-10'.*below 10"),
    ({"task_classes": ("0-5", "4+4")}, "'4\\+4'.*different"),
    ({"task_classes": ("3",)}, "two or more"),
    ({"task_classes": ("a-b",)}, "not understood"),
    ({"labels_per_class": 0}, "labels_per_class=0"),
    ({"labels_per_class": 60}, "labels_per_class=60, but class 3"),
  ],
)
def test_wrong_options(changes, match):
  with pytest.raises(UserError, match=match):
    build(**changes)
