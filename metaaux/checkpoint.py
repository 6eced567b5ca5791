"""Checkpoints through orbax, which no other file knows.

A state is saved as a flat dict {path: NumPy array} without a device axis, so
that it can be restored on another number of devices. Orbax returns the stored
array when a template's shape differs and casts when its dtype differs; hence
the comparison here, leaf by leaf. Nor does the format notice every damage: a
flipped bit of an array goes through. So a digest of all leaves is stored beside
them, as a leaf of its own.
"""

import contextlib
import errno
import functools
import gc
import hashlib
import inspect
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from metaaux import hosts
from metaaux.errors import DamagedError, NonFiniteError, UserError

Tree = Any
# Path of the digest; those of a state's leaves begin with a dot or a bracket.
_DIGEST = "sha256"


def open_manager(
  directory: str,
  keep: int | None = None,
  *,
  keep_steps: Sequence[int] = (),
  best: Callable[[Sequence[int]], int | None] = lambda steps: None,
) -> ocp.CheckpointManager:
  """A manager of the checkpoints in `directory`.

  Half-written checkpoints of a killed run are removed; a checkpoint appears
  under its final name only when it is complete.

  Args:
    directory: where to keep them; made if missing.
    keep: how many of the newest to keep; None: to read only, nothing is made
      or removed, since another process may be writing.
    keep_steps: that are kept besides, however old.
    best: saved steps -> the one that is kept besides, or None.
  """
  # What goes wrong is reported here, in a line and not in three tracebacks.
  logging.getLogger("absl").setLevel(logging.CRITICAL)
  writes = keep is not None
  if writes:
    os.makedirs(directory, exist_ok=True)
  policies = ocp.checkpoint_managers
  kept = [
    policies.LatestN(keep),
    policies.CustomSteps(keep_steps),
    _Best(best),
  ]
  options = ocp.CheckpointManagerOptions(
    preservation_policy=policies.AnyPreservationPolicy(kept),
    create=False,
    read_only=not writes,
    cleanup_tmp_directories=writes,
    enable_async_checkpointing=False,
    multiprocessing_options=_alone(),
  )
  return ocp.CheckpointManager(os.path.abspath(directory), options=options)


def _alone() -> Any:
  """Waits for no other host: the first one reads and writes for all."""
  if hosts.count() == 1:
    return ocp.options.MultiprocessingOptions()
  return ocp.options.MultiprocessingOptions(
    primary_host=jax.process_index(),
    active_processes={jax.process_index()},
    barrier_sync_key_prefix=f"host{jax.process_index()}",
  )


class _Best(NamedTuple):
  """Keeps one step of all; a preservation policy of orbax."""

  choose: Callable[[Sequence[int]], int | None]

  def should_preserve(
    self, checkpoints: Sequence[Any], *, context: Any
  ) -> list[bool]:
    del context
    steps = [checkpoint.step for checkpoint in checkpoints]
    best = self.choose(steps)
    return [step == best for step in steps]


def save(manager: ocp.CheckpointManager, step: int, state: Tree) -> None:
  """Writes a host state under `step` and waits until it is on disk.

  Raises:
    NonFiniteError: a value is not finite; nothing is written.
    OSError: it cannot be written; nothing is left of it.
  """
  if step in manager.all_steps():
    return
  check_finite(step, state)
  flat = _flatten(state)
  flat[_DIGEST] = _digest(flat)
  try:
    with _quiet():
      manager.save(step, args=ocp.args.StandardSave(flat))
      manager.wait_until_finished()
  except Exception as error:  # Whatever the layers below orbax raise.
    _remove_partial(manager, step)
    raise _as_os_error(error) from error


def check_finite(step: int, state: Tree) -> None:
  """Whether the state after `step` may be saved.

  The metrics of a step are of the state before it, so they cannot tell.

  Raises:
    NonFiniteError: a value is not finite.
  """
  for path, value in _flatten(state).items():
    is_float = jax.dtypes.issubdtype(value.dtype, np.inexact)
    if is_float and not np.isfinite(value).all():
      raise NonFiniteError(
        f"{path} is not finite after step {step}; lower "
        "optimizer.learning_rate or set optimizer.clip_norm"
      )


def _as_os_error(error: Exception) -> OSError:
  """What the system said, which tensorstore buries in a text of its own."""
  if isinstance(error, OSError) and error.errno:
    return error
  code = re.search(r"os_error_code='(\d+)'", str(error))
  number = int(code[1]) if code else errno.EIO
  return OSError(number, os.strerror(number) if code else _reason(error))


def _remove_partial(manager: ocp.CheckpointManager, step: int) -> None:
  """Makes room again after a save that failed."""
  for name in os.listdir(manager.directory):
    if name.startswith(f"{step}."):
      shutil.rmtree(manager.directory / name, ignore_errors=True)


def latest_step(manager: ocp.CheckpointManager) -> int | None:
  """Step of the newest complete checkpoint, None if there is none."""
  return manager.latest_step()


def all_steps(manager: ocp.CheckpointManager) -> list[int]:
  """Steps of all complete checkpoints, in order."""
  return sorted(manager.all_steps())


def recover(
  manager: ocp.CheckpointManager, report: Callable[[str], None]
) -> int | None:
  """Step of the newest checkpoint that can be read, None if there is none.

  Newer ones, which are damaged, are removed: the run will write them again.

  Args:
    manager: that may write.
    report: receives a line for each checkpoint that is removed.

  Raises:
    DamagedError: there are some, and none can be read; nothing is removed.
  """
  damaged: list[tuple[int, DamagedError]] = []
  for step in reversed(all_steps(manager)):
    try:
      _read(manager, step)
    except DamagedError as error:
      damaged.append((step, error))
      continue
    for bad, error in damaged:
      report(f"{error}; it is removed, and the run goes on from step {step}")
      manager.delete(bad)
    return step
  if damaged:
    raise DamagedError(
      f"{damaged[0][1]}, nor can an older one; restore the folder, or start "
      "anew with --overwrite"
    )
  return None


def restore(manager: ocp.CheckpointManager, step: int, template: Tree) -> Tree:
  """Reads a state with the structure, shapes and dtypes of `template`.

  Raises:
    DamagedError: the checkpoint cannot be read, or is not what was written.
    UserError: a leaf is missing, unexpected or of another shape or dtype.
  """
  stored = _read(manager, step)
  expected = _flatten(template)
  for path in sorted(stored.keys() ^ expected.keys()):
    side = "lacks" if path in expected else "has an unexpected"
    raise UserError(
      f"checkpoint step {step} {side} {path}; it belongs to another model or "
      "version: use another --workdir or --overwrite"
    )
  for path, value in expected.items():
    found = stored[path]
    if found.shape != value.shape or found.dtype != value.dtype:
      raise UserError(
        f"checkpoint step {step} has {path} {found.dtype}{list(found.shape)}, "
        f"this run expects {value.dtype}{list(value.shape)}: use another "
        "--workdir or --overwrite"
      )
  structure = jax.tree.structure(template)
  return jax.tree.unflatten(structure, [stored[path] for path in expected])


def _read(manager: ocp.CheckpointManager, step: int) -> dict[str, np.ndarray]:
  """The leaves of a checkpoint, as they were when it was written."""
  where = f"checkpoint {manager.directory / str(step)}"
  try:
    with _quiet():
      stored = manager.restore(step, args=ocp.args.StandardRestore())
  except Exception as error:  # Whatever the layers below orbax raise.
    raise DamagedError(f"{where} cannot be read ({_reason(error)})") from error
  flat = {path: np.asarray(value) for path, value in stored.items()}
  # Checkpoints of older versions have none.
  digest = flat.pop(_DIGEST, None)
  if digest is not None and not np.array_equal(digest, _digest(flat)):
    raise DamagedError(f"{where} cannot be read (its digest does not fit)")
  return flat


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Hides what the leaves say that are left when orbax gives up on one.

  Some speak only when their reads and writes end: the hook stays, once it has
  given up.
  """
  hook = sys.unraisablehook
  if getattr(hook, "func", None) is not _without_late_leaves:
    sys.unraisablehook = functools.partial(_without_late_leaves, hook)
  try:
    yield
  except Exception:
    gc.collect()
    raise
  sys.unraisablehook = hook


def _without_late_leaves(hook: Callable[[Any], None], found: Any) -> None:
  late = inspect.iscoroutine(found.object)
  if not late and "Event loop is closed" not in str(found.exc_value):
    hook(found)


def _reason(error: Exception) -> str:
  """The first line of what an error says."""
  return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _digest(flat: Mapping[str, Any]) -> np.ndarray:
  """SHA-256 of paths, dtypes, shapes and values: uint8 [32]."""
  found = hashlib.sha256()
  for path in sorted(flat):
    value = np.ascontiguousarray(flat[path])
    found.update(f"{path} {value.dtype} {np.shape(flat[path])}\n".encode())
    found.update(value.reshape(-1).view(np.uint8))
  return np.frombuffer(found.digest(), np.uint8)


def _flatten(tree: Tree) -> dict[str, Any]:
  """{path: leaf} in the order of the tree's leaves."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
