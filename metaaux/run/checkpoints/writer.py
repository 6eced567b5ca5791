"""Writes checkpoints while training goes on."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from metaaux import messages
from metaaux.errors import UserError
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.logs import rows as rows_lib

Tree = Any


class Saver:
  """Writes one checkpoint at a time, in a thread of its own.

  A step waits for the copy of its state and no more. A checkpoint that cannot
  be written is reported and left out; the run goes on to its next save. A host
  that does not write only checks states, so that all hosts fail at one step.
  """

  def __init__(self, manager: Any | None, rows: rows_lib.RowFile) -> None:
    """Saves with `manager`, after `rows` are on disk.

    A manager of None does not write: another host does.
    """
    self.manager = manager
    self._rows = rows
    # Its thread starts with the first save.
    self._pool = ThreadPoolExecutor(1, "checkpoint")
    self._running: Future[str] | None = None
    self._failure = ""

  def save(self, step: int, state: Tree) -> None:
    """Begins to write a state under `step`, once the state before is written.

    Args:
      step: updates of all stages.
      state: host arrays, which may be views of memory that a step will reuse.

    Raises:
      NonFiniteError: a value of the state before is not finite.
    """
    self.wait()
    try:
      self._rows.write()
    except OSError as error:
      self._failure = _report(step, error)
      return
    own = jax.tree.map(lambda x: x if x.flags.owndata else np.array(x), state)
    self._running = self._pool.submit(self._write, step, own)

  def _write(self, step: int, state: Tree) -> str:
    """Writes a state; returns what is wrong with the disk, or nothing."""
    if self.manager is None:
      checkpoint_format.check_finite(step, state)
      return ""
    try:
      self._rows.sync()
      checkpoint_format.save(self.manager, step, state)
    except OSError as error:
      return _report(step, error)
    return ""

  def wait(self) -> None:
    """Waits until nothing is being written.

    Raises:
      NonFiniteError: a value of the last state is not finite.
    """
    running, self._running = self._running, None
    if running is not None:
      self._failure = running.result()

  def finish(self, step: int) -> None:
    """Waits for the last checkpoint of a run.

    Raises:
      NonFiniteError: a value of the last state is not finite.
      UserError: the checkpoint is not on disk.
    """
    self.wait()
    if self.manager is None:
      return
    if checkpoint_format.latest_step(self.manager) != step:
      raise UserError(
        f"checkpoint of step {step} is not written ({self._failure}); make "
        "room and start the same command again, which goes on from "
        f"step {checkpoint_format.latest_step(self.manager) or 0}"
      )

  def close(self) -> None:
    """Ends the thread, after it has written what it is writing."""
    self._pool.shutdown()


def _report(step: int, error: OSError) -> str:
  reason = error.strerror or str(error)
  messages.warn(
    f"checkpoint of step {step} is not written ({reason}); the run goes on to "
    "its next save"
  )
  return reason
