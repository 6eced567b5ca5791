"""Pi-model, Mean Teacher, VAT and pseudo-labels: their losses by hand."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux import methods
from metaaux.methods.unlabelled import consistency, pseudo_label, vat
from metaaux.run import batches as batches_lib
from metaaux.run import opening


@functools.cache
def one_step(method):
  """Host states before and after it, and its metrics."""
  states, (row,), *_ = tiny.host_states(tiny.config(method=method), 1)
  return states, row


def test_squared_difference(x64):
  a = jnp.log(jnp.array([[0.5, 0.5], [0.9, 0.1]]))
  b = jnp.log(jnp.array([[0.5, 0.5], [0.4, 0.6]]))
  np.testing.assert_allclose(
    consistency.squared_difference(a, b), [0, 0.25], atol=1e-15
  )


def test_divergence(x64):
  a = jnp.log(jnp.array([[0.5, 0.5], [0.9, 0.1]]))
  b = jnp.log(jnp.array([[0.5, 0.5], [0.4, 0.6]]))
  wanted = 0.9 * np.log(0.9 / 0.4) + 0.1 * np.log(0.1 / 0.6)
  np.testing.assert_allclose(vat.divergence(a, b), [0, wanted], atol=1e-15)


def test_power_step_is_the_hessian_of_the_divergence(x64):
  rng = np.random.default_rng(0)
  w = jnp.asarray(rng.normal(size=(4, 3)))
  x, d = jnp.asarray(rng.normal(size=(2, 5, 4)))

  def logits(x):
    return jnp.tanh(x) @ w

  @jax.jit
  def all_three(x, d):
    clean = logits(x)

    def total(r):
      return vat.divergence(logits(x + r), clean).sum()

    _, wanted = jax.jvp(jax.grad(total), (jnp.zeros_like(x),), (d,))
    near = jax.grad(total)(1e-6 * d) / 1e-6
    return vat.power_step(logits, x, d), wanted, near

  found, wanted, near = all_three(x, d)
  np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-14)
  # The published finite difference, at a distance that float64 resolves.
  np.testing.assert_allclose(found, near, rtol=1e-4, atol=1e-6)


def test_unit_of_small_and_of_zero_images():
  x = jnp.array([[3e-30, 4e-30], [0.0, 0.0]])[:, :, None, None]
  found = np.asarray(jax.jit(vat.unit)(x)).reshape(2, 2)
  np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]], rtol=1e-6)
  grads = jax.jit(jax.grad(lambda x: vat.unit(x).sum()))(
    jnp.zeros((1, 2, 1, 1))
  )
  assert np.isfinite(grads).all()


def test_pseudo_labels(x64):
  p = np.array([[0.96, 0.04], [0.7, 0.3]])
  z = jnp.log(jnp.asarray(p))
  found = pseudo_label.pseudo_loss(z, z, 0.95)
  wanted = [-10 * np.log(0.96), -(p[1] * np.log(p[1])).sum()]
  np.testing.assert_allclose(found, wanted, rtol=1e-12)
  # Another view is told the labels of the first.
  q = np.array([[0.3, 0.7], [0.2, 0.8]])
  found = pseudo_label.pseudo_loss(jnp.log(jnp.asarray(q)), z, 0.95)
  wanted = [-10 * np.log(0.3), -(p[1] * np.log(q[1])).sum()]
  np.testing.assert_allclose(found, wanted, rtol=1e-12)
  # Labels are constant: where they are soft, one view has nothing to learn.
  grads = jax.grad(lambda z: pseudo_label.pseudo_loss(z, z, 0.95).sum())(z)
  np.testing.assert_allclose(grads[1], 0, atol=1e-12)
  np.testing.assert_allclose(grads[0], [-0.4, 0.4], rtol=1e-9)


@pytest.mark.parametrize(
  ("method", "name", "weight"),
  [
    ("pi_model", "consistency", 20),
    ("mean_teacher", "consistency", 8),
    ("vat", "vat", 0.3),
    ("pseudo_label", "pseudo_label", 1),
  ],
)
def test_published_weights(method, name, weight):
  _, row = one_step(method)
  np.testing.assert_allclose(
    row["loss"], row["primary_loss"] + weight * row[f"loss_{name}"], rtol=1e-5
  )
  assert row[f"loss_{name}"] > 0
  changed = tiny.config(method=method, **{"consistency.weight": 0.5})
  _, metrics, *_ = tiny.run_steps(changed, 1)
  np.testing.assert_allclose(
    metrics[0]["loss"],
    metrics[0]["primary_loss"] + 0.5 * metrics[0][f"loss_{name}"],
    rtol=1e-5,
  )


def test_entropy_minimisation_adds_its_term():
  _, row = one_step("vat_entmin")
  np.testing.assert_allclose(
    row["loss"],
    row["primary_loss"] + 0.3 * row["loss_vat"] + 0.06 * row["loss_entropy"],
    rtol=1e-5,
  )
  assert 0 < row["loss_entropy"] < np.log(2) + 1e-6  # of two classes


def test_a_teacher_follows_its_student():
  (before, after), _ = one_step("mean_teacher")
  chex.assert_trees_all_equal(before.extra.params, before.params)
  halfway = jax.tree.map(lambda a, b: (a + b) / 2, before.params, after.params)
  chex.assert_trees_all_close(after.extra.params, halfway, rtol=1e-5)


def test_adversarial_images_are_worse_than_random_ones():
  settings = tiny.config(method="vat", num_steps=60)
  states, _, run, _ = tiny.run_steps(settings, 60)
  state = states[0]
  (stage,) = methods.make(settings, run.problem.spec)
  images = batches_lib.draw(run, run.pool, jnp.arange(64), None)["image"]

  def logits(params, images, number):
    del params, number
    return stage.predict(state, images)

  @jax.jit
  def both(images):
    first = logits(None, images, 0)
    keys = jax.random.split(jax.random.key(1), 64)
    look = consistency.Pass(
      logits, state.params, (), images, (), keys, first, 32
    )
    found = vat.adversarial_divergence(look, 1.0).mean()
    noise = vat.unit(jax.random.normal(jax.random.key(2), images.shape))
    random = vat.divergence(stage.predict(state, images + noise), first).mean()
    return found, random

  found, random = both(images)
  assert found > 2 * random


def second(batch):
  """A batch whose second view is another, brighter one."""
  return {**batch, "view": 1.5 * batch["image"] + 0.25}


@pytest.mark.parametrize("method", ["pi_model", "mean_teacher", "pseudo_label"])
def test_loss_and_gradient_on_two_views(method):
  """Written down for a network without batch norm; one side is constant."""
  settings = tiny.config(
    method=method, **{"consistency.noise": 0.0, "consistency.flip": False}
  )
  run = opening.open_run(settings)
  (stage,) = methods.make(settings, run.problem.spec)
  train, pool = (
    second(batches_lib.draw(run, run.pool, jnp.arange(a, a + 16), None))
    for a in (0, 100)
  )
  state = jax.jit(stage.init)(jax.random.key(0), train, None)
  if method == "mean_teacher":
    shrunk = jax.tree.map(lambda x: 0.9 * x, state.extra.params)
    state = state._replace(extra=state.extra._replace(params=shrunk))

  def logits(params, images):
    return stage.predict(state._replace(params=params), images)

  def loss(params):
    own = jax.nn.log_softmax(logits(params, train["image"]))
    primary = -(own * jax.nn.one_hot(train["primary"], 2)).sum(-1).mean()
    one, two = pool["image"], pool["view"]
    if method == "mean_teacher":
      a, b = logits(params, one), logits(state.extra.params, two)
    else:
      a, b = logits(params, two), logits(state.params, one)
    a, p = jax.nn.log_softmax(a), jax.nn.softmax(b)
    if method == "pseudo_label":
      return primary - (p * a).sum(-1).mean()  # none is sure
    weight = {"pi_model": 20, "mean_teacher": 8}[method]
    return primary + weight * ((jnp.exp(a) - p) ** 2).mean()

  value, grads = jax.jit(jax.value_and_grad(loss))(state.params)
  settings.gamma = 0.0
  (stage,) = methods.make(settings, run.problem.spec)
  batches = {"train": train, "pool": pool}
  _, row = jax.jit(stage.updates["update"])(
    state, batches, jax.random.key(1), jnp.int32(0)
  )
  np.testing.assert_allclose(row["loss"], value, rtol=1e-5)
  norm = sum((g**2).sum() for g in jax.tree.leaves(grads)) ** 0.5
  np.testing.assert_allclose(row["gradient_norm"], norm, rtol=1e-4)


def test_halves_have_their_own_losses():
  """Unlabelled images do not enter the primary loss, nor the others theirs."""
  settings = tiny.config(method="pseudo_label")
  run = opening.open_run(settings)
  (stage,) = methods.make(settings, run.problem.spec)
  train, one, two = (
    second(batches_lib.draw(run, run.pool, jnp.arange(a, a + 16), None))
    for a in (0, 100, 200)
  )
  state = jax.jit(stage.init)(jax.random.key(0), train, None)
  update = jax.jit(stage.updates["update"])
  rows = [
    update(
      state, {"train": train, "pool": pool}, jax.random.key(1), jnp.int32(0)
    )[1]
    for pool in (one, two)
  ]
  assert rows[0]["primary_loss"] == rows[1]["primary_loss"]
  assert rows[0]["loss_pseudo_label"] != rows[1]["loss_pseudo_label"]
