"""Inner steps alone; their values are tested with the hypergradients."""

import chex
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaaux import hypergrad
from metaaux.hypergrad import inner_update


@pytest.mark.parametrize("remat", [False, True])
def test_state_of_the_inner_optimizer_is_carried_and_starts_fresh(remat):
  f = inner_update(
    lambda theta, slope, _: slope * theta,
    inner_optimizer=optax.sgd(1.0, momentum=0.5),
    num_steps=3,
    remat=remat,
  )
  for _ in range(2):
    # The velocities are 1, 1.5 and 1.75 slopes.
    np.testing.assert_allclose(f(jnp.array(0.0), 2.0, None), -8.5)


def test_half_precision_parameters_keep_their_dtype():
  f = inner_update(
    lambda params, meta, batch: jnp.sum(params * meta),
    inner_lr=jnp.array(0.5),
  )
  adapted = f(jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.bfloat16), None)
  assert adapted.dtype == jnp.bfloat16
  np.testing.assert_array_equal(adapted.astype(jnp.float32), 0.5)


@pytest.mark.parametrize("estimator", hypergrad.ESTIMATORS)
def test_prepared_meta_parameters(estimator, x64):
  """`prepare` is the same as calling it inside both losses."""

  def inner_loss(params, prepared, batch):
    return jnp.sum((params - prepared * batch) ** 2)

  def outer_loss(params, prepared, batch):
    return jnp.sum(jnp.sin(params) * batch) + jnp.sum(prepared**3)

  params, meta = jnp.array([0.3, -0.7]), jnp.array([0.2, 0.5])
  batch = jnp.array([1.5, -2.0])
  options = {"inner_lr": 0.1, "estimator": estimator}
  prepared = hypergrad.hypergradient(
    inner_loss, outer_loss, prepare=jnp.exp, **options
  )
  composed = hypergrad.hypergradient(
    lambda p, m, b: inner_loss(p, jnp.exp(m), b),
    lambda p, m, b: outer_loss(p, jnp.exp(m), b),
    **options,
  )
  found = prepared(params, meta, batch[None], batch)
  expected = composed(params, meta, batch[None], batch)
  chex.assert_trees_all_close(found, expected, rtol=1e-12)
