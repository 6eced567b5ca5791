"""What stages compute on the host between themselves: embeddings, clusters."""

import contextlib
import functools
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from metaaux import feed, fingerprint, metrics, parallel, rundir
from metaaux.errors import UserError
from metaaux.feed import Run
from metaaux.stage import PoolView, Stage

Seeded = Any
Arrays = Mapping[str, np.ndarray]

# Images that pass through a network at once.
_BATCH = 512

# Of a stored file: what its arrays were made of, for who looks into it.
_MADE_OF = "made_of"

# What numpy and zipfile say of a file that is damaged.
_UNREADABLE = (
  OSError,
  ValueError,
  EOFError,
  RuntimeError,
  zipfile.BadZipFile,
)


def prepare(
  run: Run, stage: Stage, previous: Seeded | None, workdir: str
) -> Seeded | None:
  """What the stage wants computed on the pool, for every seed.

  Args:
    run: data and devices.
    stage: that begins.
    previous: states of the stage before, or None.
    workdir: run directory, for the cache and the reports; "": nothing is kept.

  Returns:
    Seeded values as `stage.prepare.compute` returns them, None without it.

  Raises:
    ValueError: they differ from what `stage.prepare.shapes` promises.
  """
  if stage.prepare is None:
    return None
  states = None if previous is None else parallel.to_host(previous, run.plan)
  found = []
  for s in range(len(run.seeds)):
    state = (
      None if states is None else jax.tree.map(lambda x, s=s: x[s], states)
    )
    value = stage.prepare.compute(view(run, stage, state, s, workdir))
    _check_shapes(value, stage)
    found.append(value)
  stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *found)
  return parallel.from_host(stacked, run.plan)


def view(
  run: Run, stage: Stage, state: Any | None, seed: int, workdir: str
) -> PoolView:
  """The pool as the stage may look at it.

  Args:
    run: data and devices.
    stage: that begins; its name enters the key.
    state: of the stage before, of this seed.
    seed: position in `run.seeds`.
    workdir: run directory, or "".
  """
  number = int(run.seeds[seed])
  key = feed.key_of(run.seeds[seed], "prepare")
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
  pool = run.problem.pool

  @jax.jit
  def block(state: Any, examples: Any) -> Any:
    everything = np.arange(_BATCH, dtype=np.int32)
    batch = feed.draw(run, examples, everything, None)
    return function(state, batch["image"])

  parts, total = [], len(pool["image"])
  bar = metrics.Progress("images", 0, total)
  for start in range(0, total, _BATCH):
    # The last block starts again from the first images, to keep one shape.
    positions = np.arange(start, start + _BATCH) % total
    rows = {name: values[positions] for name, values in pool.items()}
    parts.append(np.asarray(block(state, rows)))
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
  """Arrays that were computed before, or now, in workdir/cache."""
  folder = run.config.cache or (
    os.path.join(workdir, rundir.CACHE) if workdir else ""
  )
  if not folder:
    return compute()
  made_of = {"images": fingerprint.of(run.problem.pool["image"]), **makers}
  text = json.dumps(made_of, sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()[:16]
  path = os.path.join(folder, f"{name}-{digest}.npz")
  if os.path.exists(path):
    try:
      with open(path, "rb") as file, np.load(file) as stored:
        return {key: stored[key] for key in stored if key != _MADE_OF}
    except _UNREADABLE as error:
      metrics.warn(f"{path} cannot be read ({error}); it is made again")
  _write(path, None)  # a folder that cannot be written, before hours of work
  arrays = compute()
  _write(path, {**arrays, _MADE_OF: np.asarray(text)})
  return arrays


def _write(path: str, arrays: Arrays | None) -> None:
  """Writes a file that is either absent or complete; None: only tries to."""
  partial = f"{path}.{os.getpid()}{metrics.PARTIAL}"
  try:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
      with open(partial, "wb") as file:
        if arrays is not None:
          np.savez(file, **arrays)
      if arrays is not None:
        os.replace(partial, path)
    finally:
      with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
  except OSError as error:
    raise UserError(
      f"cannot write {path} ({error.strerror}); free space, or set "
      "config.cache to a folder that can be written"
    ) from None


def _report(
  workdir: str, seed: int, name: str, content: Mapping[str, Any]
) -> None:
  if not workdir:
    return
  folder = os.path.join(workdir, rundir.REPORTS)
  os.makedirs(folder, exist_ok=True)
  metrics.write_json(os.path.join(folder, f"{name}-seed{seed}.json"), content)
