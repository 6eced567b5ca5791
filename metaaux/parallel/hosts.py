"""Several hosts: the first one writes, and all know the same.

Every host runs the same program on its own devices. The first host owns the run
directory: nothing is written twice, and the other hosts need not see the
directory. The first host tells them what it reads there, or what is wrong with
it. With one host nothing here does anything.
"""

import contextlib
import hashlib
import inspect
import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from metaaux import messages
from metaaux.errors import HostError, UserError

Tree = Any
T = TypeVar("T")

# A host that has not been heard of for so long is taken for dead.
PATIENCE_SECS = 30


def connect(
  coordinator: str | None = None,
  num_hosts: int | None = None,
  host: int | None = None,
) -> None:
  """Joins the hosts of a run, before JAX computes anything.

  Args:
    coordinator: ADDRESS:PORT of the first host; None: Slurm, the TPU or Open
      MPI knows all three arguments.
    num_hosts: number of hosts.
    host: number of this host, from 0.

  Raises:
    UserError: an argument is None and the environment does not know it, or the
      other hosts cannot be reached.
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
  """A block in which several hosts train, and the first speaks for all.

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
  """Number of hosts."""
  # Asking for the number would claim the devices, of which data needs none.
  return jax.process_count() if jax.distributed.is_initialized() else 1


def is_first() -> bool:
  """Whether this is the host that writes."""
  return jax.process_index() == 0


def on_first(compute: Callable[[], Any]) -> Any:
  """Computes on the first host; returns or raises the same on all.

  Args:
    compute: returns something that JSON can hold, or raises.

  Raises:
    UserError: `compute` raised it; any error of the first host is a UserError
      on the others.
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


def only_on_first(compute: Callable[[], T]) -> T | None:
  """Computes on the first host, whose value stays there; None on the others.

  Args:
    compute: returns anything, or raises.

  Raises:
    UserError: as `on_first`.
  """
  found: T | None = None

  def keep() -> None:
    nonlocal found
    found = compute()

  on_first(keep)
  return found


def _tell(message: dict[str, Any]) -> tuple[Any, str | None]:
  """`value` and `failure` in the message of the first host."""
  text = np.frombuffer(json.dumps(message).encode(), np.uint8)
  size = int(broadcast(np.asarray(text.size, np.int64)))
  if not is_first():
    text = np.zeros(size, np.uint8)
  told = json.loads(broadcast(text).tobytes())
  return told["value"], told["failure"]


def broadcast(tree: Tree) -> Tree:
  """The first host's arrays on all hosts, bit for bit.

  Args:
    tree: NumPy arrays; the other hosts need the same shapes and dtypes.
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
  """The result of `make` on the first host, on all hosts.

  Args:
    make: returns NumPy arrays; called on the first host only.
    template: shapes and dtypes of these arrays.

  Raises:
    UserError: `make` raised it.
  """
  made = only_on_first(make)
  return broadcast(made if is_first() else template)


def check_same(what: str, value: Callable[[], Any]) -> None:
  """Refuses hosts that have different values, over which they would hang.

  Args:
    what: name of the value in the message, such as "their data".
    value: returns something that JSON can hold; not called with one host.

  Raises:
    UserError: some host has another value than the first; all hosts raise it.
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
  """Computes on every host; a failure on one is a failure on all.

  Args:
    compute: may return another value on each host; no host waits in it.

  Raises:
    UserError: `compute` failed on other hosts alone, which say why.
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
  """Whether the flag is true on any host; all hosts wait for each other."""
  if count() == 1:
    return flag
  return bool(multihost_utils.process_allgather(np.asarray(flag)).any())


def in_turn(program: Callable[..., Any]) -> Callable[..., Any]:
  """A program that on CPUs ends before the next one begins.

  Two programs at once would wait there for each other's sums over the hosts.
  Accelerators run programs in order anyway.
  """
  if count() == 1 or jax.default_backend() != "cpu":
    return program
  return lambda *arguments: jax.block_until_ready(program(*arguments))


def fetch(x: jax.Array) -> np.ndarray:
  """The whole of an array, with the parts that lie on other hosts."""
  if x.is_fully_addressable:
    return np.asarray(x)
  return np.asarray(multihost_utils.process_allgather(x, tiled=True))
