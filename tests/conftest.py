"""Strict settings for every test; they must be set before JAX starts."""

import gc
import os
import pathlib

import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
# Nearly all of the time goes into compiling; the programs that users run, with
# full optimisation, are covered by the tests that start a process.
jax.config.update("jax_disable_most_optimizations", True)
# Shared by the workers of a run and kept between runs.
_CACHE = pathlib.Path(__file__).parents[1] / ".cache" / "programs"
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
# XLA's older fusions compile in a third of the time; newer versions of JAX have
# them no more, and end at a flag that they do not know. XLA reads its flags
# once, with the first program; processes that tests start shall not have them.
if jax.__version_info__ < (0, 11):
  with pytest.MonkeyPatch.context() as patch:
    flags = os.environ.get("XLA_FLAGS", "")
    patch.setenv("XLA_FLAGS", f"{flags} --xla_cpu_use_fusion_emitters=false")
    jax.jit(lambda: 0)()


# Each program is a number of maps of memory, of which Linux gives a process
# 65,530; beyond, XLA dies of a segmentation fault.
_MOST_MAPS = 25_000


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_no_garbage():
  """They stay while there is room, and no collection has to walk over them."""
  yield
  maps = pathlib.Path("/proc/self/maps")
  if maps.exists() and maps.read_bytes().count(b"\n") > _MOST_MAPS:
    gc.unfreeze()
    jax.clear_caches()
  gc.collect()
  gc.freeze()


@pytest.fixture
def x64():
  """Runs one test in float64, as the known answers need."""
  with jax.enable_x64(True):
    yield


def pytest_collection_modifyitems(items):
  """Files with slow tests come first: no core ends alone with a long one.

  Whole files, for what their tests share is made once while they are together.
  """
  slow = {item.path for item in items if item.get_closest_marker("slow")}
  items.sort(key=lambda item: item.path not in slow)
