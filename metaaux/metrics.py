"""What a run writes and shows: rows, results, progress, intervals."""

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

import numpy as np
from scipy import stats
from tqdm import tqdm


def mean_ci(values: Sequence[float]) -> tuple[float, float | None]:
  """Mean and half-width of its 95% t-interval; None for a single value."""
  values = np.asarray(values, np.float64)
  mean = float(values.mean())
  if values.size < 2:
    return mean, None
  error = values.std(ddof=1) / math.sqrt(values.size)
  return mean, float(stats.t.ppf(0.975, values.size - 1) * error)


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


def write_json(path: str, value: Any) -> None:
  """Writes a file that is either absent or complete, also after a crash."""
  text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
  directory = os.path.dirname(os.path.abspath(path))
  descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=".partial-")
  try:
    with os.fdopen(descriptor, "w") as file:
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
  except BaseException:
    os.unlink(temporary)
    raise


def read_rows(path: str) -> list[dict[str, Any]]:
  """Rows of a metrics file; a line that a crash cut short ends the reading."""
  rows = []
  if os.path.exists(path):
    with open(path) as file:
      for line in file:
        try:
          rows.append(json.loads(line))
        except json.JSONDecodeError:
          break
  return rows


def resume_rows(path: str, keep: Callable[[Mapping[str, Any]], bool]) -> list:
  """Drops the rows of work that will be done again; returns those that stay.

  The file is replaced as a whole, so that a crash here loses nothing.
  """
  rows = [row for row in read_rows(path) if keep(row)]
  temporary = path + ".partial"
  with open(temporary, "w") as file:
    file.writelines(_line(row) for row in rows)
    file.flush()
    os.fsync(file.fileno())
  os.replace(temporary, path)
  return rows


def _line(row: Mapping[str, Any]) -> str:
  return json.dumps(row, allow_nan=False) + "\n"


def append_rows(file: TextIO, rows: Iterable[Mapping[str, Any]]) -> None:
  """Adds rows to an open metrics file and hands them to the system."""
  file.writelines(_line(row) for row in rows)
  file.flush()


def sync(file: TextIO) -> None:
  """Makes sure that what was appended survives a crash of the machine."""
  file.flush()
  os.fsync(file.fileno())


def warn(text: str) -> None:
  """One line on stderr about something that the run can do without."""
  print(f"warning: {text}", file=sys.stderr)


class Progress:
  """A progress bar on a terminal, plain lines elsewhere; always on stderr."""

  def __init__(self, label: str, start: int, total: int) -> None:
    """Shows `start` of `total` steps under `label`."""
    self._label, self._total, self._last = label, total, start
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm(desc=label, initial=start, total=total, unit="step")

  def show(self, step: int, text: str) -> None:
    """Moves to `step` and shows a short text beside it."""
    if self._bar is None:
      print(f"{self._label} {step}/{self._total} {text}", file=sys.stderr)
    else:
      self._bar.set_postfix_str(text, refresh=False)
      self._bar.update(step - self._last)
    self._last = step

  def note(self, text: str) -> None:
    """Prints a line without disturbing the bar."""
    if self._bar is None:
      print(text, file=sys.stderr)
    else:
      self._bar.write(text, file=sys.stderr)

  def close(self) -> None:
    """Ends the bar's line."""
    if self._bar is not None:
      self._bar.close()
