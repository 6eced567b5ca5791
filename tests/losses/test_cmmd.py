"""Class-conditional MMD: the known answers of the method's reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from metaaux import losses
from metaaux.losses._cmmd import cmmd

Y = np.array([0, 0, 1, 1, 1])
AUX = np.array([[2, 1], [0, 3], [4, 0], [3, 1], [5, 2]], np.float64)
TASK = np.array([[0, 0], [0, 2], [4, -2], [1, 0], [1, -1]], np.float64)


def toy(aux=AUX, y_aux=Y, task=TASK, y=Y, classes=2, *args, **options):
  return cmmd(
    jnp.asarray(aux),
    jnp.asarray(y_aux),
    jnp.asarray(task),
    jnp.asarray(y),
    classes,
    *args,
    **options,
  )


def test_it_is_where_it_was_promised():
  assert losses.cmmd is cmmd


def test_linear(x64):
  """K1: 2 + 8; not 5 (mean over classes), 5.12 (marginal) or 40."""
  np.testing.assert_allclose(toy(), 10, rtol=1e-12)


def test_gradient(x64):
  """K2."""
  grads = jax.jit(jax.grad(lambda z: toy(task=z)))(TASK)
  wanted = [[-1, -1]] * 2 + [[-4 / 3, -4 / 3]] * 3
  np.testing.assert_allclose(grads, wanted, rtol=1e-12)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_identical_features(kernel, x64):
  """K3."""
  found, grads = jax.jit(
    jax.value_and_grad(lambda z: cmmd(jnp.asarray(AUX), Y, z, Y, 2, kernel))
  )(AUX)
  np.testing.assert_allclose(found, 0, atol=1e-12)
  np.testing.assert_allclose(grads, 0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "value"), [("linear", 10), ("rbf", None)])
def test_order_of_rows(kernel, value, x64):
  """K4."""
  rng = np.random.default_rng(0)
  p, q = rng.permutation(5), rng.permutation(5)
  found = toy(AUX[p], Y[p], TASK[q], Y[q], 2, kernel)
  wanted = toy(AUX, Y, TASK, Y, 2, kernel) if value is None else value
  np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_classes_of_one_side_alone(x64):
  """K5: 10; without the mask of presence it would be 20,108."""
  aux, y_aux = np.vstack([AUX, [[100, -100]]]), np.append(Y, 2)
  task = np.array([[0, 1], [3, -2], [1, 0], [7, 7]], np.float64)
  y = np.array([0, 1, 1, 3])
  np.testing.assert_allclose(toy(aux, y_aux, task, y, 4), 10, rtol=1e-12)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_absent_classes(kernel, x64):
  """K6."""
  many = toy(AUX, Y, TASK, Y, 50, kernel)
  np.testing.assert_allclose(many, toy(AUX, Y, TASK, Y, 2, kernel), rtol=1e-12)
  found, grads = jax.jit(
    jax.value_and_grad(lambda z: cmmd(jnp.asarray(AUX), Y, z, Y + 2, 4, kernel))
  )(TASK)
  assert found == 0 and (np.asarray(grads) == 0).all()


def test_rbf_of_single_examples(x64):
  """K7."""
  a, b = np.array([[1.0, 1], [2, 2]]), np.zeros((2, 2))
  y = np.array([0, 1])
  wanted = 2 * (1 - np.exp(-1)) + 2 * (1 - np.exp(-4))
  found = toy(a, y, b, y, 2, "rbf", bandwidth=2.0)
  np.testing.assert_allclose(found, wanted, rtol=1e-12)
  np.testing.assert_allclose(toy(a, y, b, y, 2), 10, rtol=1e-12)


@pytest.mark.parametrize(
  ("bandwidth", "value"),
  [(2.0, 1.5495313), (8.0, 1.1400242), (10.0, 1.0327967), (None, 1.0327967)],
)
def test_rbf_of_the_toy(bandwidth, value, x64):
  """K8; the median of the squared distances is 10."""
  found = toy(AUX, Y, TASK, Y, 2, "rbf", bandwidth=bandwidth)
  np.testing.assert_allclose(found, value, rtol=1e-6)


def test_wide_rbf_is_linear(x64):
  found = toy(AUX, Y, TASK, Y, 2, "rbf", bandwidth=2e8)
  np.testing.assert_allclose(1e8 * found, 10, rtol=1e-6)


def test_closed_form_of_affine_layers(x64):
  """K9: sum_q |(K_aux - K_j)^T mean o_q + b_aux - b_j|^2."""
  rng = np.random.default_rng(1)
  o, y = rng.normal(size=(12, 4)), rng.integers(0, 3, 12)
  (k_a, k_j), (b_a, b_j) = rng.normal(size=(2, 4, 5)), rng.normal(size=(2, 5))
  wanted = sum(
    (((k_a - k_j).T @ o[y == q].mean(0) + b_a - b_j) ** 2).sum()
    for q in range(3)
  )
  found = toy(o @ k_a + b_a, y, o @ k_j + b_j, y, 3)
  np.testing.assert_allclose(found, wanted, rtol=1e-10)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_gradient_against_finite_differences(kernel, x64):
  rng = np.random.default_rng(2)
  a, z, d = rng.normal(size=(3, 9, 4))
  y = rng.integers(0, 3, 9)

  @jax.jit
  def value(z):
    return cmmd(jnp.asarray(a), y, z, y, 3, kernel, bandwidth=3.0)

  slope = np.vdot(jax.jit(jax.grad(value))(z), d)
  step = 1e-5
  wanted = (value(z + step * d) - value(z - step * d)) / (2 * step)
  np.testing.assert_allclose(slope, wanted, rtol=1e-6)


def test_duplicates_leave_a_bandwidth():
  """N12: 16 of 20 rows are zero, and so is the median of all distances."""
  x = np.zeros((20, 3), np.float32)
  x[:4] = np.random.default_rng(0).normal(size=(4, 3))
  y = np.arange(20) % 2
  slope = jax.jit(
    jax.value_and_grad(lambda z, rows: cmmd(rows, y, z, y, 2, "rbf"))
  )
  for rows in (x, np.zeros_like(x)):
    found, grads = slope(rows[::-1], rows)
    assert np.isfinite(found) and np.isfinite(grads).all()


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_class_means_are_of_all_devices(kernel, x64):
  rng = np.random.default_rng(3)
  x, y = rng.normal(size=(16, 4)), rng.integers(0, 3, 16)
  w = jnp.asarray(rng.normal(size=(4, 5)))
  aux = jnp.asarray(rng.normal(size=(16, 5)))

  def loss(w, x, y, aux, axis_name=None):
    return cmmd(aux, y, jnp.tanh(x @ w), y, 3, kernel, axis_name=axis_name)

  def mapped(w, x, y, aux):
    value, grads = jax.value_and_grad(loss)(w, x, y, aux, "d")
    return jax.lax.pmean((value, grads), "d")

  mesh = Mesh(np.array(jax.devices()[:4]), ("d",))
  specs = P(), P("d"), P("d"), P("d")
  sharded = jax.jit(
    jax.shard_map(
      mapped, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=False
    )
  )
  arguments = w, jnp.asarray(x), jnp.asarray(y), aux
  one = jax.jit(jax.value_and_grad(loss))(*arguments)
  for found, wanted in zip(sharded(*arguments), one, strict=True):
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"y": np.zeros(4, int)}, r"labels_b .*expected integers \[5\]"),
    ({"y_aux": np.zeros(5)}, "labels_a are float"),
    ({"task": TASK[:, :1]}, "2 and of 1 dimensions"),
    ({"aux": AUX[0]}, r"expected floats \[n, d\]"),
    ({"kernel": "poly"}, "kernel='poly'; known: linear, rbf"),
  ],
)
def test_wrong_arguments(changes, match):
  with pytest.raises(ValueError, match=match):
    toy(**changes)
