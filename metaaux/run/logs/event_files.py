"""The rows of metrics.jsonl as event files, for TensorBoard.

  metaaux event_files --workdir=runs/maxl

writes them for a run that was trained without config.tensorboard; with it a run
writes them as it goes. They lie in tensorboard/SPLIT/seedN of its directory, so
that TensorBoard draws the curves of all splits and seeds into one picture. The
step of a point counts from the start of its stage, whose name the tag has:
train/accuracy.

Exit status: 0 done; 2 the command or the run is wrong.
"""

import contextlib
import errno
import importlib.util
import io
import os
import re
import shutil
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from metaaux import messages
from metaaux.errors import UserError
from metaaux.run import cli, lock
from metaaux.run import directory as run_directory
from metaaux.run.logs import rows as rows_lib

# What a row says of itself, and does not measure.
_ABOUT = {"step", "total_step", "epoch", "stage", "split", "seed"}


class EventFiles:
  """The event files of a run; an error of the disk ends their writing."""

  def __init__(self, folder: str) -> None:
    """Writes below `folder`, which is emptied."""
    self._folder, self._failed = folder, False
    self._files: dict[str, io.FileIO] = {}
    self._stack = contextlib.ExitStack()
    # A viewer that is running reads on where a name is new.
    self._name = f"events.out.tfevents.{time.time():.0f}.metaaux"
    with self._tolerant():
      if os.path.isdir(folder):
        shutil.rmtree(folder)

  def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds rows and hands them to the system."""
    with self._tolerant():
      for row in () if self._failed else rows:
        _put(self._file(row), _event(row))

  def close(self) -> None:
    """Closes the files."""
    with self._tolerant():
      self._stack.close()

  def _file(self, row: Mapping[str, Any]) -> io.FileIO:
    split = re.sub(r"[^\w.=+-]", "_", row["split"])
    folder = os.path.join(self._folder, split, f"seed{row['seed']}")
    if folder not in self._files:
      os.makedirs(folder, exist_ok=True)
      # Without a buffer, so that a curve is seen as it grows.
      self._files[folder] = self._stack.enter_context(
        io.FileIO(os.path.join(folder, self._name), "w")
      )
      _put(self._files[folder], _first_event())
    return self._files[folder]

  @contextlib.contextmanager
  def _tolerant(self) -> Iterator[None]:
    """Lets the run go on without event files; metrics.jsonl has all rows."""
    try:
      yield
    except OSError as error:
      self._failed = True
      messages.warn(
        f"{self._folder} cannot be written ({error.strerror}); it will be "
        "complete when the run goes on, or by metaaux event_files"
      )


def _first_event() -> Any:
  from tensorboardX.proto import event_pb2

  return event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")


def _event(row: Mapping[str, Any]) -> Any:
  from tensorboardX.proto import event_pb2, summary_pb2

  values = [
    summary_pb2.Summary.Value(tag=f"{row['stage']}/{name}", simple_value=value)
    for name, value in row.items()
    if name not in _ABOUT and isinstance(value, (int, float))
  ]
  summary = summary_pb2.Summary(value=values)
  return event_pb2.Event(
    wall_time=time.time(), step=row["step"], summary=summary
  )


def _put(file: io.FileIO, event: Any) -> None:
  """Writes an event between its length and checksums.

  tensorboardX's own writer would sync the disk at every flush.
  """
  from tensorboardX.record_writer import masked_crc32c

  data = event.SerializeToString()
  length = struct.pack("<Q", len(data))
  of_length, of_data = (
    struct.pack("<I", masked_crc32c(part)) for part in (length, data)
  )
  record = length + of_length + data + of_data
  if file.write(record) < len(record):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def check(wanted: bool = True) -> None:
  """Refuses event files that are wanted and cannot be written here.

  Raises:
    UserError: tensorboardX is missing.
  """
  if wanted and importlib.util.find_spec("tensorboardX") is None:
    raise UserError(
      "tensorboardX is missing, which config.tensorboard=True needs; "
      "pip install 'metaaux[tensorboard]'"
    )


@contextlib.contextmanager
def following(
  workdir: str, rows: Sequence[Mapping[str, Any]], wanted: bool
) -> Iterator[EventFiles | None]:
  """Event files of a run that begins or goes on.

  A run that goes on writes them anew: rows of work that it will do again have
  left metrics.jsonl and must not be in the event files twice.

  Args:
    workdir: of the run.
    rows: the rows in metrics.jsonl.
    wanted: whether the run shall have event files.
  """
  if not wanted:
    yield None
    return
  files = EventFiles(os.path.join(workdir, run_directory.TENSORBOARD))
  try:
    files.add(rows)
    yield files
  finally:
    files.close()


def _write(workdir: str) -> None:
  check()
  run_directory.load_config(workdir)  # or it is no run
  with lock.hold(workdir):
    path = os.path.join(workdir, run_directory.METRICS)
    rows = rows_lib.read_rows(path)
    if not rows:
      raise UserError(f"{path} has no rows yet; train first")
    with following(workdir, rows, True):
      pass
    print(os.path.join(workdir, run_directory.TENSORBOARD))


def main(argv: Sequence[str]) -> int:
  """Runs the command with these arguments; returns its exit status."""
  parser = cli.parser("metaaux event_files", __doc__)
  parser.add_argument(
    "--workdir",
    type=cli.path,
    metavar="DIR",
    required=True,
    help="run directory",
  )
  return cli.status_of(lambda: _write(parser.parse_args(argv).workdir), {})


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
