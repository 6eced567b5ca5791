"""Runs in processes, and a command that kills itself where a test says."""

import signal
import subprocess
import sys

import command

# Starts the command and kills itself where the first argument says.
DYING = """
import os, re, signal, sys
from metaaux import main
from metaaux.run.checkpoints import writer
from metaaux.run.logs import rows as rows_lib

kind, where = sys.argv[1].split("@")
count = 0

def die():
  os.kill(os.getpid(), signal.SIGKILL)

def in_a_row(file, rows, append=rows_lib.append_rows):
  if rows[0]["total_step"] == int(where):
    file.write(('{"step": ' + where + ', "accu').encode())
    die()
  append(file, rows)

def before_renaming(old, new, rename=os.rename, **more):
  if re.search(where, str(new)):
    die()
  rename(old, new, **more)

def while_unlinking(path, *, dir_fd=None, unlink=os.unlink):
  global count
  count += dir_fd is not None  # as shutil.rmtree does it
  if count == int(where):
    die()
  unlink(path, dir_fd=dir_fd)

def save_and_wait(self, step, state, save=writer.Saver.save):
  save(self, step, state)
  self.wait()

# So that it is known which checkpoints are complete at a death; test_faults.py
# has those that come while one is written.
writer.Saver.save = save_and_wait
if kind == "row":
  rows_lib.append_rows = in_a_row
elif kind == "rename":
  os.rename = os.replace = before_renaming
else:
  os.unlink = while_unlinking
sys.exit(main.main(sys.argv[2:]))
"""


class Place:
  """A config and a cache of compiled programs, which make starts quick."""

  def __init__(self, folder, argument, flags, **environment):
    self.folder = folder
    self.flags = (
      f"--config={command.write_config(folder)}:{argument}",
      f"--compilation_cache={folder}/cache",
      *flags,
    )
    self.environment = command.environment(**environment)

  def start(self, workdir, *program):
    program = program or ("-m", "metaaux.main")
    with open(self.folder / "stderr", "w") as file:
      return subprocess.Popen(
        [sys.executable, *program, f"--workdir={workdir}", *self.flags],
        stdout=subprocess.DEVNULL,
        stderr=file,
        env=self.environment,
      )

  def die(self, workdir, death):
    process = self.start(workdir, "-c", DYING, death)
    assert process.wait() == -signal.SIGKILL, (death, self.stderr())
    assert not (workdir / "result.json").exists()

  def finish(self, workdir):
    assert self.start(workdir).wait() == 0, self.stderr()

  def stderr(self):
    return (self.folder / "stderr").read_text()
