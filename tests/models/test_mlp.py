"""Dense networks of vectors: known outputs, forms, dropout, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux import models
from metaaux.errors import UserError
from metaaux.models import mlp

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 6)).astype(np.float32)


def make(**changes):
  options = {"name": "mlp", "widths": (4, 3), **changes}
  return models.make(models.ModelOptions(**options), {"primary": 2, "other": 3})


def weights(params, name):
  return np.asarray(params[name]["kernel"]), np.asarray(params[name]["bias"])


def dense(x, params, *names):
  for name in names:
    params = params[name]
  return x @ np.asarray(params["kernel"]) + np.asarray(params["bias"])


def shifted(params):
  """Biases other than zero, so that a lost one is seen."""
  return jax.tree.map(
    lambda x: x + 0.1 * jnp.arange(x.size).reshape(x.shape), params
  )


def test_two_layers_and_their_heads():
  network = make()
  params, stats = network.init(jax.random.key(0), X)
  params = shifted(params)
  found, _ = network.apply(params, stats, X, train=False)
  x = np.maximum(dense(X, params, "hidden_1"), 0)
  x = np.maximum(dense(x, params, "hidden_2"), 0)
  for head in ("primary", "other"):
    expected = dense(x, params, f"head_{head}", "Dense_0")
    np.testing.assert_allclose(found[head], expected, rtol=1e-5)
  assert not stats


def test_linear_adapter():
  network = make(form="linear", widths=(4,))
  params, _ = network.init(jax.random.key(0), X)
  params = shifted(params)
  found, _ = network.apply(params, {}, X, train=False)
  expected = dense(
    dense(X, params, "hidden_1"), params, "head_other", "Dense_0"
  )
  np.testing.assert_allclose(found["other"], expected, rtol=1e-5)


def test_residual_adapter():
  network = make(form="residual", widths=(4,), input_norm=2.0)
  params, _ = network.init(jax.random.key(0), X)
  params = shifted(params)
  found, _ = network.apply(params, {}, X, train=False)
  x = 2 * X / np.linalg.norm(X, axis=1, keepdims=True)
  hidden = np.maximum(dense(x, params, "hidden_1"), 0)
  x = x + dense(hidden, params, "adapter")
  expected = dense(x, params, "head_primary", "Dense_0")
  np.testing.assert_allclose(found["primary"], expected, rtol=1e-5)


def test_layer_norm_and_lengths():
  network = make(layer_norm=True, widths=(8,), output_norm=16.0)
  params, _ = network.init(jax.random.key(0), X)
  found, _ = network.apply(params, {}, X, train=False)
  x = dense(X, params, "hidden_1")
  x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
  x = np.maximum(x, 0)
  x = 16 * x / np.linalg.norm(x, axis=1, keepdims=True)
  expected = dense(x, params, "head_primary", "Dense_0")
  np.testing.assert_allclose(found["primary"], expected, rtol=1e-4, atol=1e-5)


def test_a_row_of_zeros_has_no_length_and_a_finite_gradient():
  def total(x):
    return jnp.sum(mlp.scaled_rows(x, 3.0) @ jnp.array([1.0, 2.0]))

  x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
  np.testing.assert_allclose(
    mlp.scaled_rows(x, 3.0), [[0, 0], [1.8, 2.4]], rtol=1e-6
  )
  gradient = jax.grad(total)(x)
  assert np.isfinite(gradient).all()
  # At right angles to the row, of 3 / 5 the size.
  np.testing.assert_allclose(jnp.vdot(gradient[1], x[1]), 0, atol=1e-6)


def test_heads_start_as_small_as_they_are_told():
  network = make(widths=(400,), head_deviation=0.01)
  params, _ = network.init(jax.random.key(0), X)
  plain, _ = make(widths=(400,)).init(jax.random.key(0), X)
  for head in ("head_primary", "head_other"):
    kernel = np.asarray(params[head]["Dense_0"]["kernel"])
    np.testing.assert_allclose(kernel.std(), 0.01, rtol=0.1)
  np.testing.assert_array_equal(
    params["hidden_1"]["kernel"], plain["hidden_1"]["kernel"]
  )


def ones():
  """A linear network whose first logit is the mean of what reaches it."""
  params, _ = make(form="linear", widths=(1000,)).init(
    jax.random.key(0), np.ones((1, 2000), np.float32)
  )
  params = jax.tree.map(jnp.zeros_like, params)
  params["hidden_1"]["kernel"] = jnp.full((2000, 1000), 1 / 2000)
  params["head_primary"]["Dense_0"]["kernel"] = jnp.full((1000, 2), 1 / 1000)
  return params


@pytest.mark.parametrize(
  ("rates", "deviation"),
  [
    # Of a mean of n values that are 0 or 1 / (1 - rate).
    ({"input_dropout": 0.25}, (0.25 / 0.75 / 2000) ** 0.5),
    ({"dropout": 0.5}, (0.5 / 0.5 / 1000) ** 0.5),
  ],
)
def test_dropout_of_the_input_and_of_the_layers(rates, deviation):
  network, params = make(form="linear", widths=(1000,), **rates), ones()
  x = np.ones((200, 2000), np.float32)
  keys = jax.random.split(jax.random.key(0), 200)
  found, _ = network.apply(params, {}, x, train=True, key=keys)
  values = np.asarray(found["primary"][:, 0])
  assert abs(values.mean() - 1) < 4 * deviation / 200**0.5
  np.testing.assert_allclose(values.std(), deviation, rtol=0.3)
  still, _ = network.apply(params, {}, x[:1], train=True)
  np.testing.assert_allclose(still["primary"], 1, rtol=1e-4)


def test_images_are_flattened():
  network = make()
  images = X.reshape(5, 2, 3, 1)
  params, _ = network.init(jax.random.key(0), X)
  one, _ = network.apply(params, {}, X, train=False)
  other, _ = network.apply(params, {}, images, train=False)
  np.testing.assert_array_equal(one["primary"], other["primary"])


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"form": "round"}, "model.form is 'round'; use one of relu, linear"),
    ({"block_dropout": 0.5}, "no blocks.* model.block_dropout=0.5"),
    ({"input_dropout": 1.0}, r"model.input_dropout is 1.0; use a rate in"),
  ],
)
def test_what_makes_no_network_is_refused(changes, message):
  with pytest.raises(UserError, match=message):
    make(**changes)
