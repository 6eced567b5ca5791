"""k-means over four devices, under jit and vmap, and in several scalings."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from kmeans_cases import ANY, mixture

from metaaux.kmeans import KMeansResult, kmeans, minibatch_kmeans

SCALE = np.random.default_rng(1).random((3, 4))
X = mixture(n=200)
# Two clusters are empty at first.
INIT = np.concatenate([X[:4], X[4:6] + 500])


def on_pmap(f, x, many):
  del many
  parts = x.reshape(4, -1, x.shape[1])
  got = jax.pmap(f, axis_name="devices")(parts)
  labels = np.concatenate(np.asarray(got.assignments), axis=-1)
  return jax.tree.map(lambda leaf: leaf[3], got)._replace(assignments=labels)


def on_shard_map(f, x, many):
  rows = P(None, "devices") if many else P("devices")
  return jax.jit(
    jax.shard_map(
      f,
      mesh=Mesh(np.array(jax.devices()), ("devices",)),
      in_specs=P("devices"),
      out_specs=KMeansResult(P(), rows, P(), P()),
    )
  )(x)


# The second has nothing that the others do not have.
@pytest.mark.parametrize(
  ("on_four", "options"),
  [
    (on_shard_map, dict(init=INIT)),
    pytest.param(on_pmap, dict(init=INIT, scale=SCALE), marks=pytest.mark.long),
    (on_shard_map, dict(init="kmeans++", scale=SCALE)),
    (on_pmap, dict(init="random", restarts=3, scale=SCALE[0])),
  ],
)
def test_four_devices_are_one(on_four, options, x64):
  def run(x, axis_name=None):
    options_ = dict(options, axis_name=axis_name, num_iters=4, chunk=16)
    return kmeans(jax.random.key(4), x, len(INIT), **options_)

  want = run(X)
  many = np.ndim(options.get("scale")) == 2
  got = on_four(functools.partial(run, axis_name="devices"), X, many)
  np.testing.assert_array_equal(got.assignments, want.assignments)
  np.testing.assert_array_equal(got.num_iters, want.num_iters)
  np.testing.assert_allclose(got.centroids, want.centroids, rtol=1e-9)
  np.testing.assert_allclose(got.inertia, want.inertia, rtol=1e-9)


def test_more_clusters_than_rows_of_a_device(x64):
  x = mixture(n=12)
  init = np.concatenate([x[:2], x[:6] + 100])

  def run(x):
    return kmeans(ANY, x, 8, init=init, axis_name="devices", num_iters=1)

  want = kmeans(ANY, x, 8, init=init, num_iters=1)
  got = on_shard_map(run, x, many=False)
  np.testing.assert_array_equal(got.assignments, want.assignments)
  assert len(set(got.assignments.tolist())) == 8


def test_mini_batches_on_four_devices():
  def run(x):
    key = jax.random.key(5)
    return minibatch_kmeans(
      key, x, 5, axis_name="devices", batch_size=10, num_steps=20
    )

  want = kmeans(jax.random.key(6), X, 5)
  got = on_shard_map(run, X.astype(np.float32), many=False)
  assert 0.9 * want.inertia < got.inertia < 1.5 * want.inertia


def test_scalings_are_single_runs(x64):
  many = kmeans(jax.random.key(7), X, 5, scale=SCALE, restarts=2)
  for t in range(3):
    key, same_key = (jax.random.split(jax.random.key(7), 3)[t] for _ in "12")
    one = kmeans(key, X, 5, scale=SCALE[t], restarts=2)
    scaled = kmeans(same_key, X * SCALE[t], 5, restarts=2)
    for alone in (one, scaled):
      np.testing.assert_array_equal(many.assignments[t], alone.assignments)
      np.testing.assert_allclose(many.inertia[t], alone.inertia, rtol=1e-9)
      np.testing.assert_array_equal(many.num_iters[t], alone.num_iters)
    np.testing.assert_allclose(one.centroids, many.centroids[t], rtol=1e-9)
    back = np.asarray(scaled.centroids) / SCALE[t]
    np.testing.assert_allclose(back, many.centroids[t], rtol=1e-9)


def test_scale_of_ones_is_no_scale():
  want = kmeans(jax.random.key(7), X, 5)
  got = kmeans(jax.random.key(7), X, 5, scale=np.ones(4))
  chex.assert_trees_all_equal(got, want)


def test_half_of_the_columns(x64):
  half = np.array([1.0, 0.0, 0.0, 1.0])
  got = kmeans(ANY, X, 4, init=X[:4], scale=half)
  want = kmeans(ANY, X[:, [0, 3]], 4, init=X[:4, [0, 3]])
  np.testing.assert_array_equal(got.assignments, want.assignments)
  np.testing.assert_allclose(got.inertia, want.inertia, rtol=1e-12)
  # Centroids are means in the other columns too.
  for j in range(4):
    mean_D = X[got.assignments == j].mean(0)
    np.testing.assert_allclose(got.centroids[j], mean_D, rtol=1e-3)


def test_a_scale_of_nothing():
  got = kmeans(ANY, X, 4, init=X[:4], scale=np.zeros(4))
  assert set(got.assignments.tolist()) == {0} and float(got.inertia) == 0


def test_initial_centroids_of_each_scaling():
  inits = np.stack([X[:4], X[4:8], X[8:12]])
  many = kmeans(ANY, X, 4, scale=SCALE, init=inits)
  for t in range(3):
    one = kmeans(ANY, X, 4, scale=SCALE[t], init=inits[t])
    np.testing.assert_array_equal(many.assignments[t], one.assignments)


def test_under_jit_and_vmap(x64):
  xs = np.stack([X, X[::-1] * 1.5, mixture(seed=2)])

  def run(key, x):
    return kmeans(key, x, 6, num_iters=4)

  keys = jax.random.split(jax.random.key(8), 3)
  got = jax.jit(jax.vmap(run))(keys, xs)
  for i in range(3):
    want = run(jax.random.split(jax.random.key(8), 3)[i], xs[i])
    np.testing.assert_array_equal(got.assignments[i], want.assignments)
    np.testing.assert_allclose(got.inertia[i], want.inertia, atol=1e-12)


def test_limits_may_be_traced():
  run = jax.jit(
    lambda i, tol: kmeans(ANY, X, 4, init=X[:4], num_iters=i, tol=tol)
  )
  assert [int(run(jnp.int32(i), 0.0).num_iters) for i in (0, 2)] == [0, 2]
  assert int(run(jnp.int32(50), 1e9).num_iters) == 1
