"""Inner steps alone; their values are tested with the hypergradients."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

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
