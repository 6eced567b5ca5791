"""Calls from threads of their own."""

import gc
import threading

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux import parallel
from metaaux.parallel import threads


@pytest.fixture(autouse=True)
def three_cores(monkeypatch):
  monkeypatch.setattr(threads, "available_cores", lambda: [0, 1, 5])
  for name in ("PJRT_NPROC", "NPROC"):
    monkeypatch.delenv(name, raising=False)


def test_calls_are_spread_over_as_many_threads_as_cores():
  calls = threads.callers(threading.get_ident, 5)
  seen = [call() for call in calls]
  assert len(set(seen)) == 3
  assert threading.get_ident() not in seen
  # A function keeps its thread: what it starts is computed in order.
  assert seen == [call() for call in calls]


@pytest.mark.parametrize(("count", "cores"), [(1, 3), (4, 1)])
def test_one_seed_or_one_core_needs_no_thread(monkeypatch, count, cores):
  monkeypatch.setattr(threads, "available_cores", lambda: list(range(cores)))
  assert threads.callers(max, count) == [max] * count


@pytest.mark.parametrize(
  ("told", "size"), [("1", 1), ("2", 2), ("64", 3), ("0", 1), ("", 3), ("x", 3)]
)
def test_no_more_threads_than_the_launcher_of_a_sweep_allows(
  monkeypatch, told, size
):
  monkeypatch.setenv("PJRT_NPROC", told)
  assert threads.pool_size() == size
  seen = {call() for call in threads.callers(threading.get_ident, 5)}
  assert len(seen) == size


def test_an_error_reaches_the_caller():
  def program(x):
    raise ValueError(f"saw {x}")

  with pytest.raises(ValueError, match="saw 3"):
    threads.callers(program, 2)[1](3)


def test_threads_end_with_their_functions():
  calls = threads.callers(threading.current_thread, 2)
  own = [call() for call in calls]
  assert all(thread.is_alive() for thread in own)
  del calls
  gc.collect()
  for thread in own:
    thread.join(timeout=10)
  assert not any(thread.is_alive() for thread in own)


@pytest.mark.parametrize("x64", [False, True])
def test_a_program_is_traced_once_with_the_precision_of_its_caller(x64):
  traced = []

  @jax.jit
  def program(x):
    traced.append(x.dtype)
    return jnp.sin(x)

  with jax.enable_x64(x64):
    x = np.linspace(0, 1, 5)
    found = [call(x) for call in threads.callers(program, 3)]
    wanted = jnp.sin(x)
  assert traced == ["float64" if x64 else "float32"]
  for each in found:
    assert each.dtype == wanted.dtype
    np.testing.assert_array_equal(each, wanted)


def test_a_call_can_be_traced():
  calls = threads.callers(jax.jit(jnp.sin), 2)
  x = jax.ShapeDtypeStruct((3,), jnp.float32)
  assert jax.eval_shape(lambda x: [call(x) for call in calls], x) == [x, x]


def test_seeds_in_threads_are_bit_for_bit_those_of_one_thread(monkeypatch):
  def step(state, inputs, shared, arg):
    state = jnp.tanh(state @ shared + inputs * arg)
    return state, state.sum()

  def trained():
    run = parallel.Plan((jax.devices()[0],), "none", False, 5, False)
    update = parallel.compile_step(step, run, donate=True)
    rng = np.random.default_rng(0)
    host = rng.normal(size=(5, 64, 64)).astype(np.float32)
    states, inputs = (parallel.from_host(x, run) for x in (host, host[::-1]))
    shared = parallel.replicate(host[0] / 8, run)
    for i in range(20):
      states, sums = update(states, inputs, shared, np.float32(i))
    return [parallel.to_host(each, run) for each in (states, sums)]

  states, sums = side_by_side = trained()
  assert np.isfinite(states).all() and len(np.unique(sums)) == 5
  monkeypatch.setattr(threads, "available_cores", lambda: [0])
  chex.assert_trees_all_equal(side_by_side, trained())
