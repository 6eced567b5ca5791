"""Strict settings for every test; they must be set before JAX starts."""

import tempfile

import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
# Nearly all of the time goes into compiling; the programs that users run, with
# full optimisation, are covered by the tests that start a process.
jax.config.update("jax_disable_most_optimizations", True)
_CACHE = tempfile.TemporaryDirectory(prefix="metaaux-tests-")
jax.config.update("jax_compilation_cache_dir", _CACHE.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture
def x64():
  """Runs one test in float64, as the known answers need."""
  with jax.enable_x64(True):
    yield
