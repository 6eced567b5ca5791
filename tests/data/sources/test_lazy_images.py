"""Images that are decoded when somebody looks at them."""

import numpy as np
import pytest
import tiny
import tiny_tfds
from PIL import Image

from metaaux import data, methods, parallel
from metaaux.data import sources
from metaaux.data.sources import lazy_images
from metaaux.errors import UserError
from metaaux.parallel import hosts
from metaaux.run import opening, prepare


def recorded(count=10):
  """Images that say their position, and a list of what was read of them."""
  seen = []

  def read(positions):
    seen.append(positions.tolist())
    shape = (len(positions), 2, 3, 1)
    return np.broadcast_to(positions[:, None, None, None], shape).astype("u1")

  return lazy_images.Images(read, np.arange(count), (2, 3, 1), "numbers"), seen


def test_what_is_known_without_a_look():
  images, seen = recorded()
  assert images.shape == (10, 2, 3, 1) and images.ndim == 4
  assert images.dtype == np.uint8 and len(images) == 10
  part = images[2:8][[5, 0]]
  assert part.shape == (2, 2, 3, 1)
  assert part.digest() != images.digest() == recorded()[0].digest()
  assert seen == []


@pytest.mark.parametrize(
  ("index", "wanted"),
  [
    (slice(2, 5), [2, 3, 4]),
    (slice(8, 20), [8, 9]),
    (slice(12, 20), []),
    ([7, 7, 0], [7, 7, 0]),
    (np.arange(10) > 7, [8, 9]),
  ],
)
def test_a_part_is_read_alone(index, wanted):
  images, seen = recorded()
  found = np.asarray(images[index])
  assert found.dtype == np.uint8 and found.shape[1:] == (2, 3, 1)
  assert found[:, 0, 0, 0].tolist() == wanted and seen == [wanted]


def test_one_image():
  images, seen = recorded()
  assert images[3].shape == (2, 3, 1) and images[-1][0, 0, 0] == 9
  assert seen == [[3], [9]]
  with pytest.raises(IndexError):
    images[10]
  assert [int(image[0, 0, 0]) for image in images] == list(range(10))


def test_no_array_to_share():
  images, _ = recorded()
  assert np.asarray(images, np.float32).dtype == np.float32
  with pytest.raises(ValueError, match="not decoded yet"):
    np.asarray(images, copy=False)


def test_what_is_kept_is_read_once():
  images, seen = recorded(4)
  pixels = lazy_images.whole(images)
  assert (
    lazy_images.whole(images) is pixels and lazy_images.whole(pixels) is pixels
  )
  np.testing.assert_array_equal(np.asarray(images), pixels)
  np.testing.assert_array_equal(images[[3, 1]], pixels[[3, 1]])
  assert images.digest() == recorded(4)[0].digest()
  assert seen == [[0, 1, 2, 3]]


@pytest.mark.parametrize("count", [8, 9])
def test_devices_get_their_parts(count):
  plan = parallel.plan(tiny.config(parallel="pmap", pool="divide"))
  images, seen = recorded(count)
  placed = np.asarray(parallel.divide(images, plan))
  np.testing.assert_array_equal(
    placed, np.asarray(parallel.divide(np.asarray(images), plan))
  )
  each = -(-count // 4)
  parts = [list(range(count))[i * each : (i + 1) * each] for i in range(4)]
  assert sorted(seen[:4]) == sorted(parts)


@pytest.fixture
def folder(tmp_path):
  rng = np.random.default_rng(0)
  for name in ("train/cat", "train/dog", "test/cat", "test/dog"):
    (tmp_path / name).mkdir(parents=True)
    for i in range(6):
      pixels = rng.integers(0, 256, (9, 8, 3), dtype=np.uint8)
      Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
  return f"folder:{tmp_path}"


@pytest.fixture
def prepared(monkeypatch, tmp_path):
  tiny_tfds.write(tmp_path, "cifar100", num_train=200, num_test=100)
  tiny_tfds.use(monkeypatch, tmp_path)
  return "tfds:cifar100"


@pytest.mark.parametrize(
  ("source", "split", "options", "is_lazy"),
  [
    ("folder", "train", {}, True),
    ("folder", "test[2:9]", {"side": 4}, True),
    ("folder", "train[:50%/class]", {}, True),
    ("folder", "train[:4]+test", {}, False),
    ("prepared", "train", {}, True),
    ("prepared", "test[2:9]", {"side": 4}, True),
    ("prepared", "train[:50%/class]", {}, True),
    ("prepared", "train", {"select": "3=animals"}, True),
  ],
)
def test_a_source_says_the_same(request, source, split, options, is_lazy):
  where = request.getfixturevalue(source)
  eager = sources.load(where, split, **options)
  found = sources.load(where, split, **options, lazy=True)
  assert isinstance(eager.images, np.ndarray)
  assert isinstance(found.images, lazy_images.Images) == is_lazy
  assert found.images.shape == eager.images.shape
  np.testing.assert_array_equal(np.asarray(found.images), eager.images)
  assert found.names == eager.names
  for level, labels in eager.labels.items():
    np.testing.assert_array_equal(found.labels[level], labels)


def test_a_run_of_several_hosts_reads_its_images_once(monkeypatch, folder):
  monkeypatch.setattr(hosts, "count", lambda: 2)
  read = []
  original = lazy_images.Images.__array__

  def counted(self, dtype=None, copy=None):
    read.append(len(self))
    return original(self, dtype, copy)

  monkeypatch.setattr(lazy_images.Images, "__array__", counted)
  config = tiny.config(
    dataset=folder, batch_size=4, labels_per_class=0, parallel="auto"
  )
  run = opening.open_run(config)
  assert run.plan.divide_pool
  assert read == [3, 3, 3, 3] * 2  # training and test images


def test_a_test_set_that_one_host_cannot_decode_is_left_out(
  monkeypatch, folder, capsys
):
  monkeypatch.setattr(hosts, "count", lambda: 2)
  config = tiny.config(
    dataset=folder,
    batch_size=4,
    labels_per_class=0,
    parallel="auto",
    extra_test=(folder,),
  )
  run = opening.open_run(config)

  def read(positions):
    raise UserError("000.png cannot be decoded")

  broken = lazy_images.Images(read, np.arange(12), (9, 8, 3), "photographs")
  monkeypatch.setattr(
    data,
    "load_test",
    lambda *_: {"image": broken, "primary": np.zeros(12, np.int32)},
  )
  assert list(opening.with_extra_tests(run).tests) == ["test"]
  assert f"not evaluated on {folder}: 000.png" in capsys.readouterr().err


def test_a_stage_that_looks_at_all_decodes_them_once(monkeypatch, folder):
  monkeypatch.setattr(hosts, "count", lambda: 2)
  monkeypatch.setattr(hosts, "broadcast", lambda tree: tree)
  config = tiny.config(
    method="kmeans",
    dataset=folder,
    batch_size=4,
    labels_per_class=0,
    num_seeds=3,
    parallel="auto",
  )
  run = opening.open_run(config)
  images, read = run.problem.pool["image"], []
  original = images._read
  images._read = lambda positions: read.append(1) or original(positions)
  stages = methods.make(config, run.problem.spec, axis_name=run.plan.axis_name)
  assert prepare.prepare(run, stages[0], None, "") is not None
  assert prepare.prepare(run, stages[0], None, "") is not None
  assert read == [1]
