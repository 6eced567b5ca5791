"""Fixed labels from clusters and prototypes of an embedding."""

import jax
import numpy as np
import pytest
import tiny

from metaaux import methods, partitions
from metaaux.errors import UserError
from metaaux.methods.maxl import cluster_labels
from metaaux.stage import PoolView, Spec

PSI = (2, 3)
KINDS = ("kmeans", "prototypical")
TRAIN = np.arange(10, 110)
SPEC = Spec((1, 2, 1), PSI, 120, True)
# Centre of each human sub-class; the classes overlap, so that clusters that
# did not keep to one class would mix them.
CENTRES = np.array([[0, 0], [1, 0], [0, 0.1], [1, 0.1], [0, 1]])


def config(method, **changes):
  return tiny.config(method=method, **{"partition.restarts": 5, **changes})


def view(*, poison=False, reports=None):
  """Five blobs in two classes; 20 of 120 images are not trained on.

  With `poison` these are NaN, and their labels are no classes.
  """
  auxiliary = np.arange(120) % 5
  noise = np.random.default_rng(0).normal(0, 0.01, (120, 2))
  images = (CENTRES[auxiliary] + noise).astype(np.float32)
  primary = np.repeat(np.arange(2), PSI)[auxiliary]
  if poison:
    others = np.setdiff1d(np.arange(120), TRAIN)
    images[others], primary[others], auxiliary[others] = np.nan, 99, 99

  def report(name, content):
    if reports is not None:
      reports[name] = content

  return PoolView(
    seed=0,
    key=jax.random.key(0),
    previous=None,
    images=images.reshape(120, 1, 2, 1),
    train=TRAIN,
    primary=primary,
    auxiliary=auxiliary,
    map=None,
    cache=lambda name, made_of, make: make(),
    report=report,
  )


def labels_of(kind, pool, **changes):
  """[n, K]; zeros where there is no label."""
  found = cluster_labels.compute(config(kind, **changes), SPEC, kind, pool)
  if found.ndim == 2:
    return found
  return np.eye(6)[found][:, :5]  # -1 takes the last row


@pytest.mark.parametrize("kind", KINDS)
def test_labels_lie_in_the_block_of_the_class(kind):
  pool = view()
  found = labels_of(kind, pool)
  block = np.repeat(np.arange(2), PSI)[None] == pool.primary[:, None]
  assert not found[~block].any()
  np.testing.assert_allclose(found[TRAIN].sum(1), 1, rtol=1e-6)
  assert not np.delete(found, TRAIN, axis=0).any()


def test_clusters_recover_the_blobs():
  pool = view()
  chosen = labels_of("kmeans", pool)[TRAIN].argmax(1)
  pairs = set(zip(chosen.tolist(), pool.auxiliary[TRAIN].tolist(), strict=True))
  assert len(pairs) == len({c for c, _ in pairs}) == 5


def test_prototypes_recover_the_blobs_softly():
  pool = view()
  found = labels_of("prototypical", pool)[TRAIN]
  np.testing.assert_array_equal(found.argmax(1), pool.auxiliary[TRAIN])
  # Sub-class 0 of class 0: distances 0 and 1, up to the noise.
  np.testing.assert_allclose(
    found[pool.auxiliary[TRAIN] == 0].mean(0)[:2],
    [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))],
    atol=0.01,
  )


def test_prototypes_known_answer(x64):
  vectors = np.array([[0.0], [2.0], [3.0], [7.0], [5.0]])
  primary, columns = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 2])
  found = cluster_labels.prototypical_labels(vectors, primary, columns, (2, 2))
  # Means 1, 3 and 6; no image has the last sub-class.
  share = np.exp(-np.array([[1, 9], [1, 1], [4, 0]]))
  expected = np.zeros((5, 4))
  expected[:3, :2] = share / share.sum(1, keepdims=True)
  expected[3:, 2] = 1
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  assert found.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["pixels", "pca", "spectral"])
def test_images_that_are_not_trained_on_are_never_looked_at(kind, name):
  changes = {"embedding.name": name, "embedding.dim": 2}
  clean, poisoned = (
    labels_of(kind, view(poison=p), **changes) for p in (False, True)
  )
  np.testing.assert_array_equal(clean, poisoned)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
  ("name", "before"),
  [("acai", ["embed"]), ("deepcluster", ["embed_1", "embed_2"])],
)
def test_a_trained_embedding_comes_first_and_sees_the_same_images(
  kind, name, before
):
  settings = config(kind, **{"embedding.name": name, "embedding.epochs": 2})
  spec = Spec((8, 8, 1), PSI, 120, True)
  *first, last = methods.make(settings, spec)
  assert [stage.name for stage in first] == before and last.name == "train"
  for stage in first:
    assert {s.split for s in stage.streams.values()} == {"train"}
  assert settings.partition.images == "all"  # what others would see


def test_labels_of_a_trained_embedding():
  states, *_ = tiny.run_steps(
    config("kmeans", **{"embedding.name": "acai", "embedding.width": 4}), 1
  )
  labels = np.asarray(states[0].labels)
  assert len(np.unique(labels[labels >= 0])) == 10
  assert (labels >= 0).sum() == 80


def test_more_clusters_than_images():
  pool = view()._replace(train=np.array([0, 1, 2, 3, 5]))
  with pytest.raises(UserError, match=r"psi\[1\]=3.*class 1.*2 training") as e:
    labels_of("kmeans", pool)
  assert "labels_per_class" in str(e.value)


def test_one_cluster_and_a_cluster_for_each_image():
  vectors, primary = np.eye(4, dtype=np.float32), np.array([1, 0, 1, 1])
  found = cluster_labels.kmeans_labels(
    jax.random.key(0), vectors, primary, (1, 3)
  )
  assert found[1] == 0 and sorted(found[[0, 2, 3]]) == [1, 2, 3]


def test_a_class_has_clusters_of_its_own():
  """What other classes hold does not change the clusters of a class.

  As many rows, clusters and restarts as above, for which all is compiled.
  """
  rng = np.random.default_rng(0)
  vectors = rng.normal(size=(100, 2)).astype(np.float32)
  primary = np.repeat([0, 1], [40, 60])
  other = np.where(primary[:, None] == 0, rng.normal(size=(100, 2)), vectors)
  one, two = (
    cluster_labels.kmeans_labels(
      jax.random.key(0), x.astype(np.float32), primary, PSI, 5
    )
    for x in (vectors, other)
  )
  np.testing.assert_array_equal(one[primary == 1], two[primary == 1])


def test_prototypes_need_human_labels():
  with pytest.raises(UserError, match=r"'prototypical'.*config\.aux"):
    tiny.run_steps(
      tiny.config(method="prototypical", primary="2", psi=(3, 3)), 0
    )


def test_clusters_need_no_human_labels():
  settings = tiny.config(method="kmeans", psi=(3, 4))
  states, _, run, _ = tiny.run_steps(settings, 0)
  labels = np.asarray(states[0].labels)[run.problem.train[0]]
  assert not run.problem.spec.has_auxiliary
  np.testing.assert_array_equal(np.unique(labels), np.arange(7))


def test_reports():
  reports = {}
  labels_of("kmeans", view(reports=reports))
  entry = reports["auxiliary_labels"]["partitions"][0]
  assert entry["sizes"] == [20] * 5 and entry["ari"] == pytest.approx(1)
  labels_of("prototypical", view(reports=reports))
  assert 0 < reports["auxiliary_labels"]["information_fraction"] < 1


def test_prototypes_are_those_of_the_partitions():
  """Without blocks the labels are `partitions.prototypical`'s."""
  pool = view()
  vectors = pool.images[TRAIN].reshape(len(TRAIN), 2)
  columns = pool.auxiliary[TRAIN]
  found = cluster_labels.prototypical_labels(
    vectors, np.zeros(len(TRAIN), int), columns, (5,)
  )
  expected = partitions.prototypical(vectors, columns, np.arange(len(TRAIN)), 5)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
