"""Soft masks: effective weights, penalty, projection."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaaux.methods.damtl import masks


def params():
  rng = np.random.default_rng(0)

  def kernel(*shape):
    return jnp.asarray(rng.normal(size=shape))

  return {
    "Conv_0": {"kernel": kernel(3, 3, 2, 4), "bias": kernel(4)},
    "Conv_1": {"kernel": kernel(3, 3, 4, 5), "bias": kernel(5)},
    "hidden": {"kernel": kernel(5, 6), "bias": kernel(6)},
  }


@pytest.mark.parametrize("granularity", masks.GRANULARITIES)
def test_ones_change_nothing(granularity, x64):
  tree = params()
  ones = masks.init(None, tree, granularity)
  assert len(ones) == 2
  jax.tree.map(np.testing.assert_array_equal, masks.effective(tree, ones), tree)


def test_initial_masks_are_around_one():
  found = masks.init(jax.random.key(0), params())
  values = np.concatenate([np.ravel(m) for m in found.values()])
  assert 0.9 <= values.min() < 0.92 and 1.08 < values.max() <= 1.1
  assert abs(values.mean() - 1) < 0.02


def test_filter_masks_are_weight_masks_that_repeat(x64):
  tree = params()
  of_filters = masks.init(jax.random.key(0), tree, "filter")
  assert {m.shape for m in of_filters.values()} == {(1, 1, 1, 4), (1, 1, 1, 5)}
  ones = masks.init(None, tree)
  of_weights = {k: jnp.broadcast_to(of_filters[k], ones[k].shape) for k in ones}
  jax.tree.map(
    np.testing.assert_array_equal,
    masks.effective(tree, of_filters),
    masks.effective(tree, of_weights),
  )


def test_penalty_of_ones():
  """K16 in small: 1 a layer, or the number of entries."""
  for granularity, entries in (("weight", 72 + 180), ("filter", 9)):
    ones = masks.init(None, params(), granularity)
    assert masks.penalty(ones) == 2
    assert masks.penalty(ones, "sum") == entries
  zeros = jax.tree.map(jnp.zeros_like, ones)
  # It goes on pulling at 0, where the derivative of |m| would be 0.
  grads = jax.grad(lambda m: masks.penalty(m, "sum"))(zeros)
  assert all((g == 1).all() for g in jax.tree.leaves(grads))


def test_projection():
  """K17: 0.05 minus 0.01 times 10 is 0, never -0.05."""
  moved = masks.project({"m": jnp.array([0.05, 0.2]) - 0.01 * 10})
  np.testing.assert_allclose(moved["m"], [0, 0.1], atol=1e-7)


def test_one_step_of_masks_and_weights_is_no_fine_tuning(x64):
  """K12: S' = W - rate g (1 + W^2) + rate^2 g^2 W."""
  tree = {"Conv_0": params()["Conv_0"]}
  ones, rate = masks.init(None, tree), 0.1
  g = np.random.default_rng(1).normal(size=(3, 3, 2, 4))

  def loss(tree, m):
    return (masks.effective(tree, m)["Conv_0"]["kernel"] * g).sum()

  by_tree, by_mask = jax.grad(loss, (0, 1))(tree, ones)
  tree_, ones_ = jax.tree.map(
    lambda x, d: x - rate * d, (tree, ones), (by_tree, by_mask)
  )
  w = np.asarray(tree["Conv_0"]["kernel"])
  wanted = w - rate * g * (1 + w**2) + rate**2 * g**2 * w
  found = masks.effective(tree_, ones_)["Conv_0"]["kernel"]
  np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize(
  "optimizer",
  [
    optax.sgd(0.5),
    optax.sgd(0.5, momentum=0.9),
    optax.adam(0.1),
    optax.adamw(0.1),
  ],
)
def test_masks_are_never_negative(optimizer):
  rng = np.random.default_rng(0)
  m = masks.init(jax.random.key(0), params(), "filter")
  state = optimizer.init(m)

  @jax.jit
  def step(m, state, pull):
    grads = jax.tree.map(lambda x: pull + 0.1 * x, m)
    updates, state = optimizer.update(grads, state, m)
    return masks.project(optax.apply_updates(m, updates)), state

  touched = False
  for _ in range(2000):
    m, state = step(m, state, rng.normal())
    lowest = min(float(x.min()) for x in m.values())
    assert lowest >= 0
    touched |= lowest == 0
  assert touched


def test_share_near_zero():
  found = masks.share_near_zero({"a": jnp.array([0, 1e-4, 0.5, 1])})
  assert found["a"] == 0.5


@pytest.mark.parametrize(
  ("call", "match"),
  [
    (lambda: masks.init(None, params(), "layer"), "granularity='layer'"),
    (lambda: masks.init(None, {"a": jnp.ones(3)}), "no convolution kernel"),
    (lambda: masks.penalty({"a": jnp.ones(3)}, "max"), "reduction='max'"),
  ],
)
def test_wrong_options(call, match):
  with pytest.raises(ValueError, match=match):
    call()


@pytest.mark.parametrize(("reset", "steps"), [(False, 30), (True, 1)])
def test_momentum_does_not_hold_a_mask_at_zero(reset, steps, x64):
  """N6: gradient 1 for five steps, then -0.02, at rate 0.01.

  The momentum is 0.9^k 4.295 - 0.2 after k more steps, below 0 from k = 30.
  """
  momentum = optax.trace(0.9)
  mask = {"m": jnp.array(0.02)}
  state = momentum.init(mask)

  def step(mask, state, gradient):
    direction, state = momentum.update({"m": jnp.array(gradient)}, state)
    mask = masks.project({"m": mask["m"] - 0.01 * direction["m"]})
    return mask, masks.without_outward(state, mask) if reset else state

  for _ in range(5):
    mask, state = step(mask, state, 1.0)
  assert mask["m"] == 0
  taken = 0
  while mask["m"] == 0 and taken < 100:
    mask, state = step(mask, state, -0.02)
    taken += 1
  assert taken == steps


def test_outward_momentum_of_adam_and_of_no_optimiser_at_all():
  mask = {"m": jnp.array([0.0, 0.0, 1.0])}
  adam = optax.scale_by_adam()
  _, state = adam.update({"m": jnp.array([1.0, -1.0, 1.0])}, adam.init(mask))
  state = masks.without_outward(state, mask)
  np.testing.assert_allclose(state.mu["m"], [0, -0.1, 0.1], rtol=1e-6)
  assert masks.without_outward(optax.EmptyState(), mask) == optax.EmptyState()
