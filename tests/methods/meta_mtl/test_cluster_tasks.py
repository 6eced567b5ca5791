"""Labels of the auxiliary tasks: kinds, who takes part, what may be read."""

import json

import jax
import numpy as np
import pytest
import tiny

from metaaux import methods, parallel
from metaaux import stage as stage_lib
from metaaux.errors import UserError
from metaaux.methods.meta_mtl import cluster_tasks
from metaaux.run import opening, prepare

COUNT, CLASSES = 60, 4
SPEC = stage_lib.Spec((4, 4, 1), (2, 2), COUNT, True)
# Every third image is labelled.
TRAIN = np.arange(0, COUNT, 3, dtype=np.int32)


def config(labels, images="all", **partition):
  options = {"labels": labels, "images": images, "num_classes": CLASSES}
  options.update(num_tasks=3, **partition)
  changes = {f"partition.{name}": value for name, value in options.items()}
  return tiny.config(method="joint", **changes, **{"embedding.name": "pixels"})


def images(seed=0):
  """Four blobs of unequal size."""
  random = np.random.default_rng(seed)
  centres = random.random((CLASSES, 4, 4, 1), np.float32)
  which = np.repeat(np.arange(CLASSES), (30, 15, 10, 5))
  noise = random.normal(0, 0.02, (COUNT, 4, 4, 1)).astype(np.float32)
  mixed = random.permutation(COUNT)
  return (centres[which] + noise)[mixed], which[mixed]


def view(*, seed=0, pictures=None, primary=None, reports=None, kept=None):
  found, which = images()
  auxiliary = (which % 4).astype(np.int32)

  def cache(name, made_of, make):
    if kept is None or not name.startswith("partitions"):
      return make()
    kept.append((name, json.dumps(made_of, sort_keys=True)))
    options = made_of["partition"]
    row = np.zeros(len(TRAIN) if options["images"] == "train" else COUNT, int)
    count = options["num_tasks"]
    return {
      "partitions": np.tile(row, (count, 1)),
      "inertia": np.zeros(count),
      "num_iters": np.zeros(count, int),
    }

  return stage_lib.PoolView(
    seed=seed,
    key=jax.random.key(seed),
    previous=None,
    images=found if pictures is None else pictures,
    train=TRAIN,
    primary=(which // 2).astype(np.int32) if primary is None else primary,
    auxiliary=auxiliary,
    map=None,
    cache=cache,
    report=lambda name, content: (
      None if reports is None else reports.append((name, content))
    ),
  )


def sizes(labels_TxN, k=CLASSES):
  return [np.sort(np.bincount(row, minlength=k)).tolist() for row in labels_TxN]


@pytest.mark.parametrize("where", ["all", "train"])
@pytest.mark.parametrize("labels", ["random", "permuted", "kmeans", "human"])
def test_labels_of_every_kind(labels, where):
  settings = config(labels, where)
  found = cluster_tasks.compute(settings, SPEC, view())
  wanted = cluster_tasks.prepare(settings, SPEC).shapes
  assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
  assert found.shape == (1 if labels == "human" else 3, COUNT)
  inside = np.full(COUNT, where == "all")
  inside[TRAIN] = True
  assert (found[:, ~inside] == -1).all()
  assert (found[:, inside] >= 0).all() and (found < CLASSES).all()
  again = cluster_tasks.compute(settings, SPEC, view())
  np.testing.assert_array_equal(found, again)
  other = cluster_tasks.compute(settings, SPEC, view(seed=1))
  assert np.array_equal(found, other) == (labels == "human")


def test_human_labels_are_those_of_the_data():
  pool = view()
  found = cluster_tasks.compute(config("human"), SPEC, pool)
  np.testing.assert_array_equal(found, pool.auxiliary[None])


def test_kmeans_finds_the_blobs():
  found = cluster_tasks.compute(
    config("kmeans", scaling="none", restarts=4), SPEC, view()
  )
  _, which = images()
  for row in found:
    assert len(set(zip(row, which, strict=True))) == CLASSES


@pytest.mark.parametrize("where", ["all", "train"])
def test_permuted_labels_keep_the_sizes_of_the_clusters(where):
  clustered, permuted = (
    cluster_tasks.compute(config(labels, where), SPEC, view())
    for labels in ("kmeans", "permuted")
  )
  inside = np.arange(COUNT) if where == "all" else TRAIN
  assert sizes(clustered[:, inside]) == sizes(permuted[:, inside])
  assert (clustered != permuted).any(1).all()
  # Each task has an order of its own.
  assert (permuted[0] != permuted[1]).any()


@pytest.mark.parametrize(
  ("labels", "name"),
  [
    ("random", "pixels"),
    ("permuted", "pixels"),
    ("kmeans", "pca"),
    ("kmeans", "spectral"),
  ],
)
def test_partitions_of_labelled_images_see_no_others(labels, name):
  settings = config(labels, "train")
  settings.embedding.update(name=name, dim=3, neighbours=5)
  pictures, _ = images()
  changed = 1 - pictures
  changed[TRAIN] = pictures[TRAIN]
  found, again = (
    cluster_tasks.compute(settings, SPEC, view(pictures=each))
    for each in (pictures, changed)
  )
  np.testing.assert_array_equal(found, again)


def test_partitions_of_all_images_see_the_others():
  pictures, _ = images()
  changed = pictures.copy()
  changed[1] = pictures[2]
  found, again = (
    cluster_tasks.compute(config("kmeans"), SPEC, view(pictures=each))
    for each in (pictures, changed)
  )
  assert (found != again).any()


@pytest.mark.parametrize("labels", ["random", "permuted", "kmeans"])
@pytest.mark.parametrize("where", ["all", "train"])
def test_true_labels_of_unlabelled_images_change_nothing(labels, where):
  pool, results = view(), []
  other = np.full_like(pool.primary, 7)
  other[TRAIN] = pool.primary[TRAIN]
  for primary in (pool.primary, other):
    reports = []
    found = cluster_tasks.compute(
      config(labels, where), SPEC, view(primary=primary, reports=reports)
    )
    results.append((found.tolist(), reports))
  assert results[0] == results[1]


def test_report_counts_every_empty_cluster():
  reports = []
  settings = config("random", "train")
  settings.partition.num_classes = 50  # of 20 images: most stay empty
  found = cluster_tasks.compute(settings, SPEC, view(reports=reports))
  ((name, content),) = reports
  assert name == "partitions" and len(content["partitions"]) == 3
  for row, entry in zip(found[:, TRAIN], content["partitions"], strict=True):
    assert entry["sizes"] == np.bincount(row, minlength=50).tolist()
    assert entry["empty"] == 50 - len(set(row))
  json.dumps(content, allow_nan=False)


def test_report_has_the_inertia_of_what_was_clustered():
  reports = []
  settings = config("kmeans", scaling="none")
  rows = cluster_tasks.compute(settings, SPEC, view(reports=reports))
  vectors = images()[0].reshape(COUNT, -1).astype(np.float64)
  for row, entry in zip(rows, reports[0][1]["partitions"], strict=True):
    own = [vectors[row == c] for c in range(CLASSES)]
    by_hand = sum(((v - v.mean(0)) ** 2).sum() for v in own)
    assert entry["inertia"] == pytest.approx(by_hand, rel=1e-4)
    assert entry["num_iters"] >= 1
  # The inertia of permuted labels would be that of other clusters.
  cluster_tasks.compute(config("permuted"), SPEC, view(reports=reports))
  assert "inertia" not in reports[1][1]["partitions"][0]


def test_cache_tells_partitions_apart():
  kept = []
  for change in (
    {},
    {"labels": "permuted"},
    {"images": "train"},
    {"num_classes": 3},
    {"num_tasks": 2},
    {"scaling": "none"},
    {"restarts": 2},
  ):
    settings = config("kmeans")
    settings.partition.update(change)
    cluster_tasks.compute(settings, SPEC, view(kept=kept))
  cluster_tasks.compute(config("kmeans"), SPEC, view(seed=1, kept=kept))
  cluster_tasks.compute(
    config("kmeans"), SPEC, view(pictures=images(1)[0], kept=kept)
  )
  assert len(set(kept)) == len(kept) == 9


@pytest.mark.parametrize("labels", ["permuted", "kmeans"])
@pytest.mark.parametrize(("where", "count"), [("all", COUNT), ("train", 20)])
def test_more_clusters_than_images(labels, where, count):
  settings = config(labels, where)
  settings.partition.num_classes = count + 1
  message = rf"num_classes={count + 1}, but there are {count} images"
  with pytest.raises(UserError, match=message):
    cluster_tasks.compute(settings, SPEC, view())


def test_as_many_clusters_as_images():
  settings = config("kmeans", "train")
  settings.partition.num_classes = len(TRAIN)
  found = cluster_tasks.compute(settings, SPEC, view())
  assert [sorted(row) for row in found[:, TRAIN]] == [list(range(20))] * 3


@pytest.mark.parametrize(
  ("labels", "num_classes", "expected"),
  [
    ("human", 7, (4, 1)),
    ("random", 7, (7, 3)),
    ("kmeans", 0, (2, 3)),
    ("permuted", 3, (3, 3)),
  ],
)
def test_number_of_classes_and_tasks(labels, num_classes, expected):
  settings = config(labels)
  settings.partition.num_classes = num_classes
  found = (
    cluster_tasks.num_classes(settings, SPEC),
    cluster_tasks.num_tasks(settings),
  )
  assert found == expected
  net = cluster_tasks.network(settings, SPEC, None)
  assert net.num_tasks == expected[1]


@pytest.mark.parametrize(
  ("labels", "name", "stages"),
  [
    ("kmeans", "acai", ["embed"]),
    ("permuted", "acai", ["embed"]),
    ("kmeans", "pixels", []),
    ("random", "acai", []),
    ("human", "acai", []),
  ],
)
def test_only_clusters_need_an_embedding(labels, name, stages):
  settings = config(labels)
  settings.embedding.name = name
  found = cluster_tasks.stages(settings, SPEC, None)
  assert [stage.name for stage in found] == stages


def test_human_labels_must_be_there():
  spec = SPEC._replace(has_auxiliary=False)
  with pytest.raises(UserError, match=r"partition\.labels='human'.*has none"):
    cluster_tasks.network(config("human"), spec, None)


# The partitions are made one after another, however the seeds are trained.
@pytest.mark.parametrize(
  "seeds", ["loop", pytest.param("vmap", marks=pytest.mark.long)]
)
def test_devices_do_not_change_the_partitions(seeds):
  found = []
  for mode in ("none", "pmap"):
    settings = config("kmeans", "train")
    settings.update(parallel=mode, num_seeds=2, seeds=seeds)
    run = opening.open_run(settings)
    assert run.plan.num_shards == {"none": 1, "pmap": 4}[mode]
    (stage,) = methods.make(
      settings, run.problem.spec, axis_name=run.plan.axis_name
    )
    prepared = prepare.prepare(run, stage, None, "")
    found.append(parallel.to_host(prepared, run.plan))
  np.testing.assert_array_equal(*found)
  assert (found[0][0] != found[0][1]).any()
