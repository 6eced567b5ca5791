"""What holds of k-means for all rows, shown on random ones."""

import itertools

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from kmeans_cases import ANY, by_hand

from metaaux.kmeans import kmeans

# Of fixed shapes, so that each property compiles once.
N, D, K = 24, 3, 6
quick = settings(
  max_examples=15, deadline=None, database=None, derandomize=True
)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def problems(draw):
  """Rows and centroids: clouds, lattices with ties and duplicates, outliers."""
  rng = np.random.default_rng(draw(seeds))
  x = rng.normal(size=(N, D))
  kind = draw(st.sampled_from(["cloud", "lattice", "outlier", "constant"]))
  if kind == "lattice":
    x = np.round(x)
  if kind == "outlier":
    x[rng.integers(N)] *= 1e3
  if kind == "constant":
    x[:, 0] = 0.3
  init = x[rng.choice(N, K, replace=False)]
  # Empty at first, some of them.
  empty = draw(st.integers(0, K - 1))
  init[:empty] += 1e4 * rng.normal(size=(empty, D))
  scale = draw(st.sampled_from([np.ones(D), np.array([0.1, 1, 0])]))
  return x, init, scale


def run(problem, **options):
  x, init, scale = problem
  with jax.enable_x64(True):
    got = kmeans(ANY, x, K, init=init, scale=scale, tol=0, **options)
    return jax.tree.map(np.asarray, got)


@given(problems())
@quick
def test_inertia_never_rises(problem):
  values = [run(problem, num_iters=i).inertia for i in range(6)]
  for before, after in itertools.pairwise(values):
    assert after <= before * (1 + 1e-9) + 1e-20


@given(problems())
@quick
def test_result_agrees_with_itself(problem):
  x, _, scale = problem
  got = run(problem, num_iters=8)
  far, _ = by_hand(x, got.centroids, scale)
  own = far[np.arange(N), got.assignments]
  np.testing.assert_allclose(own, far.min(1), rtol=1e-6, atol=1e-9)
  np.testing.assert_allclose(got.inertia, own.sum(), rtol=1e-9, atol=1e-20)
  assert np.all(np.isfinite(got.centroids))


@given(problems())
@quick
def test_no_cluster_is_empty_while_rows_are_at_a_distance(problem):
  got = run(problem, num_iters=50)
  sizes = np.bincount(got.assignments, minlength=K)
  assert np.all(sizes > 0) or got.inertia < 1e-9


@given(problems(), seeds)
@quick
def test_order_of_rows_does_not_matter(problem, seed):
  x, init, scale = problem
  x = x + np.random.default_rng(seed).normal(size=x.shape) * 1e-3  # no ties
  order = np.random.default_rng(seed).permutation(N)
  want = run((x, init, scale), num_iters=5)
  got = run((x[order], init, scale), num_iters=5)
  np.testing.assert_array_equal(got.assignments, want.assignments[order])
  np.testing.assert_allclose(got.inertia, want.inertia, rtol=1e-9)


# Powers of two, so that ties stay ties.
@given(problems(), st.sampled_from([0.125, 0.5, 4, 64]))
@quick
def test_scaling_all_columns_scales_inertia(problem, factor):
  x, init, scale = problem
  want = run((x, init, scale), num_iters=5)
  got = run((x, init, scale * factor), num_iters=5)
  np.testing.assert_array_equal(got.assignments, want.assignments)
  np.testing.assert_allclose(got.inertia, want.inertia * factor**2, atol=1e-20)


@given(seeds, st.sampled_from(["kmeans++", "random"]))
@quick
def test_first_centroids_are_different_rows(seed, init):
  x = np.random.default_rng(seed).normal(size=(N, D)).astype(np.float32)
  key = jax.random.key(seed % 1000)
  got = kmeans(key, x, N, init=init, num_iters=0)
  assert sorted(got.assignments.tolist()) == list(range(N))
  np.testing.assert_allclose(got.inertia, 0, atol=1e-6)


@given(seeds, st.integers(1, K - 1))
@quick
def test_duplicates(seed, distinct):
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(distinct, D))[rng.integers(distinct, size=N)]
  got = kmeans(jax.random.key(seed % 1000), x, K)
  used = len(set(got.assignments.tolist()))
  assert used == len(np.unique(x, axis=0))
  np.testing.assert_allclose(got.inertia, 0, atol=1e-8)
