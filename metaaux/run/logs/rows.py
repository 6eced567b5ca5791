"""Writes and reads rows of metrics.jsonl, and tells them from damage."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, Protocol

from metaaux import files, messages
from metaaux.errors import UserError


def read_rows(path: str) -> list[dict[str, Any]]:
  """Rows of a metrics file; other lines are left out, with a warning.

  Raises:
    UserError: the file exists and cannot be read.
  """
  lines = read_lines(path)
  rows = [line for line in lines if is_row(line)]
  # The last line may be in the middle of being written.
  lost = len(lines) - len(rows) - (bool(lines) and not is_row(lines[-1]))
  if lost:
    messages.warn(
      f"{messages.count(lost, 'line')} of {path} cannot be read; what they say "
      "lacks"
    )
  return rows


def read_lines(path: str) -> list[Any]:
  """The values on the lines of a metrics file; None: a line is not JSON.

  Raises:
    UserError: the file is there and cannot be read.
  """
  if not os.path.lexists(path):
    return []
  try:
    with files.open_regular(
      path, "r", encoding="utf-8", errors="replace"
    ) as file:
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
  """Whether a value from a metrics file is a row, of any run."""
  return (
    isinstance(value, dict)
    and type(value.get("total_step")) is int
    and isinstance(value.get("split"), str)
  )


def write_rows(path: str, rows: Iterable[Mapping[str, Any]]) -> None:
  """Replaces a metrics file as a whole."""
  files.write_text(path, "".join(map(_line, rows)))


def _line(row: Mapping[str, Any]) -> str:
  return json.dumps(row, allow_nan=False) + "\n"


def append_rows(file: BinaryIO, rows: Iterable[Mapping[str, Any]]) -> None:
  """Adds rows to an open metrics file and hands them to the system.

  Args:
    file: opened for appending, without a buffer.
    rows: all of them are added, or none.

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
  """The open metrics file of a run; on a full disk rows wait for room."""

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
        messages.warn(f"{self._file.name} cannot be written ({error.strerror})")

  def write(self) -> None:
    """Adds the rows that wait.

    Raises:
      OSError: there is still no room.
    """
    if self._waiting:
      append_rows(self._file, self._waiting)
      written, self._waiting = self._waiting, []
      if self._then is not None:
        self._then.add(written)

  def sync(self) -> None:
    """Makes sure that the added rows survive a crash of the machine."""
    os.fsync(self._file.fileno())
