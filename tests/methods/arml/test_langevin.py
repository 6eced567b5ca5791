"""Langevin dynamics on a quadratic."""

import jax
import jax.numpy as jnp
import numpy as np

from metaaux.methods.arml import langevin


def test_langevin_noise_has_the_stationary_variance(x64):
  """T15: U = k theta^2 / 2, variance 2 / (k (2 - e k)) at temperature 1."""
  k, rate = 2.0, 0.1
  theta = {"x": jnp.zeros(20_000)}

  def step(theta, key):
    return langevin.step(theta, {"x": k * theta["x"]}, rate, 1.0, key), None

  theta, _ = jax.lax.scan(step, theta, jax.random.split(jax.random.key(0), 60))
  np.testing.assert_allclose(
    theta["x"].var(), 2 / (k * (2 - rate * k)), rtol=0.03
  )
