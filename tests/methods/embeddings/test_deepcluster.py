"""DeepCluster: its turns, run on blobs of pixels without the loop."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux import config as config_lib
from metaaux import stage as stage_lib
from metaaux.errors import UserError
from metaaux.methods.embeddings import deepcluster

SIDE = 4


def config(**embedding):
  model = config_lib.base().model
  model.update(widths=(4,), kernels=(3,), lowering="native", dropout=0.5)
  options = {
    "name": "deepcluster",
    "dim": 3,
    "features": 6,
    "clusters": 5,
    "epochs": 2,
    "num_steps": 9,
    "batch_size": 8,
    "learning_rate": 0.0,
    **embedding,
  }
  return types.SimpleNamespace(
    model=model,
    sync_batch_norm=True,
    embedding=types.SimpleNamespace(**options),
  )


def images():
  rng = np.random.default_rng(0)
  kinds = rng.random((3, SIDE, SIDE, 1))[np.arange(60) % 3]
  return (kinds + 0.1 * rng.standard_normal(kinds.shape)).astype(np.float32)


def spec():
  return stage_lib.Spec((SIDE, SIDE, 1), (1, 1, 1), 60, False)


def view(previous, reports, turn=0):
  pool = images()
  return stage_lib.PoolView(
    seed=0,
    key=jax.random.key(turn),
    previous=previous,
    images=pool,
    train=np.arange(30),
    primary=np.arange(60) % 3,
    auxiliary=np.full(60, -1),
    map=lambda f: np.asarray(jax.jit(f)(previous, jnp.asarray(pool))),
    cache=lambda name, made_of, make: make(),
    report=lambda name, content: reports.update({name: content}),
  )


def run(settings, turns):
  """States after each turn, metrics of the last step, reports."""
  stages = deepcluster.make_stages(settings, spec(), "all")
  states, reports, metrics, state = [], {}, None, None
  for turn, stage in enumerate(stages[:turns]):
    prepared = stage.prepare.compute(view(state, reports, turn))
    signature = jax.tree.map(lambda x: (x.shape, x.dtype), prepared)
    wanted = jax.tree.map(lambda x: (x.shape, x.dtype), stage.prepare.shapes)
    assert signature == wanted
    state = stage.init(jax.random.key(7 + turn), None, (state, prepared))
    update = jax.jit(stage.updates["update"])
    states.append(state)
    for step in range(stage.num_steps):
      key = jax.random.fold_in(jax.random.key(3), step)
      index = stage.streams["train"].draw(state, key, 8)
      batch = {"image": jnp.asarray(images())[index], "index": index}
      key = jax.random.key(step)
      state, metrics = update(state, {"train": batch}, key, jnp.int32(step))
    states.append(state)
  return stages, states, metrics, reports


@pytest.fixture(scope="module")
def done():
  return run(config(), 2)


def test_turns_share_the_steps(done):
  stages = done[0]
  assert [stage.name for stage in stages] == ["embed_1", "embed_2"]
  assert [stage.num_steps for stage in stages] == [4, 5]
  stream = stages[0].streams["train"]
  assert stream[:3] == ("all", True, 8) and stages[0].predict is None


def test_without_a_number_of_steps_each_turn_is_one_pass():
  stages = deepcluster.make_stages(config(num_steps=0), spec(), "all")
  assert [stage.num_steps for stage in stages] == [60 // 8, 60 // 8]


def test_clusters_are_of_the_network_that_is_trained(done):
  first = done[1][0]
  network = deepcluster.make(config())
  features = deepcluster.encode(network, first, jnp.asarray(images()))
  vectors = deepcluster.whitened(np.asarray(features), 3)
  assert vectors.shape == (60, 3)
  np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
  assigned = np.asarray(first.clusters.assignments)
  assert set(assigned) == set(range(5))
  inside = sum(
    ((vectors[assigned == c] - vectors[assigned == c].mean(axis=0)) ** 2).sum()
    for c in range(5)
  )
  assert inside < 0.5 * ((vectors - vectors.mean(axis=0)) ** 2).sum()


def test_a_turn_renews_the_last_layer_and_nothing_else(done):
  ended, begun = done[1][1], done[1][2]
  old, new = ended.params[1]["kernel"], begun.params[1]["kernel"]
  assert not np.allclose(old, new)
  assert 0.004 < np.std(new) < 0.02 and not begun.params[1]["bias"].any()
  for before, after in zip(
    jax.tree.leaves((ended.params[0], ended.optimizer[0])),
    jax.tree.leaves((begun.params[0], begun.optimizer[0])),
    strict=True,
  ):
    np.testing.assert_array_equal(before, after)


def test_all_parts_learn_and_metrics_are_finite(done):
  begun, ended = done[1][2:]
  for before, after in zip(
    jax.tree.leaves(begun.params), jax.tree.leaves(ended.params), strict=True
  ):
    assert np.abs(np.asarray(before - after)).max() > 0
  assert set(done[2]) == {"loss", "accuracy", "gradient_norm"}
  assert all(np.isfinite(value) for value in done[2].values())


def test_reports_follow_the_turns(done):
  reports = done[3]
  assert set(reports) == {"clusters_1", "clusters_2"}
  assert "previous" not in reports["clusters_1"]
  assert 0 <= reports["clusters_2"]["previous"]["nmi"] <= 1
  assert sum(reports["clusters_1"]["partitions"][0]["sizes"]) == 60


def test_labelled_images_alone_may_take_part():
  settings = config()
  stages = deepcluster.make_stages(settings, spec(), "train")
  _, clusters = stages[0].prepare.compute(view(None, {}))
  assert (clusters.assignments[30:] == -1).all()
  assert (clusters.assignments[:30] >= 0).all()


@pytest.mark.parametrize(
  ("images", "clusters", "message"),
  [
    ("all", 61, r"^embedding\.clusters: 61 .* 60 images .* 2 to 60$"),
    ("train", 31, r"^embedding\.clusters: 31 .* 30 labelled .* 2 to 30$"),
    # Asked for or not: 0 is 3 of the whole pool.
    ("train", 0, r"^embedding\.clusters: 3 .* 2 labelled images .* 2 to 2$"),
  ],
)
def test_more_clusters_than_images(images, clusters, message):
  """The advice holds for methods that take labelled images alone, too."""
  settings = config(clusters=clusters)
  stages = deepcluster.make_stages(settings, spec(), images)
  pool = view(None, {})
  if not clusters:
    pool = pool._replace(train=np.arange(2))
  with pytest.raises(UserError, match=message) as found:
    stages[0].prepare.compute(pool)
  assert "partition.images" not in str(found.value)


def test_number_of_clusters():
  assert deepcluster.num_clusters(config(), spec()) == 5
  automatic = config(clusters=0)
  for images_of_pool, k in ((30, 2), (60, 3), (50_000, 500)):
    some = spec()._replace(num_examples=images_of_pool)
    assert deepcluster.num_clusters(automatic, some) == k


def test_each_turn_needs_a_step():
  with pytest.raises(UserError, match=r"num_steps=1.*epochs=2"):
    deepcluster.make_stages(config(num_steps=1), spec(), "all")
