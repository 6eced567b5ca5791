"""Calls a program from several threads, which a CPU computes side by side.

On a CPU XLA runs the calls of one thread in order, and a small network does not
fill the cores. Calls from different threads run at the same time, by the same
program, and give the same bits.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def available_cores() -> list[int]:
  """Numbers of the cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))


def pool_size() -> int:
  """Number of XLA's threads: the cores, or fewer if the environment says so."""
  for name in ("PJRT_NPROC", "NPROC"):
    told = os.environ.get(name, "")
    if told.isdecimal():
      return max(1, min(int(told), len(available_cores())))
  return len(available_cores())


def callers(program: Callable[..., Any], count: int) -> list[Callable]:
  """`count` functions that call `program`, from as many threads as XLA has.

  A call returns when `program` does: for a jitted program when the computation
  has begun. The threads end with the functions. The threads see
  `jax.enable_x64` and no other context manager of JAX; `jax.config.update`
  holds for all.

  Args:
    program: a jitted function.
    count: number of functions, 1 or more.
  """
  num_threads = min(count, pool_size())
  if num_threads == 1:
    return [program] * count
  threads = [
    ThreadPoolExecutor(1, thread_name_prefix="metaaux")
    for _ in range(num_threads)
  ]
  return [_caller(program, threads[i % num_threads]) for i in range(count)]


def _caller(
  program: Callable[..., Any], thread: ThreadPoolExecutor
) -> Callable[..., Any]:
  import jax  # Not for who counts cores.

  def in_thread(x64: bool, arguments: tuple) -> Any:
    # `jax.enable_x64` holds for the thread that says it.
    with jax.enable_x64(x64):
      return program(*arguments)

  def call(*arguments: Any) -> Any:
    leaves = jax.tree.leaves(arguments)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
      return program(*arguments)  # traced, as for its shapes: not computed
    x64 = jax.config.jax_enable_x64
    return thread.submit(in_thread, x64, arguments).result()

  return call
