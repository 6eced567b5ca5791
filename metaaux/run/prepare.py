"""Computes on the host what a stage asks for: embeddings, clusters, labels."""

import functools
import os
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from metaaux import files, parallel
from metaaux.data import fingerprint
from metaaux.data.sources import lazy_images
from metaaux.parallel import hosts
from metaaux.run import batches, cache
from metaaux.run import directory as run_directory
from metaaux.run.logs import progress
from metaaux.run.opening import Run
from metaaux.stage import PoolView, Stage

Seeded = Any
Arrays = cache.Arrays

# Images that pass through a network at once.
_BATCH = 512


def prepare(
  run: Run, stage: Stage, previous: Seeded | None, workdir: str
) -> Seeded | None:
  """Runs `stage.prepare` on the pool, for every seed.

  Args:
    run: data and devices.
    stage: the stage that begins.
    previous: states of the stage before, or None.
    workdir: run directory, for the cache and the reports; "": nothing is kept.

  Returns:
    Seeded values of `stage.prepare.compute`; None without `stage.prepare`.

  Raises:
    ValueError: the values differ from what `stage.prepare.shapes` promises.
  """
  if stage.prepare is None:
    return None
  states = None if previous is None else parallel.to_host(previous, run.plan)

  def of_seed(s: int) -> Any:
    own = jax.tree.map(lambda x: x[s], states)
    value = stage.prepare.compute(view(run, stage, own, s, workdir))
    _check_shapes(value, stage)
    return value

  found = hosts.together(lambda: list(map(of_seed, range(len(run.seeds)))))
  stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *found)
  # Machines that differ may round differently: all take the first one's.
  return parallel.from_host(hosts.broadcast(stacked), run.plan)


def view(
  run: Run, stage: Stage, state: Any | None, seed: int, workdir: str
) -> PoolView:
  """The view of the pool that the stage gets, see `PoolView`.

  Args:
    run: data and devices.
    stage: the stage that begins; its name enters the key.
    state: state of the stage before, of this seed.
    seed: position in `run.seeds`.
    workdir: run directory, or "".
  """
  number = int(run.seeds[seed])
  key = batches.key_of(run.seeds[seed], "prepare")
  name = zlib.crc32(stage.name.encode()) & 0x7FFFFFFF
  pool = run.problem.pool
  return PoolView(
    seed=number,
    key=jax.random.fold_in(key, name),
    previous=state,
    images=pool["image"],
    train=run.problem.train[seed],
    primary=pool["primary"],
    auxiliary=pool["auxiliary"],
    map=functools.partial(_map_images, run, state),
    cache=functools.partial(_cached, run, workdir),
    report=functools.partial(_report, workdir, number),
  )


def _check_shapes(value: Any, stage: Stage) -> None:
  def signature(tree: Any) -> Any:
    return jax.tree.map(lambda x: (tuple(x.shape), np.dtype(x.dtype)), tree)

  got, wanted = signature(value), signature(stage.prepare.shapes)
  if got != wanted:
    raise ValueError(
      f"stage {stage.name} prepared {got}, but promised {wanted}"
    )


def _map_images(
  run: Run, state: Any, function: Callable[[Any, Any], Any]
) -> np.ndarray:
  """Applies a function to all images of the pool, a block at a time."""
  images = lazy_images.whole(run.problem.pool["image"])

  @jax.jit
  def block(state: Any, own: Any) -> Any:
    return function(state, batches.normalised(run, own))

  parts, total = [], len(images)
  bar = progress.Progress("images", 0, total)
  for start in range(0, total, _BATCH):
    # The last block starts again from the first images, to keep one shape.
    positions = np.arange(start, start + _BATCH) % total
    parts.append(np.asarray(block(state, images[positions])))
    bar.show(min(start + _BATCH, total), "")
  bar.close()
  return np.concatenate(parts)[:total]


def _cached(
  run: Run,
  workdir: str,
  name: str,
  makers: Mapping[str, Any],
  compute: Callable[[], Arrays],
) -> Arrays:
  """Arrays from workdir/cache, computed now if they are not there."""
  folder = run.config.cache or (
    os.path.join(workdir, run_directory.CACHE) if workdir else ""
  )
  if not folder:
    return compute()
  pixels = lazy_images.whole(run.problem.pool["image"])
  made_of = {"images": fingerprint.of(pixels), **makers}
  entry = cache.entry(folder, name, made_of)
  arrays = cache.read(entry)
  if arrays is None:
    if not hosts.is_first():
      return compute()
    cache.check(entry)  # before hours of work
    arrays = compute()
    cache.write(entry, arrays)
  return arrays


def _report(
  workdir: str, seed: int, name: str, content: Mapping[str, Any]
) -> None:
  if not (workdir and hosts.is_first()):
    return
  folder = os.path.join(workdir, run_directory.REPORTS)
  os.makedirs(folder, exist_ok=True)
  files.write_json(os.path.join(folder, f"{name}-seed{seed}.json"), content)
