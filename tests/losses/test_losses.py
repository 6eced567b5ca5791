"""Losses and masks against known answers; numerical traps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux import losses

PSI = (2, 2, 1)


def ln(*probs):
  return jnp.log(jnp.array([probs]))


# Focal loss and cross-entropy.


@pytest.mark.parametrize(
  ("logits", "table"),
  [
    ([0.0, 0.0], [0.25 * np.log(2)] * 2),
    ([1.0, 2.0, 3.0], [1.9936045, 0.8029478, 0.0456778]),
  ],
)
def test_focal_table(logits, table, x64):
  got = losses.focal_table(jnp.array([logits]))
  np.testing.assert_allclose(got, [table], atol=6e-8)
  for label in range(len(logits)):
    got = losses.focal_loss(jnp.array([logits]), jnp.array([label]))
    np.testing.assert_allclose(got, [table[label]], atol=6e-8)


def test_focal_loss_of_soft_labels(x64):
  got = losses.focal_loss(ln(0.2, 0.3, 0.5), jnp.array([[0.5, 0.5, 0.0]]))
  np.testing.assert_allclose(got, [0.8099935], atol=6e-8)


@pytest.mark.parametrize(
  ("gamma", "best", "lowest"), [(2.0, 0.57848, 0.1548042), (0.0, 0.7, None)]
)
def test_best_answer_to_soft_labels(gamma, best, lowest, x64):
  q = jnp.linspace(0.001, 0.999, 99801)
  logits = jnp.log(jnp.stack([q, 1 - q], axis=-1))
  labels = jnp.broadcast_to(jnp.array([0.7, 0.3]), logits.shape)
  loss = losses.focal_loss(logits, labels, gamma)
  np.testing.assert_allclose(q[jnp.argmin(loss)], best, atol=1.1e-5)
  if lowest is not None:
    np.testing.assert_allclose(jnp.min(loss), lowest, atol=6e-8)
    there = losses.focal_loss(ln(0.7, 0.3), labels[:1])
    np.testing.assert_allclose(there, [0.1994545], atol=6e-8)


def test_gamma_zero_is_cross_entropy():
  logits = jnp.array([[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]])
  labels = jnp.array([2, 1])
  logp = logits - jnp.log(jnp.sum(jnp.exp(logits), axis=-1, keepdims=True))
  want = -logp[jnp.arange(2), labels]
  soft = jax.nn.one_hot(labels, 3)
  for got in (
    losses.softmax_cross_entropy(logits, labels),
    losses.softmax_cross_entropy(logits, soft),
    losses.focal_loss(logits, labels, gamma=0),
  ):
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("gamma", [0, 0.0, 0.5, 1, 1.5, 2.0, 3, 3.7])
@pytest.mark.parametrize("gap", [0.0, 5.0, 17.5, 90.0, 1e4, -1e4])
def test_derivatives_are_finite_where_a_probability_is_one(gamma, gap):
  def loss(logits):
    return losses.focal_loss(logits[None], jnp.array([0]), gamma)[0]

  def everything(logits):
    return loss(logits), jax.grad(loss)(logits), jax.hessian(loss)(logits)

  derivatives = jax.jit(everything)(jnp.array([gap, 0.0, 0.0]))
  for x in derivatives:
    assert np.all(np.isfinite(x))
  if gap == -1e4:
    np.testing.assert_allclose(derivatives[0], 1e4, rtol=1e-3)
    np.testing.assert_allclose(derivatives[1], [-1, 0.5, 0.5], rtol=1e-3)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 1.5, 2.0, 3.7])
def test_derivatives_equal_those_of_the_formula(gamma, x64):
  def formula(logits):
    logp = jax.nn.log_softmax(logits)[0]
    return -((1 - jnp.exp(logp)) ** gamma) * logp

  def loss(logits):
    return losses.focal_loss(logits[None], jnp.array([0]), gamma)[0]

  logits = jnp.array([0.3, -1.0, 0.5])
  for derivative in (jax.grad, jax.hessian):
    got, want = jax.jit(lambda z, d=derivative: (d(loss)(z), d(formula)(z)))(
      logits
    )
    np.testing.assert_allclose(got, want, rtol=1e-11)


@pytest.mark.parametrize("gap", [5.0, 8.0, 9.0, 12.0, 20.0])
def test_digits_of_a_small_loss(gap):
  """1 - p, of the loss -log p = x, has as many digits as x near p = 1."""
  logits, label = jnp.array([[gap, 0.0]]), jnp.array([0])
  x = np.float64(losses.softmax_cross_entropy(logits, label))
  got = losses.focal_loss(logits, label)
  np.testing.assert_allclose(got, np.expm1(-x) ** 2 * x, rtol=1e-5)


def test_label_outside_the_classes_is_nan():
  got = losses.focal_loss(jnp.zeros((3, 2)), jnp.array([1, 2, -1]))
  np.testing.assert_array_equal(np.isnan(got), [False, True, True])


def test_under_vmap():
  logits = jnp.arange(24.0).reshape(2, 4, 3) % 5
  labels = jnp.arange(8).reshape(2, 4) % 3
  got = jax.jit(jax.vmap(losses.focal_loss))(logits, labels)
  for i in range(2):
    want = losses.focal_loss(logits[i], labels[i])
    np.testing.assert_allclose(got[i], want, rtol=1e-6)


@pytest.mark.parametrize(
  ("given", "widened"),
  [("float16", "float32"), ("bfloat16", "float32"), ("float64", "float64")],
)
def test_half_precision_is_widened_and_double_is_kept(given, widened, x64):
  logits = jnp.array([[1.0, 2.0]], dtype=given)
  mask = jnp.array([[True, True]])
  for x in (
    losses.focal_loss(logits, jnp.array([0])),
    losses.masked_softmax(logits, mask),
    losses.negative_entropy(logits),
  ):
    assert x.dtype == jnp.dtype(widened)


LOGITS = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize(
  ("logits", "labels", "gamma", "message"),
  [
    (LOGITS[0], np.zeros(3, int), 2.0, r"logits are float32\[3\]"),
    (LOGITS.astype(int), np.zeros(4, int), 2.0, r"logits are int.*\[4, 3\]"),
    (LOGITS, np.zeros(3, int), 2.0, r"labels are int.*\[3\].*float32\[4, 3\]"),
    (LOGITS, np.zeros((4, 3), int), 2.0, r"labels are int.*\[4, 3\]"),
    (LOGITS, np.zeros((4, 2), np.float32), 2.0, r"labels are float32\[4, 2\]"),
    (LOGITS, np.zeros(4, np.float32), 2.0, r"labels are float32\[4\]"),
    (LOGITS, np.zeros((4, 3), bool), 2.0, r"labels are bool\[4, 3\]"),
    (LOGITS, np.zeros(4, int), -1.0, "gamma=-1.0"),
    (LOGITS, np.zeros(4, int), float("nan"), "gamma=nan"),
    (LOGITS, np.zeros(4, int), jnp.array(2.0), "gamma=Array"),
  ],
)
def test_wrong_arguments_of_focal_loss(logits, labels, gamma, message):
  with pytest.raises(ValueError, match=message):
    losses.focal_loss(logits, labels, gamma)


# Masks.


@pytest.mark.parametrize(
  ("label", "row"),
  [
    (0, [0.2689414, 0.7310586, 0, 0, 0]),
    (1, [0, 0, 0.2689414, 0.7310586, 0]),
    (2, [0, 0, 0, 0, 1]),
  ],
)
def test_masked_softmax(label, row, x64):
  logits = jnp.array([[1.0, 2.0, 3.0, 4.0, 5.0]])
  mask = losses.class_mask(jnp.array([label]), PSI)
  got = losses.masked_softmax(logits, mask)
  np.testing.assert_allclose(got, [row], atol=6e-8)
  np.testing.assert_array_equal(got[~mask], 0)
  jacobian = jax.jacobian(losses.masked_softmax)(logits, mask)[0, :, 0]
  outside = np.asarray(row) == 0
  np.testing.assert_array_equal(jacobian[outside], 0)
  np.testing.assert_array_equal(jacobian[:, outside], 0)
  inside = np.asarray(row)[~outside]
  want = np.diag(inside) - np.outer(inside, inside)
  np.testing.assert_allclose(
    jacobian[np.ix_(~outside, ~outside)], want, atol=1e-7
  )


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_masked_softmax_of_huge_logits(scale):
  logits = scale * jnp.array([[1.0, 0.0, -1.0, 3.0, 5.0]])
  mask = losses.class_mask(jnp.array([0]), PSI)
  value, pullback = jax.vjp(lambda x: losses.masked_softmax(x, mask), logits)
  np.testing.assert_array_equal(
    value, [[1, 0, 0, 0, 0] if scale > 0 else [0, 1, 0, 0, 0]]
  )
  assert np.all(np.isfinite(pullback(jnp.ones((1, 5)))[0]))


@pytest.mark.parametrize("low", [-1e3, -1e5, -1e20])
def test_masked_softmax_of_low_logits(low):
  """However low logits are, what the mask forbids gets nothing of the sum."""
  logits = jnp.array([[low, low, 0.0, 3.0, low]])
  mask = losses.class_mask(jnp.array([0]), PSI)
  got = losses.masked_softmax(logits, mask)
  np.testing.assert_allclose(got, [[0.5, 0.5, 0, 0, 0]])


def test_masked_softmax_of_an_empty_row_is_zero():
  mask = losses.class_mask(jnp.array([-1, 3]), PSI)
  assert not np.any(mask)
  got = losses.masked_softmax(jnp.ones((2, 5)), mask)
  np.testing.assert_array_equal(got, 0)


def test_class_mask():
  got = jax.jit(lambda y: losses.class_mask(y, PSI))(jnp.array([2, 0, 1]))
  assert got.dtype == bool
  np.testing.assert_array_equal(
    got, [[0, 0, 0, 0, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0]]
  )


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (
      lambda: losses.masked_softmax(LOGITS, np.zeros((4, 2), bool)),
      r"mask is bool\[4, 2\], logits are float32\[4, 3\]",
    ),
    (lambda: losses.masked_softmax(LOGITS, LOGITS), r"mask is float32\[4, 3\]"),
    (lambda: losses.class_mask(LOGITS[:, 0], PSI), r"labels are float32\[4\]"),
    (lambda: losses.class_mask(np.zeros((4, 1), int), PSI), r"\[4, 1\]"),
    (lambda: losses.class_mask(np.zeros(4, int), (2, 0)), r"psi=\(2, 0\)"),
    (lambda: losses.class_mask(np.zeros(4, int), ()), r"psi=\(\)"),
    (lambda: losses.class_mask(np.zeros(4, int), (1.5,)), r"psi=\(1.5,\)"),
    (lambda: losses.marginal_entropy(np.ones(3, np.float32)), r"\[3\]"),
    (lambda: losses.sample_entropy(np.ones((2, 3), int)), r"int.*\[2, 3\]"),
  ],
)
def test_wrong_masks_and_distributions(call, message):
  with pytest.raises(ValueError, match=message):
    call()
