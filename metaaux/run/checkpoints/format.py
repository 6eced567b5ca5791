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
import glob
import hashlib
import itertools
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from metaaux.errors import DamagedError, NonFiniteError, UserError
from metaaux.parallel import hosts
from metaaux.run.checkpoints import late_messages

Tree = Any
# Path of the digest; those of a state's leaves begin with a dot or a bracket.
_DIGEST = "sha256"
# Folder of a checkpoint that holds the leaves.
_ITEM = "default"
# File of a checkpoint that orbax keeps for itself.
_ABOUT = "_CHECKPOINT_METADATA"


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
    keep: how many of the newest to keep; None: the manager only reads, and
      makes or removes nothing, since another process may be writing.
    keep_steps: steps to keep besides, however old they are.
    best: saved steps -> the one to keep besides, or None.

  Raises:
    UserError: something else stands in the place of the folder or of a file.
  """
  # What goes wrong is reported here, in a line and not in three tracebacks.
  logging.getLogger("absl").setLevel(logging.CRITICAL)
  writes = keep is not None
  if writes:
    try:
      os.makedirs(directory, exist_ok=True)
    except OSError as error:
      raise UserError(
        f"{directory} cannot be made ({error.strerror}); move away what is "
        "there"
      ) from None
  # Orbax reads these of all steps at once.
  folders = os.path.join(glob.escape(os.fspath(directory)), "*")
  for each in glob.glob(os.path.join(folders, _ABOUT)):
    if _never_ends(each):
      raise UserError(f"{each} is no regular file; move it away")
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
    OSError: the state cannot be written; nothing is left of it.
  """
  if step in manager.all_steps():
    return
  check_finite(step, state)
  flat = _flatten(state)
  flat[_DIGEST] = _digest(flat)
  try:
    _free_name(manager.directory / str(step))
    with late_messages.hidden():
      written = manager.save(step, args=ocp.args.StandardSave(flat))
      manager.wait_until_finished()
  except Exception as error:  # Whatever the layers below orbax raise.
    _remove_partial(manager, step)
    raise _as_os_error(error) from error
  if not written:  # Orbax passes over what is older than the newest one.
    raise FileExistsError(
      errno.EEXIST, "there is a newer one", str(manager.directory)
    )


def check_finite(step: int, state: Tree) -> None:
  """Refuses to save a state after `step` that is not finite.

  The metrics of a step describe the state before it, so they cannot tell.

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
  """The error of the system, which tensorstore buries in a text of its own."""
  if isinstance(error, OSError) and error.errno:
    return error
  code = re.search(r"os_error_code='(\d+)'", str(error))
  number = int(code[1]) if code else errno.EIO
  return OSError(number, os.strerror(number) if code else _reason(error))


def _free_name(path: os.PathLike[str]) -> None:
  """Removes a link or a file that stands where a folder has to be."""
  if os.path.islink(path) or not os.path.isdir(path):
    with contextlib.suppress(FileNotFoundError):
      os.unlink(path)


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
  manager: ocp.CheckpointManager,
  report: Callable[[str], None],
  *,
  lost: int | None = None,
  last: int | None = None,
) -> int | None:
  """Step of the newest checkpoint to go on from, None if there is none.

  It removes newer ones, which the run will write again: those that cannot be
  read, and those whose evaluations are lost.

  Args:
    manager: one that may write.
    report: receives a line for each checkpoint that is removed.
    lost: step of the first evaluation whose rows are lost; None: none is.
    last: step at which the run ends; None: not known.

  Raises:
    DamagedError: no checkpoint can be read; nothing is removed.
    UserError: no checkpoint is before `lost`; or one is of another run, or a
      damaged one cannot be removed.
  """
  left_out: list[tuple[int, str]] = []
  only_rows = False
  for step in reversed(all_steps(manager)):
    path = manager.directory / str(step)
    why = ""
    try:
      _read(manager, step)
    except DamagedError as error:
      why = str(error)
    if last is not None and step > last and not why:
      raise UserError(
        f"checkpoint {path} is of another run, since this one ends at step "
        f"{last}; move it away and start the same command again"
      )
    if lost is not None and step >= lost and not why:
      why = f"the rows of step {lost}, before checkpoint {path}, are lost"
      only_rows = True
    if why:
      left_out.append((step, why))
      continue
    for bad, why in left_out:
      report(f"{why}; it is removed, and the run goes on from step {step}")
      _remove(manager, bad)
    return step
  if left_out:
    raise _none_left(manager, left_out[0][1], lost if only_rows else None)
  return None


def _none_left(
  manager: ocp.CheckpointManager, why: str, lost: int | None
) -> UserError:
  """The error that no run can go on from any of the checkpoints."""
  if lost is None:
    return DamagedError(
      f"{why}, nor can an older one; restore the folder, or start anew with "
      "--overwrite"
    )
  return UserError(
    f"metrics.jsonl has lost rows of the evaluation at step {lost}, and no "
    f"checkpoint in {manager.directory} is older; restore the file, or train "
    "in another --workdir (python -m metaaux.evaluate still evaluates what is "
    "trained)"
  )


def _remove(manager: ocp.CheckpointManager, step: int) -> None:
  """Takes a checkpoint away, whatever its folder has become."""
  path = str(manager.directory / str(step))
  # What cannot be emptied can still be called something else.
  aside = next(
    name
    for name in (f"{path}.damaged{i}" for i in itertools.count())
    if not os.path.lexists(name)
  )
  try:
    os.rename(path, aside)
    if os.path.islink(aside):
      os.unlink(aside)
  except OSError as error:
    raise UserError(
      f"checkpoint {path} cannot be used, nor removed "
      f"({error.strerror}); move it away and start the same command again"
    ) from error
  shutil.rmtree(aside, ignore_errors=True)
  manager.reload()


def restore(manager: ocp.CheckpointManager, step: int, template: Tree) -> Tree:
  """Reads a state with the structure, shapes and dtypes of `template`.

  Raises:
    DamagedError: the checkpoint cannot be read, or has changed since.
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
  path = manager.directory / str(step)
  where = f"checkpoint {path}"
  try:
    _check_files(path)
    # By itself: a manager takes the layout of the first one that it reads for
    # that of all, and that one may be damaged.
    with late_messages.hidden(), _reader() as reader:
      stored = reader.restore(path / _ITEM, args=ocp.args.StandardRestore())
    flat = {path: np.asarray(value) for path, value in stored.items()}
  except MemoryError:  # says nothing about the checkpoint
    raise
  except Exception as error:  # Whatever the layers below orbax raise.
    raise DamagedError(f"{where} cannot be read ({_reason(error)})") from error
  # Checkpoints of older versions have none.
  digest = flat.pop(_DIGEST, None)
  intact = all(path == "" or path[0] in ".[" for path in flat)
  if digest is not None:
    intact = intact and np.array_equal(digest, _digest(flat))
  if not intact:
    raise DamagedError(f"{where} cannot be read (its digest does not fit)")
  return flat


def _reader() -> ocp.Checkpointer:
  alone = _alone()
  handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
  return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _check_files(folder: os.PathLike[str]) -> None:
  """Raises OSError for a pipe, a device or a folder that may not be read."""

  def refuse(error: OSError) -> None:
    raise error

  for parent, _, names in os.walk(folder, onerror=refuse):
    for name in names:
      if _never_ends(os.path.join(parent, name)):
        raise OSError(errno.EINVAL, "no regular file", name)


def _never_ends(path: str) -> bool:
  """Whether a path leads to a pipe or a device, which never ends."""
  known = os.path.isfile(path) or os.path.isdir(path)
  return os.path.exists(path) and not known


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
