"""What a sweep shows: a live table on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from . import state as sweep_state
from .state import (
  FAILED,
  FINISHED,
  RUNNING,
  STOPPED,
  WAITING,
  State,
)

# Name of a run -> its state; shows them.
Show = Callable[[Mapping[str, State]], None]

_STYLES = {FINISHED: "green", RUNNING: "cyan", FAILED: "red", STOPPED: "yellow"}
# From the top of the live table; the other runs are counted.
_ORDER = (RUNNING, FAILED, STOPPED, FINISHED, WAITING)
_MAX_ROWS = 30


@contextlib.contextmanager
def opened(title: str) -> Iterator[Show]:
  """A function that shows the states of the runs; call it when they change."""
  started: dict[str, float] = {}
  rich = _rich() if sys.stdout.isatty() else None
  if rich is None:
    known: dict[str, str] = {}
    yield lambda states: _lines(states, known, started)
    return
  live_lib, table_lib = rich
  with live_lib.Live(refresh_per_second=4) as live:
    yield lambda states: live.update(
      _table(table_lib, title, states, _clock(states, started))
    )


def _rich() -> tuple[Any, Any] | None:
  try:
    from rich import live, table
  except ImportError:
    return None
  return live, table


def _clock(
  states: Mapping[str, State], started: dict[str, float]
) -> dict[str, float]:
  """Seconds since each run was first seen to be running; `started` is kept."""
  now = time.monotonic()
  for name, state in states.items():
    if state.status == RUNNING:
      started.setdefault(name, now)
  return {name: now - begin for name, begin in started.items()}


def _lines(
  states: Mapping[str, State],
  known: dict[str, str],
  started: dict[str, float],
) -> None:
  """Prints a line for each run whose status is another than before."""
  clock = _clock(states, started)
  ended = sum(state.status in (FINISHED, FAILED) for state in states.values())
  # The counts above the first lines have what is of no interest now.
  quiet = (WAITING,) if known else (FINISHED, STOPPED, WAITING)
  for name, state in states.items():
    if known.get(name) != state.status and state.status not in quiet:
      over = state.status != RUNNING
      secs = f"{clock[name]:.0f} s" if over and name in clock else ""
      note = state.note if over else ""
      words = (f"{ended}/{len(states)}", state.status, name, secs, note)
      print("  ".join(filter(None, words)), flush=True)
    known[name] = state.status


def _table(
  library: Any,
  title: str,
  states: Mapping[str, State],
  clock: Mapping[str, float],
) -> Any:
  table = library.Table(
    title=f"{title}: {sweep_state.count(states.values())}",
    title_justify="left",
    expand=True,
  )
  # The texts share what the others leave, and end in dots where that is little.
  table.add_column("run", no_wrap=True, ratio=3)
  table.add_column("state", no_wrap=True, width=8)
  table.add_column("time", no_wrap=True, width=7, justify="right")
  table.add_column("result", no_wrap=True, ratio=2)
  ordered = sorted(
    states.items(),
    key=lambda item: _ORDER.index(item[1].status),
  )
  for name, state in ordered[:_MAX_ROWS]:
    secs = f"{clock[name]:.0f} s" if state.status == RUNNING else ""
    style = _STYLES.get(state.status, "dim")
    # A Text, since a name may hold what the markup of rich knows.
    cells = (name, state.status, secs, state.note)
    table.add_row(*map(_text, cells), style=style)
  if len(ordered) > _MAX_ROWS:
    table.add_row(f"and {len(ordered) - _MAX_ROWS} more", style="dim")
  return table


def _text(cell: str) -> Any:
  from rich.text import Text

  return Text(cell)
