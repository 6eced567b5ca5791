"""Several inner steps, each on a batch of its own: which batch counts where."""

import jax.numpy as jnp
import numpy as np
import pytest

from metaaux.hypergrad import hypergradient

RATE = 0.3
BATCHES = np.array([[1.0, -2.0], [0.5, 3.0], [4.0, 0.25]])
TARGET = np.array([1.5, -0.5])


def inner(params, meta, batch):
  """F = |theta - phi b|^2 / 2, with H = 1 and J = -b."""
  return ((params - meta * batch) ** 2).sum() / 2


def outer(params, meta, batch):
  """V = |theta - c|^2 / 2 + 0.1 phi."""
  return ((params - batch) ** 2).sum() / 2 + 0.1 * meta


def estimate(estimator, num_steps, **options):
  run = hypergradient(
    inner,
    outer,
    inner_lr=RATE,
    num_steps=num_steps,
    estimator=estimator,
    **options,
  )
  batches = jnp.asarray(BATCHES[:num_steps])
  meta = jnp.asarray(0.7)
  return run(jnp.array([2.0, -1.0]), meta, batches, jnp.asarray(TARGET))


def after(num_steps):
  """theta_n by hand."""
  theta = np.array([2.0, -1.0])
  for batch in BATCHES[:num_steps]:
    theta = theta - RATE * (theta - 0.7 * batch)
  return theta


@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("estimator", ["exact", "remat"])
def test_all_steps_count(estimator, num_steps, x64):
  value, grad = estimate(estimator, num_steps)
  v = after(num_steps) - TARGET
  np.testing.assert_allclose(value, (v**2).sum() / 2 + 0.07, rtol=1e-12)
  # d theta_n / d phi = rate sum_i (1 - rate)^(n - 1 - i) b_i.
  powers = (1 - RATE) ** np.arange(num_steps)[::-1]
  moved = RATE * powers @ BATCHES[:num_steps]
  np.testing.assert_allclose(grad, v @ moved + 0.1, rtol=1e-12)


@pytest.mark.parametrize("terms", [1, 2])
@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_neumann_looks_at_the_last_batch(num_steps, terms, x64):
  value, grad = estimate("neumann", num_steps, neumann_terms=terms)
  v = after(num_steps) - TARGET
  np.testing.assert_allclose(value, (v**2).sum() / 2 + 0.07, rtol=1e-12)
  series = sum((1 - RATE) ** j for j in range(terms))
  wanted = RATE * series * v @ BATCHES[num_steps - 1] + 0.1
  np.testing.assert_allclose(grad, wanted, rtol=1e-12)
