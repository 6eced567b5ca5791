"""A command that kills itself at a moment that a test names."""

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
