import re
import signal
import subprocess
import sys

import command
import pytest

from metaaux import config as config_lib
from metaaux import evaluate
from metaaux.errors import NonFiniteError, Stopped, UserError
from metaaux.run import cli


def raises(error):
  def raise_it():
    raise error

  return raise_it


@pytest.mark.parametrize(
  ("error", "status", "message"),
  [
    (UserError("a\n  b"), 2, "error: a b\n"),
    (UserError(""), 2, "error: UserError\n"),
    (NonFiniteError("loss is nan"), 3, "error: loss is nan\n"),
    (Stopped("stopped"), 143, "stopped\n"),
  ],
)
def test_status_of(error, status, message, capsys):
  received = {"signal": signal.SIGTERM}
  assert cli.status_of(raises(error), received) == status
  assert capsys.readouterr().err == message
  assert cli.status_of(lambda: None, received) == 0


@pytest.mark.parametrize(
  ("error", "message"),
  [
    (FileNotFoundError(2, "No such file", "a b"), "a b: No such file; look"),
    (OSError(28, "No space left"), "No space left; make room and start"),
    (MemoryError("8 PiB"), "there is not enough memory (8 PiB); lower"),
  ],
)
def test_what_the_machine_lacks_is_one_line(error, message, capsys):
  assert cli.status_of(raises(error), {}) == 2
  said = capsys.readouterr().err
  assert said.startswith(f"error: {message}") and said.count("\n") == 1


def test_flags_that_are_paths(monkeypatch):
  monkeypatch.setenv("HOME", "/home/me")
  parser = cli.parser("x", "")
  parser.add_argument("--workdir", type=cli.path)
  for text, expected in (("~/r", "/home/me/r"), ("a~", "a~"), ("", "")):
    assert parser.parse_args([f"--workdir={text}"]).workdir == expected
  for text, message in (
    ("a\0b", r"workdir: 'a.x00b' has a zero byte in it"),
    ("x" * 5000, r"workdir: 'x{40}'\.\.\. is too long for a path"),
    ("x/" * 1500, r"is too long for a path"),
  ):
    with pytest.raises(UserError, match=message):
      parser.parse_args([f"--workdir={text}"])


def test_defects_are_not_hidden():
  with pytest.raises(ValueError, match="a defect"):
    cli.status_of(raises(ValueError("a defect")), {})


def test_a_second_signal_ends_at_once():
  code = (
    "import os, signal, time\n"
    "from metaaux.run import cli\n"
    "received = cli.listen()\n"
    "os.kill(os.getpid(), signal.SIGTERM)\n"
    "assert received == {'signal': signal.SIGTERM}\n"
    "os.kill(os.getpid(), signal.SIGINT)\n"
    "time.sleep(60)\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", code],
    env=command.environment(),
    capture_output=True,
    text=True,
  )
  assert done.returncode == -signal.SIGINT
  assert done.stderr == "stopping after this step; once more stops at once\n"


def test_listening_ends_with_its_block(capfd):
  numbers = (signal.SIGTERM, signal.SIGINT)
  # A shell that starts the tests in the background has interrupts ignored.
  first = signal.signal(signal.SIGINT, signal.default_int_handler)
  before = [signal.getsignal(number) for number in numbers]
  with pytest.raises(ValueError, match="a defect"), cli.listening() as received:
    signal.raise_signal(signal.SIGINT)
    assert received == {"signal": signal.SIGINT}
    raise ValueError("a defect")
  assert [signal.getsignal(number) for number in numbers] == before
  assert capfd.readouterr().err.startswith("stopping after this step")
  # As in a notebook: the next interrupt is one of Python again.
  with pytest.raises(KeyboardInterrupt):
    signal.raise_signal(signal.SIGINT)
  signal.signal(signal.SIGINT, first)


def test_help(tmp_path):
  (tmp_path / "jax.py").write_text("raise RuntimeError('JAX was imported')")
  done = command.run("--help", env=command.environment(tmp_path))
  assert (done.returncode, done.stderr) == (0, "")
  for flag in ("config", "workdir", "overwrite", "compilation_cache"):
    assert f"  --{flag}" in done.stdout
  for status in ("0 finished", "2 the command", "3 the", "143 or 130"):
    assert status in done.stdout
  for key in config_lib.flatten(config_lib.base()):
    assert f"  --config.{key}=" in done.stdout
  assert "python -m metaaux.main --config=configs/" in done.stdout
  assert "logtostderr" not in done.stdout


def test_the_command_finds_code_where_it_is_started(tmp_path):
  """The console script, whose own folder Python would look in."""
  (tmp_path / "own.py").write_text("raise RuntimeError('was found')")
  (tmp_path / "bin").mkdir()
  script = tmp_path / "bin" / "metaaux"
  script.write_text("from metaaux import main\nmain.run()\n")
  done = subprocess.run(
    [
      *(sys.executable, script, f"--config={command.write_config(tmp_path)}"),
      *("--config.method=own:make", f"--workdir={tmp_path}/run"),
    ],
    capture_output=True,
    text=True,
    cwd=tmp_path,
    env=command.environment(),
  )
  assert done.returncode == 2
  assert (
    "'own:make' cannot be imported (RuntimeError: was found)" in done.stderr
  )


def test_help_of_evaluate(capsys):
  with pytest.raises(SystemExit) as done:
    evaluate.main(["--help"])
  assert done.value.code == 0
  out = capsys.readouterr().out
  for part in ("--workdir", "--split", "--dataset", "Exit status", "[:50%]"):
    assert part in out


def test_evaluate_in_a_process(tmp_path):
  done = command.run(f"--workdir={tmp_path}", module="metaaux.evaluate")
  assert (done.returncode, done.stdout) == (2, "")
  assert re.fullmatch(r"error: [^\n]* holds no run [^\n]*\n", done.stderr)
