"""Auto-Lambda's gradient against the general hypergradient and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import toys

from metaaux.hypergrad import hypergradient
from metaaux.methods.reweighting import auto_lambda

WEIGHTS = np.array([0.1, 0.4, -0.2])
INNER_LR = 0.3


def problem(axis_name=None, batch=None):
  params = toys.network_params()
  batch = toys.network_batch() if batch is None else batch
  held_out = toys.network(params, toys.network_batch(seed=7))
  tasks = toys.network(params, batch, axis_name)
  return tasks._replace(held_out_loss=held_out.primary_loss)


@jax.jit
def evaluate(weight_K):
  """Value and slope; compiled once for all tests."""
  return auto_lambda.weight_gradient(problem(), weight_K, INNER_LR)


def test_gradient_equals_the_hypergradient(x64):
  """Through `metaaux.hypergrad`, whose estimators know nothing of weights."""
  tasks = problem()

  def inner(params, weight_K, _):
    weighted = jnp.sum(weight_K * tasks.auxiliary_losses(params))
    return tasks.primary_loss(params) + weighted

  def outer(params, weight_K, _):
    del weight_K
    return tasks.held_out_loss(params)

  value, slope = evaluate(WEIGHTS)
  # The published form is the central difference.
  for estimator, tolerance in (("exact", 1e-11), ("finite_difference", 1e-4)):
    estimate = hypergradient(
      inner, outer, inner_lr=INNER_LR, estimator=estimator
    )
    want, want_slope = jax.jit(estimate)(
      tasks.params, jnp.asarray(WEIGHTS), None, None
    )
    np.testing.assert_allclose(value, want, rtol=1e-12)
    np.testing.assert_allclose(slope, want_slope, rtol=tolerance)


def test_gradient_equals_differences(x64):
  want = [
    (evaluate(WEIGHTS + d)[0] - evaluate(WEIGHTS - d)[0]) / 2e-5
    for d in 1e-5 * np.eye(3)
  ]
  np.testing.assert_allclose(evaluate(WEIGHTS)[1], want, rtol=1e-7)


def test_updates(x64):
  """Plain descent by hand; Adam at 1e-4 from 0.1 as published."""
  tasks = problem()
  weighting = auto_lambda.make(INNER_LR, optimizer=optax.sgd(2.0), start=0.5)
  found, metrics = toys.update(weighting, tasks)
  value, slope = evaluate(np.full(3, 0.5))
  np.testing.assert_allclose(found, 0.5 - 2 * slope, rtol=1e-12)
  np.testing.assert_allclose(metrics["held_out_loss"], value, rtol=1e-12)
  found, _ = toys.update(auto_lambda.make(INNER_LR), tasks)
  _, slope = evaluate(np.full(3, 0.1))
  np.testing.assert_allclose(found, 0.1 - 1e-4 * np.sign(slope), rtol=1e-4)


def test_without_a_second_batch_it_is_the_first(x64):
  tasks = problem()
  same = tasks._replace(held_out_loss=tasks.primary_loss)
  for a, b in zip(
    auto_lambda.weight_gradient(
      tasks._replace(held_out_loss=None), WEIGHTS, INNER_LR
    ),
    auto_lambda.weight_gradient(same, WEIGHTS, INNER_LR),
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)


def test_weights_learn_which_task_helps():
  """The first auxiliary task is the primary one, the second its opposite."""
  params = toys.network_params(num_tasks=2)
  batch = toys.network_batch(num_tasks=2)
  base = toys.network(params, batch)
  tasks = base._replace(
    auxiliary_losses=lambda p: jnp.stack(
      [base.primary_loss(p), -base.primary_loss(p)]
    )
  )
  weighting = auto_lambda.make(0.01, optimizer=optax.adam(0.01))
  weights, *_ = toys.run(weighting, tasks, 30)
  assert weights[-1, 0] > 0.3 and weights[-1, 1] < -0.1
