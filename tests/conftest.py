"""Strict settings for every test; they must be set before JAX starts."""

import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture
def x64():
  """Runs one test in float64, as the known answers need."""
  with jax.enable_x64(True):
    yield
