"""Checkpoints through orbax, which no other file knows.

A state is saved as a flat dict {path: NumPy array} without a device axis, so
that it can be restored on another number of devices. Orbax returns the stored
array when a template's shape differs and casts when its dtype differs; hence
the comparison here, leaf by leaf.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from metaaux.errors import NonFiniteError, UserError

Tree = Any


def open_manager(
  directory: str, keep: int | None = None, *, keep_steps: Sequence[int] = ()
) -> ocp.CheckpointManager:
  """A manager of the checkpoints in `directory`.

  Half-written checkpoints of a killed run are removed; a checkpoint appears
  under its final name only when it is complete.

  Args:
    directory: where to keep them; made if missing.
    keep: how many of the newest to keep; None: to read only, nothing is made
      or removed, since another process may be writing.
    keep_steps: that are kept besides, however old.
  """
  logging.getLogger("absl").setLevel(logging.ERROR)
  writes = keep is not None
  policies = ocp.checkpoint_managers
  kept = [policies.LatestN(keep), policies.CustomSteps(keep_steps)]
  options = ocp.CheckpointManagerOptions(
    preservation_policy=policies.AnyPreservationPolicy(kept),
    create=writes,
    read_only=not writes,
    cleanup_tmp_directories=writes,
    enable_async_checkpointing=False,
  )
  return ocp.CheckpointManager(os.path.abspath(directory), options=options)


def save(manager: ocp.CheckpointManager, step: int, state: Tree) -> None:
  """Writes a host state under `step` and waits until it is on disk.

  Raises:
    NonFiniteError: a value is not finite; nothing is written.
  """
  if step in manager.all_steps():
    return
  flat = _flatten(state)
  for path, value in flat.items():
    # The metrics of a step are of the state before it, so they cannot tell.
    is_float = jax.dtypes.issubdtype(value.dtype, np.inexact)
    if is_float and not np.isfinite(value).all():
      raise NonFiniteError(
        f"{path} is not finite after step {step}; lower "
        "optimizer.learning_rate or set optimizer.clip_norm"
      )
  manager.save(step, args=ocp.args.StandardSave(flat))
  manager.wait_until_finished()


def latest_step(manager: ocp.CheckpointManager) -> int | None:
  """Step of the newest complete checkpoint, None if there is none."""
  return manager.latest_step()


def all_steps(manager: ocp.CheckpointManager) -> list[int]:
  """Steps of all complete checkpoints, in order."""
  return sorted(manager.all_steps())


def restore(manager: ocp.CheckpointManager, step: int, template: Tree) -> Tree:
  """Reads a state with the structure, shapes and dtypes of `template`.

  Raises:
    UserError: the checkpoint is damaged; or a leaf is missing, unexpected or of
      another shape or dtype.
  """
  try:
    stored = manager.restore(step, args=ocp.args.StandardRestore())
  except Exception as error:  # Whatever the layers below orbax raise.
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    raise UserError(
      f"checkpoint {manager.directory / str(step)} cannot be read ({reason}); "
      "remove that folder to go on from the one before it"
    ) from error
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
  return jax.tree.unflatten(
    structure, [np.asarray(stored[path]) for path in expected]
  )


def _flatten(tree: Tree) -> dict[str, Any]:
  """{path: leaf} in the order of the tree's leaves."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
