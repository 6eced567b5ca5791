"""One process at a time in a run directory."""

import subprocess
import sys

import pytest
from command import environment, write_config

from metaaux import main
from metaaux.errors import UserError
from metaaux.run import lock

HOLD = """
import sys
from metaaux.run import lock

with lock.hold(sys.argv[1]):
  print("held", flush=True)
  sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
  """Another process that holds the directory; killed by the caller."""
  with subprocess.Popen(
    [sys.executable, "-c", HOLD, str(tmp_path / "run")],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    env=environment(),
    text=True,
  ) as process:
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()


def test_a_second_process_is_kept_out_until_the_first_dies(tmp_path, holder):
  workdir = str(tmp_path / "run")
  busy = pytest.raises(UserError, match="in use by another process")
  with busy, lock.hold(workdir):
    pytest.fail("both hold it")
  holder.kill()
  holder.wait()
  with lock.hold(workdir):
    pass
  with lock.hold(workdir):  # it was let go of
    pass


def test_the_command_says_so_and_writes_nothing(tmp_path, holder, capsys):
  workdir = tmp_path / "run"
  flags = [f"--config={write_config(tmp_path)}", f"--workdir={workdir}"]
  assert main.main([*flags, "--overwrite", "--compilation_cache="]) == 2
  err = capsys.readouterr().err
  assert "in use by another process" in err
  assert err.count("\n") == 1
  assert [path.name for path in workdir.iterdir()] == [".lock"]


def test_a_directory_that_cannot_be_made_is_left_to_its_user(tmp_path):
  (tmp_path / "file").write_text("")
  with lock.hold(str(tmp_path / "file" / "run")):
    pass
