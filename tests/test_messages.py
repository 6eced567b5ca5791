"""What cannot be printed ends no command."""

import io
import json
import os
import signal
import subprocess
import sys

import command
import pytest

from metaaux import messages


def run(script, *arguments, **more):
  """Runs bash, which starts Python as "$0" with "$@"."""
  return subprocess.run(
    ["bash", "-o", "pipefail", "-c", script, sys.executable, *arguments],
    env=command.environment(PYTHONIOENCODING="ascii", **command.QUICK),
    **more,
  )


def texts(encoding):
  return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize(
  ("encoding", "expected"),
  [
    ("utf-8", "71.3 ± 0.4 → é 類"),
    ("ascii", "71.3 +- 0.4 -> ? ?"),
    ("koi8-r", "71.3 +- 0.4 -> ? ?"),
    ("latin-1", "71.3 ± 0.4 -> é ?"),
  ],
)
def test_signs_that_a_stream_lacks(encoding, expected):
  stream = texts(encoding)
  assert messages.Tolerant(stream).write("71.3 ± 0.4 → é 類") == 16
  assert stream.buffer.getvalue().decode(encoding) == expected


def test_streams_that_take_nothing():
  closed = texts("utf-8")
  closed.close()
  reader, writer = os.pipe()
  os.close(reader)
  with open(writer, "w") as pipe, open("/dev/full", "w") as full:
    for stream, number in (
      (None, None),
      (closed, None),
      (pipe, None),
      (full, 28),
    ):
      tolerant = messages.Tolerant(stream)
      for _ in range(3):
        tolerant.write("text\n" * 4000)
      assert getattr(tolerant.error, "errno", None) == number
      assert not tolerant.isatty()
      # Or closing it would raise here.
      tolerant.settle()


# Prints as commands do.
PRINTS = """
import sys
from metaaux import messages
from metaaux.run import cli
def say():
  messages.warn("± on stderr")
  for _ in range(5000): print("71.3 ± 0.4")
sys.exit(cli.status_of(say, {}))
"""


@pytest.mark.parametrize(
  ("redirection", "status", "out", "err"),
  [
    ("", 0, "71.3 +- 0.4", "warning: +- on stderr"),
    (">&-", 0, "", "warning: +- on stderr"),
    ("2>&-", 0, "71.3 +- 0.4", ""),
    (">&- 2>&-", 0, "", ""),
    ("| head -1", 0, "71.3 +- 0.4", "warning: +- on stderr"),
    ("2>&1 | true", 0, "", ""),
    (">/dev/full", 2, "", "error: what stdout was to hold is lost (No space"),
    ("2>/dev/full", 0, "71.3 +- 0.4", ""),
  ],
)
def test_what_becomes_of_the_streams_of_a_command(
  redirection, status, out, err
):
  done = run(
    f'"$0" "$@" {redirection}', "-c", PRINTS, capture_output=True, text=True
  )
  assert done.returncode == status, done.stderr
  assert done.stdout.partition("\n")[0] == out
  assert err in done.stderr and "Traceback" not in done.stderr
  assert "Exception ignored" not in done.stderr


# As a training: says what it does, and stops when it is told to.
STOPS = """
import os, signal, sys
from metaaux import messages
from metaaux.run import cli
from metaaux.errors import Stopped
received = cli.listen()
def work():
  os.kill(os.getpid(), signal.SIGINT)
  messages.say("another step")
  assert received
  open(sys.argv[1], "w").write("saved")
  raise Stopped("stopped")
sys.exit(cli.status_of(work, received))
"""


@pytest.mark.parametrize("redirection", ["2>&1 | true", "2>&-", ">&- 2>&-"])
def test_a_signal_where_nobody_listens_any_more(tmp_path, redirection):
  path = tmp_path / "checkpoint"
  # Until the reader is gone.
  wait = "sleep 0.3; " if "|" in redirection else ""
  done = run(f'({wait}exec "$0" "$@") {redirection}', "-c", STOPS, path)
  assert done.returncode == 128 + signal.SIGINT
  assert path.read_text() == "saved"


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
  code = (
    "import os, sys\n"
    "from metaaux.run import cli\n"
    "def work():\n"
    "  assert open(sys.argv[1], 'w').fileno() > 2\n"
    "  os.write(1, b'x'), os.write(2, b'x')\n"
    "sys.exit(cli.status_of(work, {}))\n"
  )
  done = run('"$0" "$@" <&- >&- 2>&-', "-c", code, tmp_path / "file")
  assert done.returncode == 0
  assert (tmp_path / "file").read_text() == ""


def test_a_training_that_nobody_hears(tmp_path):
  workdir = tmp_path / "run"
  flags = [f"--config={command.write_config(tmp_path)}", f"--workdir={workdir}"]
  more = ["--config.num_seeds=2", f"--compilation_cache={tmp_path}/cache"]
  for redirection in (">&- 2>&-", "2>&1 | true", ">/dev/full 2>&1"):
    script = f'"$0" -m metaaux.main "$@" {redirection}'
    assert run(script, *flags, *more).returncode == 0, redirection
    assert json.loads((workdir / "result.json").read_text())["ci95"] > 0


@pytest.mark.parametrize(("flags", "shown"), [((), 1), (("--verbosity=0",), 2)])
def test_libraries_speak_from_warnings_on_unless_told_otherwise(
  tmp_path, flags, shown
):
  (tmp_path / "talking.py").write_text(
    "import logging\n"
    "def load(split):\n"
    "  logging.getLogger('other').info('of a library')\n"
    "  logging.getLogger('other').warning('of a library')\n"
    "  raise ValueError('no data')\n"
  )
  file = command.write_config(tmp_path)
  done = command.run(
    *flags,
    f"--config={file}",
    "--config.dataset=python:talking:load",
    cwd=tmp_path,
  )
  assert done.returncode == 2
  assert done.stderr.count("of a library") == shown
