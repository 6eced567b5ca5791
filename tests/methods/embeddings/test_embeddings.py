"""The choice of an embedding, what it is fitted to, what it is kept under."""

import types

import jax
import numpy as np
import pytest

from metaaux import config as config_lib
from metaaux import stage as stage_lib
from metaaux.errors import UserError
from metaaux.methods import embeddings
from metaaux.methods.embeddings import acai, deepcluster, pca

SPEC = stage_lib.Spec((4, 4, 1), (1, 1), 40, False)


def config(name, **embedding):
  model = config_lib.base().model
  model.update(widths=(2,), kernels=(3,), lowering="native")
  options = {
    "name": name,
    "dim": 0,
    "whiten": False,
    "neighbours": 5,
    "width": 2,
    "latent": 2,
    "features": 6,
    "clusters": 3,
    "epochs": 2,
    "num_steps": 4,
    "batch_size": 8,
    "learning_rate": 0.0,
    **embedding,
  }
  return types.SimpleNamespace(
    model=model,
    sync_batch_norm=True,
    embedding=types.SimpleNamespace(**options),
  )


def view(previous=None, kept=None):
  images = np.random.default_rng(0).random((40, 4, 4, 1), np.float32)

  def cache(name, made_of, make):
    if kept is not None:
      kept.append((name, made_of))
    return make()

  return stage_lib.PoolView(
    seed=3,
    key=jax.random.key(0),
    previous=previous,
    images=images,
    train=np.arange(5, 30),
    primary=np.zeros(40, int),
    auxiliary=np.full(40, -1),
    map=lambda f: np.asarray(jax.jit(f)(previous, images)),
    cache=cache,
    report=lambda name, content: None,
  )


@pytest.mark.parametrize(
  ("name", "stages"),
  [
    ("pixels", []),
    ("pca", []),
    ("spectral", []),
    ("acai", ["embed"]),
    ("deepcluster", ["embed_1", "embed_2"]),
  ],
)
def test_stages(name, stages):
  found = embeddings.stages(config(name), SPEC, "all")
  assert [stage.name for stage in found] == stages


def test_an_unknown_name_is_named():
  with pytest.raises(UserError, match=r"'tsne'.*pixels, pca"):
    embeddings.stages(config("tsne"), SPEC, "all")


@pytest.mark.parametrize(
  ("name", "dim", "expected"),
  [("pixels", 0, 16), ("pca", 7, 7), ("pca", 0, 16), ("spectral", 4, 4)],
)
@pytest.mark.parametrize("images", ["all", "train"])
def test_vectors_of_what_is_not_trained(name, dim, expected, images):
  found = embeddings.compute(config(name, dim=dim), SPEC, view(), images)
  assert found.shape == (40, expected) and found.dtype == np.float32
  if images == "train":
    assert not found[:5].any() and not found[30:].any()
    assert found[5:30].any(axis=1).all()


def test_other_images_do_not_matter_for_the_labelled_ones():
  pool = view()
  changed = pool.images.copy()
  changed[30:] += 5
  settings = config("pca", dim=3)
  found = embeddings.compute(settings, SPEC, pool, "train")
  again = embeddings.compute(
    settings, SPEC, pool._replace(images=changed), "train"
  )
  np.testing.assert_array_equal(found, again)
  expected = pca.pca(pca.pixels(pool.images[5:30]), 3)
  np.testing.assert_array_equal(found[5:30], expected)


def test_vectors_are_kept_under_what_made_them():
  kept = []
  for changes in ({}, {"dim": 3}, {"whiten": True}, {"neighbours": 4}):
    embeddings.compute(config("pca", **changes), SPEC, view(kept=kept), "all")
  embeddings.compute(config("pca"), SPEC, view(kept=kept), "train")
  names, makers = zip(*kept, strict=True)
  assert set(names) == {"embedding-pca"}
  assert (
    makers[0] == makers[3]
  )  # neighbours are nothing to principal components
  assert len({str(made_of) for made_of in makers}) == 4


def test_acai_encodes_with_the_state_before():
  settings, kept = config("acai"), []
  networks = acai.make(settings, SPEC)
  params = networks.init(jax.random.key(1))
  pool = view(acai.AcaiState(params, None), kept)
  found = embeddings.compute(settings, SPEC, pool, "all")
  assert found.shape == (40, 2 * 2 * 2)
  np.testing.assert_allclose(
    found, networks.encode(params, pool.images), rtol=1e-5, atol=1e-6
  )
  other = networks.init(jax.random.key(2))
  embeddings.compute(
    settings, SPEC, view(acai.AcaiState(other, None), kept), "all"
  )
  assert kept[0][0] == "embedding-acai-seed3"
  assert kept[0][1] != kept[1][1]


def test_deepcluster_whitens_features():
  settings = config("deepcluster", dim=4)
  network = deepcluster.make(settings)
  pool = view()
  params, stats = network.init(jax.random.key(1), pool.images)
  state = deepcluster.ClusterState((params, {}), stats, ({}, {}), None)
  found = embeddings.compute(settings, SPEC, view(state), "all")
  assert found.shape == (40, 4)
  np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
