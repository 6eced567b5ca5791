"""What a run writes and shows: rows, results, progress, intervals."""

import contextlib
import errno
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, BinaryIO, Protocol

import numpy as np
from scipy.special import stdtrit
from tqdm import tqdm

from metaaux import streams, waiting
from metaaux.errors import UserError

# Ends the name of a file that is being written.
PARTIAL = ".partial"


def mean_ci(values: Sequence[float]) -> tuple[float, float | None]:
  """Mean and half-width of its 95% t-interval; None for a single value."""
  values = np.asarray(values, np.float64)
  mean = float(values.mean())
  if values.size < 2:
    return mean, None
  error = values.std(ddof=1) / math.sqrt(values.size)
  return mean, float(stdtrit(values.size - 1, 0.975) * error)


def paired(
  values: Sequence[float], baseline: Sequence[float]
) -> tuple[float, float | None]:
  """Mean difference over the same seeds and its 95% half-width.

  Raises:
    ValueError: the two have different lengths.
  """
  if len(values) != len(baseline):
    raise ValueError(
      f"a paired difference needs the same seeds; got {len(values)} and "
      f"{len(baseline)} values"
    )
  return mean_ci(np.subtract(values, baseline))


def format_ci(mean: float, half: float | None, *, percent: bool = True) -> str:
  """`71.3 ± 0.4`, or `71.3` where there is no interval."""
  scale = 100.0 if percent else 1.0
  text = f"{scale * mean:.2f}"
  return text if half is None else f"{text} ± {scale * half:.2f}"


def count(number: int, noun: str) -> str:
  """`1 seed`, `5 seeds`."""
  return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def open_regular(path: str, mode: str, **options: Any) -> IO[Any]:
  """As `open`, for reading what may be a pipe or a device, without end.

  Raises:
    OSError: also if it is no regular file.
  """
  if os.path.exists(path) and not os.path.isfile(path):
    what = errno.EISDIR if os.path.isdir(path) else errno.EINVAL
    said = os.strerror(what) if os.path.isdir(path) else "no regular file"
    raise OSError(what, said, path)
  return open(path, mode, **options)


def write_json(path: str, value: Any) -> None:
  """Writes a file that is either absent or complete, also after a crash."""
  text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
  _replace(path, text + "\n")


def _replace(path: str, text: str) -> None:
  # The name is fixed, so that what a killed process leaves is found again.
  with open(path + PARTIAL, "w", encoding="utf-8") as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  os.replace(path + PARTIAL, path)


def read_rows(path: str) -> list[dict[str, Any]]:
  """Rows of a metrics file; what is none is left out, with a warning.

  Raises:
    UserError: the file is there and cannot be read.
  """
  lines = read_lines(path)
  rows = [line for line in lines if is_row(line)]
  # The last line may be in the middle of being written.
  lost = len(lines) - len(rows) - (bool(lines) and not is_row(lines[-1]))
  if lost:
    warn(f"{count(lost, 'line')} of {path} cannot be read; what they say lacks")
  return rows


def read_lines(path: str) -> list[Any]:
  """What the lines of a metrics file hold; None: one that is not JSON.

  Raises:
    UserError: the file is there and cannot be read.
  """
  if not os.path.lexists(path):
    return []
  try:
    with open_regular(path, "r", encoding="utf-8", errors="replace") as file:
      return [_parsed(line) for line in file]
  except OSError as error:
    raise UserError(
      f"{path} cannot be read ({error.strerror}); restore the file"
    ) from None


def _parsed(line: str) -> Any:
  try:
    return json.loads(line)
  except (ValueError, RecursionError):
    return None


def is_row(value: Any) -> bool:
  """Whether a line of a metrics file is a row, of whatever run."""
  return (
    isinstance(value, dict)
    and type(value.get("total_step")) is int
    and isinstance(value.get("split"), str)
  )


def write_rows(path: str, rows: Iterable[Mapping[str, Any]]) -> None:
  """Replaces a metrics file as a whole."""
  _replace(path, "".join(map(_line, rows)))


def _line(row: Mapping[str, Any]) -> str:
  return json.dumps(row, allow_nan=False) + "\n"


def append_rows(file: BinaryIO, rows: Iterable[Mapping[str, Any]]) -> None:
  """Adds rows to an open metrics file and hands them to the system.

  Args:
    file: opened for appending, without a buffer.
    rows: all of which are added, or none.

  Raises:
    OSError: the system does not take them.
  """
  text = "".join(map(_line, rows)).encode()
  end = file.seek(0, os.SEEK_END)
  try:
    while text:
      text = text[file.write(text) :]
  except OSError:
    file.truncate(end)
    raise


class Rows(Protocol):
  """Whatever takes rows."""

  def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
    """Takes rows, in their order."""


class RowFile:
  """The open metrics file of a run; rows without room wait for some."""

  def __init__(self, file: BinaryIO, then: Rows | None = None) -> None:
    """Adds to a file that is open for appending, without a buffer.

    Args:
      file: of the rows.
      then: gets each row once the file has it.
    """
    self._file, self._then = file, then
    self._waiting: list[Mapping[str, Any]] = []

  def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds rows now, or with the next ones if the disk is full."""
    first = not self._waiting
    self._waiting += rows
    try:
      self.write()
    except OSError as error:
      if first:
        warn(f"{self._file.name} cannot be written ({error.strerror})")

  def write(self) -> None:
    """Adds what waits.

    Raises:
      OSError: there is still no room.
    """
    if self._waiting:
      append_rows(self._file, self._waiting)
      written, self._waiting = self._waiting, []
      if self._then is not None:
        self._then.add(written)

  def sync(self) -> None:
    """Makes sure that what was added survives a crash of the machine."""
    os.fsync(self._file.fileno())


def warn(text: str) -> None:
  """One line on stderr about something that the run can do without."""
  streams.say(f"warning: {text}")


def say(text: str) -> None:
  """One line on stderr about what happens."""
  streams.say(text)


def _takes_a_bar(stream: streams.Tolerant) -> bool:
  """Whether a line can be written over: on a terminal, and in a notebook."""
  while isinstance(stream, streams.Tolerant):
    if stream.isatty():
      return True
    stream = stream.within
  return type(stream).__module__ == "ipykernel.iostream"


class Progress:
  """A progress bar on a terminal or in a notebook, plain lines elsewhere.

  Both say how much time is left.

  Always on stderr.
  """

  def __init__(self, label: str, start: int, total: int) -> None:
    """Shows `start` of `total` steps under `label`."""
    self._label, self._total, self._last = label, total, start
    self._began: tuple[int, float] | None = None
    self._bar = None
    self._stream = streams.Tolerant(sys.stderr)
    if _takes_a_bar(self._stream):
      self._bar = tqdm(
        desc=label,
        initial=start,
        total=total,
        unit="step",
        file=self._stream,
      )

  def begin(self, step: int) -> None:
    """Time is counted from here, where `step` steps are done.

    What came before was compiled, and says nothing of the time that is left.
    """
    self._began = step, time.monotonic()

  def show(self, step: int, text: str, reached: int = 0) -> None:
    """Moves to `step` and shows a short text beside it.

    Args:
      step: that the text is of.
      text: such as a loss.
      reached: steps that are done by now, where these are more.
    """
    if self._bar is None:
      line = f"{self._label} {step}/{self._total} {text}".rstrip()
      say(line + self._left(max(step, reached)))
    else:
      self._bar.set_postfix_str(text, refresh=False)
      self._bar.update(step - self._last)
    self._last = step

  def _left(self, step: int) -> str:
    """` (12 min left)`; "" where that is not known, or nothing is left."""
    if self._began is None or not self._began[0] < step < self._total:
      return ""
    first, then = self._began
    each = (time.monotonic() - then) / (step - first)
    return f" ({waiting.duration(each * (self._total - step))} left)"

  @contextlib.contextmanager
  def waiting(self, what: str) -> Iterator[None]:
    """Says that `what` goes on, and how long, if the block takes seconds.

    A bar shows it beside itself; elsewhere it is a line now and then, and how
    long it took.
    """
    bar, place = self._bar, f"{self._label} {self._last}/{self._total}"

    def show(text: str) -> None:
      if bar is None:
        say(f"{place} {text}")
      else:
        bar.set_postfix_str(text)

    def tell(seconds: float) -> None:
      show(f"{what} ... {waiting.duration(seconds)} so far")

    def finish(seconds: float) -> None:
      show(f"{what} took {waiting.duration(seconds)}")

    times = waiting.plain_times() if bar is None else waiting.live_times()
    with waiting.watched(tell, finish, times):
      yield

  def note(self, text: str) -> None:
    """Prints a line without disturbing the bar."""
    if self._bar is None:
      say(text)
    else:
      # The bar moves out of the way of its own stream alone.
      self._bar.write(text, file=self._stream)

  def close(self) -> None:
    """Ends the bar's line."""
    if self._bar is not None:
      self._bar.close()
