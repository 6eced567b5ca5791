"""Measures memory, and explains in one line where it is not enough."""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from metaaux.errors import UserError

# Of a group of processes with a limit of its own, as containers have it:
# limit and use, version 2 and version 1.
_GROUPS = (
  ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
  (
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes",
  ),
)
_WANTED = re.compile(r"allocat\w* (?:of )?(\d+) ?bytes|allocate ([\d.]+\w+)")
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def available() -> int | None:
  """Bytes that this process may still take; None where it is not known."""
  found = [_of_system(), *(_of_group(*names) for names in _GROUPS)]
  known = [number for number in found if number is not None]
  return min(known) if known else None


def check(nbytes: int, what: str, remedy: str) -> None:
  """Raises UserError if `nbytes` are more than there are.

  Args:
    nbytes: bytes that are about to be allocated.
    what: beginning of the message, which names what needs them.
    remedy: end of the message, which says what to do.
  """
  there = available()
  if there is not None and nbytes > there:
    raise UserError(
      f"{what} would take {size(nbytes)} of memory, and {size(there)} are "
      f"free; {remedy}"
    )


def size(nbytes: float) -> str:
  """`12.3 GB`."""
  unit = 0
  while nbytes >= 1000 and unit < len(_UNITS) - 1:
    nbytes, unit = nbytes / 1000, unit + 1
  number = f"{nbytes:.1f}" if unit else f"{nbytes:.0f}"
  return f"{number} {_UNITS[unit]}"


@contextlib.contextmanager
def explained(config: Any) -> Iterator[None]:
  """Turns failed allocations in the block, of NumPy or a device, to UserErrors.

  Args:
    config: the config whose keys decide how much memory is needed.

  Raises:
    UserError: memory was not enough.
  """
  try:
    yield
  except UserError:
    raise
  except (MemoryError, RuntimeError, ValueError) as error:
    reason = _reason(error)
    if reason is None:
      raise
    there = available()
    free = "" if there is None else f", {size(there)} of main memory are free"
    raise UserError(
      f"out of memory ({reason}{free}); lower {keys(config)}"
    ) from error


def _reason(error: Exception) -> str | None:
  """The part of an error about memory; None: it is about something else."""
  text = " ".join(str(error).split())
  is_device = isinstance(error, RuntimeError)
  if is_device and "RESOURCE_EXHAUSTED" not in text:
    return None
  # NumPy's, of an array with more bytes than a pointer can tell.
  if isinstance(error, ValueError) and not (
    "array is too big" in text or "Maximum allowed dimension" in text
  ):
    return None
  found = _WANTED.search(text)
  if found and found[1]:
    return f"{size(int(found[1]))} were asked for at once"
  return text[:160] or type(error).__name__


def keys(config: Any, *, of_states: bool = False) -> str:
  """The keys that memory depends on most, with their values.

  Args:
    config: of a run.
    of_states: whether to list only keys that parameters depend on.
  """
  psi = (
    config.psi if isinstance(config.psi, int) else max(config.psi, default=0)
  )
  model, inner, seeds = config.model, config.inner.num_steps, config.num_seeds
  found = [
    "" if of_states else f"batch_size ({config.batch_size})",
    f"model.width ({model.width:g})",
    f"model.widths ({model.widths})" if model.name == "convnet" else "",
    f"model.hidden ({model.hidden})",
    f"psi ({psi})" if psi else "",
    f"num_seeds ({seeds})" if seeds > 1 else "",
    f"inner.num_steps ({inner})" if inner > 1 and not of_states else "",
    "image_side",
  ]
  *some, last = filter(None, found)
  return f"{', '.join(some)} or {last}"


def _of_system() -> int | None:
  try:
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
      if line.startswith("MemAvailable:"):
        return 1024 * int(line.split()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  except (OSError, ValueError, AttributeError):
    try:
      return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
      return None


def _of_group(limit: str, use: str) -> int | None:
  try:
    found = [pathlib.Path(name).read_text().strip() for name in (limit, use)]
    return max(0, int(found[0]) - int(found[1]))
  except (OSError, ValueError):  # "max": without a limit
    return None
