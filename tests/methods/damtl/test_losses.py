"""The objective of DAMTL on digits: gradients, and where it is 0."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux.methods.damtl import losses as damtl_losses
from metaaux.methods.damtl import masks, small_tasks
from metaaux.models import layered


def wide(tree):
  return jax.tree.map(
    lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, tree
  )


def test_alignment_is_zero_where_layers_agree():
  """K10."""
  problem, state, batches = tiny.damtl_problem(**{"damtl.mask": "none"})

  def discrepancy(params):
    _, terms = damtl_losses.task_loss(
      problem, params, {}, state.auxiliary, batches["task_0"], 0
    )
    return terms["discrepancy"]

  value, grads = jax.jit(jax.value_and_grad(discrepancy))(state.params[0])
  np.testing.assert_allclose(value, 0, atol=1e-10)
  for leaf in jax.tree.leaves(grads):
    np.testing.assert_allclose(leaf, 0, atol=1e-6)


def test_no_gradient_reaches_the_big_task():
  problem, state, batches = tiny.damtl_problem()
  shifted = jax.tree.map(lambda x: x + 0.1, state.auxiliary)

  def total(auxiliary):
    return damtl_losses.task_loss(
      problem, state.params[0], state.masks[0], auxiliary, batches["task_0"], 0
    )[0]

  for leaf in jax.tree.leaves(jax.jit(jax.grad(total))(shifted)):
    np.testing.assert_array_equal(leaf, 0)


@pytest.mark.parametrize(
  "changes",
  [
    {"damtl.mask": "weight"},
    {"damtl.mask": "filter", "damtl.pairing": "paired"},
    {"damtl.pairing": "twosample", "damtl.auxiliary_weight": 1.0},
    {"damtl.align_layer": "affine", "damtl.auxiliary_weight": 1.0},
  ],
)
def test_gradient_of_the_whole_objective(changes, x64):
  """With the linear kernel; the bandwidth of "rbf" is constant by design."""
  problem, state, batches = tiny.damtl_problem(**changes)
  state, batches = wide((state, batches))
  # Away from where the alignment and its gradient are 0.
  auxiliary = jax.tree.map(lambda x: 1.1 * x + 0.05, state.auxiliary)
  point = state.params, state.masks, auxiliary

  def total(params, mask, auxiliary):
    if not problem.trains_auxiliary:
      auxiliary = jax.lax.stop_gradient(auxiliary)
    return damtl_losses.objective(problem, params, mask, auxiliary, batches)[0]

  rng = np.random.default_rng(0)
  direction = jax.tree.map(
    lambda x: jnp.asarray(rng.normal(size=x.shape)), point
  )
  if not problem.trains_auxiliary:
    still = jax.tree.map(jnp.zeros_like, direction[2])
    direction = (*direction[:2], still)
  # One program for the value and the gradient.
  compiled = jax.jit(jax.value_and_grad(total, (0, 1, 2)))
  _, grads = compiled(*point)
  slope = sum(
    jnp.vdot(a, b)
    for a, b in zip(
      jax.tree.leaves(grads), jax.tree.leaves(direction), strict=True
    )
  )
  step = 1e-8  # few ReLUs turn within it
  ends = [
    compiled(
      *jax.tree.map(lambda x, d, s=s: x + s * step * d, point, direction)
    )[0]
    for s in (1, -1)
  ]
  np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-5)


def test_cross_entropy_is_a_sum_or_a_mean():
  found = []
  for reduction in ("sum", "mean"):
    problem, state, batches = tiny.damtl_problem(
      **{"damtl.reduction": reduction, "damtl.mask": "none"}
    )
    size = problem.config.batch_size
    batch = jax.tree.map(lambda x, n=size: x[:n], batches["task_0"])

    @jax.jit
    def total(params, auxiliary, batch, problem=problem):
      return damtl_losses.task_loss(problem, params, {}, auxiliary, batch, 0)[0]

    found.append(float(total(state.params[0], state.auxiliary, batch)))
  # The alignment is 0 where layers agree.
  assert found[0] == pytest.approx(size * found[1], rel=1e-5)


def test_a_filter_of_zeros_emits_its_bias(x64):
  """K18: no gradient for the weights, some for the mask."""
  problem, state, batches = tiny.damtl_problem(**{"damtl.mask": "filter"})
  state, batches = wide((state, batches))
  mask = {
    name: jnp.zeros_like(x) if "conv_1" in name else x
    for name, x in state.masks[0].items()
  }
  params = state.params[0]
  params = {
    **params,
    "conv_1": {**params["conv_1"], "bias": params["conv_1"]["bias"] + 0.5},
  }
  tree = masks.effective(params, mask)
  features = jax.jit(functools.partial(layered.features, problem.net))(
    tree, batches["task_0"]["image"]
  )
  np.testing.assert_allclose(features, 0.5, rtol=1e-12)

  def total(params, mask):
    return damtl_losses.task_loss(
      problem, params, mask, state.auxiliary, batches["task_0"], 0
    )[0]

  by_params, by_mask = jax.jit(jax.grad(total, (0, 1)))(params, mask)
  np.testing.assert_array_equal(by_params["conv_1"]["kernel"], 0)
  (name,) = [name for name in mask if "conv_1" in name]
  assert (np.abs(by_mask[name]) > 1e-6).any()


def test_random_classes_are_of_the_image_alone():
  """The control of the alignment: other means, the same in every batch."""
  problem, state, batches = tiny.damtl_problem()
  batch = batches["task_0"]
  labels = small_tasks.random_labels(batch, 6)
  turned = {"index": batch["index"][::-1]}
  np.testing.assert_array_equal(
    small_tasks.random_labels(turned, 6), labels[::-1]
  )
  assert set(np.asarray(labels).tolist()) <= set(range(6))
  assert len(set(np.asarray(labels).tolist())) > 3
  shifted = jax.tree.map(lambda x: x + 0.1, state.auxiliary)

  def discrepancy(kind):
    with problem.config.unlocked():
      problem.config.damtl.align_classes = kind
    terms = jax.jit(
      lambda batch: damtl_losses.task_loss(
        problem, state.params[0], state.masks[0], shifted, batch, 0
      )[1]
    )
    return float(terms(batch)["discrepancy"])

  assert discrepancy("random") != pytest.approx(discrepancy("own"), rel=1e-3)
