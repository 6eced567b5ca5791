"""What k-means and its mini-batches refuse, and what they say."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux.kmeans import kmeans, minibatch_kmeans

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def with_bad(value):
  x = X.copy()
  x[4, 1] = value
  return x


BAD = [
  (dict(x=X[0]), r"x is float32\[3\], expected floats \[n, d\]"),
  (dict(x=X[None]), r"x is float32\[1, 6, 3\]"),
  (dict(x=np.zeros((6, 3), np.int32)), r"x is int32\[6, 3\], expected floats"),
  (dict(x=X[:, :0]), "no columns"),
  (dict(k=7), "k=7 clusters of 6 rows; give k <= 6"),
  (dict(x=X[:0], k=1), "k=1 clusters of 0 rows"),
  (dict(k=0), "k=0 is not an integer >= 1"),
  (dict(k=2.0), "k=2.0 is not an integer"),
  (dict(k=True), "k=True is not an integer"),
  (dict(x=with_bad(np.nan)), r"x has 1 .* first at \[4, 1\]: nan"),
  (dict(x=with_bad(-np.inf)), r"x has 1 .* first at \[4, 1\]: -inf"),
  (
    dict(scale=np.ones(2)),
    r"scale is float32\[2\], expected \[3\] or \[T, 3\]",
  ),
  (dict(scale=np.ones((0, 3))), r"scale is float32\[0, 3\]"),
  (dict(scale=2.0), r"scale is float32\[\]"),
  (dict(scale=with_bad(np.inf)), r"scale has 1 .* first at \[4, 1\]: inf"),
  (
    dict(init="k++"),
    "init='k\\+\\+' is unknown; give one of kmeans\\+\\+, ran",
  ),
  (dict(init=X[:3]), r"init is float32\[3, 3\], expected centroids \[2, 3\]"),
  (dict(init=X.reshape(3, 2, 3)), r"init is float32\[3, 2, 3\]"),
  (dict(init=with_bad(np.nan)[3:5]), "init has 1"),
  (dict(chunk=0), "chunk=0 is not an integer >= 1"),
]
FULL = [
  (dict(num_iters=-1), "num_iters=-1 is not an integer >= 0"),
  (dict(num_iters=1.5), "num_iters=1.5"),
  (dict(tol=-0.1), "tol=-0.1 is not a finite number >= 0"),
  (dict(tol=np.nan), "tol=nan"),
  (dict(restarts=0), "restarts=0"),
  (dict(restarts=2, init=X[:2]), "restarts=2 with given centroids"),
]
MINI = [
  (dict(num_steps=-1), "num_steps=-1"),
  (dict(batch_size=0), "batch_size=0"),
  (dict(patience=0), "patience=0"),
]


def call(function, changes):
  options = dict(x=X, k=2) | changes
  x, k = options.pop("x"), options.pop("k")
  return function(jax.random.key(0), x, k, **options)


@pytest.mark.parametrize(("changes", "message"), BAD + FULL)
def test_errors(changes, message):
  with pytest.raises(ValueError, match=message):
    call(kmeans, changes)


@pytest.mark.parametrize(("changes", "message"), BAD + MINI)
def test_errors_of_mini_batches(changes, message):
  with pytest.raises(ValueError, match=message):
    call(minibatch_kmeans, changes)


def test_shapes_are_checked_under_jit_and_values_are_not():
  run = jax.jit(functools.partial(kmeans, k=2, num_iters=2))
  with pytest.raises(ValueError, match="expected floats"):
    run(jax.random.key(0), jnp.zeros(3))
  got = run(jax.random.key(0), with_bad(np.nan))
  assert not np.isfinite(got.inertia)
