"""Several hosts: one of them writes, and all know the same.

Every host runs the same program on its own devices. The first one owns the run
directory, so that nothing is written twice and the others need not see it; what
it reads there, or what is wrong with it, the others learn from it. With one
host nothing here does anything.
"""

import contextlib
import hashlib
import inspect
import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from metaaux import messages
from metaaux.errors import HostError, UserError

Tree = Any

# A host that has not been heard of for so long is taken for dead.
PATIENCE_SECS = 30


def connect(
  coordinator: str | None = None,
  num_hosts: int | None = None,
  host: int | None = None,
) -> None:
  """Joins the hosts of a run; before anything is computed.

  Args:
    coordinator: ADDRESS:PORT of the first host; None: Slurm, the TPU or Open
      MPI knows it, and the other two.
    num_hosts: how many there are.
    host: which one this is, from 0.

  Raises:
    UserError: nothing says what is None, or the others cannot be reached.
  """
  handler = signal.getsignal(signal.SIGTERM)
  initialize, more = jax.distributed.initialize, {}
  # Older versions always wait five minutes for hosts that do not end with us.
  if "shutdown_timeout_seconds" in inspect.signature(initialize).parameters:
    more["shutdown_timeout_seconds"] = PATIENCE_SECS
  try:
    initialize(
      coordinator,
      num_hosts,
      host,
      # With all of the three known, nothing is looked for.
      cluster_detection_method="deactivate" if coordinator else None,
      heartbeat_timeout_seconds=PATIENCE_SECS,
      **more,
    )
  except (ValueError, RuntimeError) as error:
    reason = str(error).splitlines()[0]
    raise UserError(
      f"the hosts of the run cannot be joined ({reason}); give "
      "--coordinator=ADDRESS:PORT --num_hosts=N --host=I, or start it with srun"
    ) from error
  # JAX has put its own in the place of the one that finishes the step.
  signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def joined() -> Iterator[None]:
  """While several hosts train; the first one speaks for all.

  Raises:
    HostError: another host is gone.
  """
  messages.say(
    f"host {jax.process_index()} of {count()}, with {jax.local_device_count()} "
    f"of {jax.device_count()} devices; should another host stop, this one ends "
    f"within {PATIENCE_SECS} seconds, and the same command on all resumes"
  )
  try:
    with contextlib.ExitStack() as stack:
      if not is_first():
        silence = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stderr(silence))
      yield
  except jax.errors.JaxRuntimeError as error:
    reason = str(error).splitlines()[0]
    if count() == 1 or "RESOURCE_EXHAUSTED" in reason:
      raise
    raise HostError(
      f"host {jax.process_index()} does not reach the others any more "
      f"({reason}); see what they say, and start the same command on all "
      "hosts, which resumes"
    ) from error


def count() -> int:
  """How many hosts there are."""
  # Asking for the number would claim the devices, of which data needs none.
  return jax.process_count() if jax.distributed.is_initialized() else 1


def is_first() -> bool:
  """Whether this is the host that writes."""
  return jax.process_index() == 0


def on_first(compute: Callable[[], Any]) -> Any:
  """Computes on the first host; returns, or raises, the same on all.

  Args:
    compute: returns something that JSON holds, or raises.

  Raises:
    UserError: as `compute` did; other errors of the first host, too, are
      UserErrors on the others.
  """
  if count() == 1:
    return compute()
  value, error = None, None
  if is_first():
    try:
      value = compute()
    except Exception as caught:  # The others must not wait for it forever.
      error = caught
  failure = None if error is None else f"on the first host: {error}"
  value, failure = _tell({"value": value, "failure": failure})
  if error is not None:
    raise error
  if failure is not None:
    raise UserError(failure)
  return value


def _tell(message: dict[str, Any]) -> tuple[Any, str | None]:
  """`value` and `failure` of the first host's message."""
  text = np.frombuffer(json.dumps(message).encode(), np.uint8)
  size = int(broadcast(np.asarray(text.size, np.int64)))
  if not is_first():
    text = np.zeros(size, np.uint8)
  told = json.loads(broadcast(text).tobytes())
  return told["value"], told["failure"]


def broadcast(tree: Tree) -> Tree:
  """The first host's arrays on all hosts, bit for bit.

  Args:
    tree: of NumPy arrays; on other hosts their shapes and dtypes suffice.
  """
  if count() == 1:
    return tree
  leaves, structure = jax.tree.flatten(tree)
  sizes = [int(np.prod(x.shape)) * np.dtype(x.dtype).itemsize for x in leaves]
  if is_first():
    flat = [np.ascontiguousarray(x).reshape(-1).view(np.uint8) for x in leaves]
    own = np.concatenate([*flat, np.zeros(0, np.uint8)])
  else:
    own = np.zeros(sum(sizes), np.uint8)
  # A sum of bytes, of which all but one are zero.
  told = np.asarray(multihost_utils.broadcast_one_to_all(own), np.uint8)
  parts = np.split(told, np.cumsum(sizes)[:-1])
  arrays = [
    part.view(x.dtype).reshape(x.shape)
    for part, x in zip(parts, leaves, strict=True)
  ]
  return jax.tree.unflatten(structure, arrays)


def tree_of_first(make: Callable[[], Tree], template: Tree) -> Tree:
  """What `make` returns on the first host, on all.

  Args:
    make: returns NumPy arrays; called on the first host only.
    template: their shapes and dtypes.

  Raises:
    UserError: as `make` did.
  """
  made: list[Tree] = []
  on_first(lambda: made.append(make()))
  return broadcast(made[0] if made else template)


def check_same(what: str, value: Callable[[], Any]) -> None:
  """Finds out whether all hosts have the same, before they hang over it.

  Args:
    what: "their data", for the message.
    value: returns something that JSON holds; with one host not called.

  Raises:
    UserError: some host has another value than the first; on all hosts.
  """
  if count() == 1:
    return
  text = json.dumps(value(), sort_keys=True).encode()
  own = np.frombuffer(hashlib.sha256(text).digest(), np.uint8)
  all_HxB = np.asarray(multihost_utils.process_allgather(own))
  others = np.flatnonzero((all_HxB != all_HxB[0]).any(1)).tolist()
  if others:
    raise UserError(
      f"hosts {others} of {count()} differ from host 0 in {what}; start the "
      "same command with the same versions and data on all"
    )


def together(compute: Callable[[], Any]) -> Any:
  """Computes on every host; where it fails on one, it fails on all.

  Args:
    compute: may return another value on each host; no host waits in it.

  Raises:
    UserError: it failed on others alone; they say why.
  """
  if count() == 1:
    return compute()
  value, error = None, None
  try:
    value = compute()
  except Exception as caught:  # The others must not wait for it forever.
    error = caught
  try:
    failed_H = np.asarray(
      multihost_utils.process_allgather(np.asarray(error is not None))
    )
  finally:  # Also where nobody is there to be told.
    if error is not None:
      raise error
  if failed_H.any():
    raise UserError(
      f"hosts {np.flatnonzero(failed_H).tolist()} of {count()} have failed; "
      "see what they say"
    )
  return value


def any_of(flag: bool) -> bool:
  """Whether it is true on any host; all wait for each other."""
  if count() == 1:
    return flag
  return bool(multihost_utils.process_allgather(np.asarray(flag)).any())


def in_turn(program: Callable[..., Any]) -> Callable[..., Any]:
  """`program`, which on CPUs ends before the next one begins.

  There two programs at once would wait for each other's sums over the hosts.
  Accelerators keep their order.
  """
  if count() == 1 or jax.default_backend() != "cpu":
    return program
  return lambda *arguments: jax.block_until_ready(program(*arguments))


def fetch(x: jax.Array) -> np.ndarray:
  """All of an array, those parts too that lie on other hosts."""
  if x.is_fully_addressable:
    return np.asarray(x)
  return np.asarray(multihost_utils.process_allgather(x, tiled=True))
