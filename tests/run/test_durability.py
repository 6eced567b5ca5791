"""What is on disk whenever a process, or the machine, ends."""

import contextlib
import errno
import os
import pathlib
import shutil
import subprocess
import sys

import filelock
import numpy as np
import pytest
from command import environment

from metaaux import config as config_lib
from metaaux import files
from metaaux.data import fingerprint
from metaaux.errors import DamagedError
from metaaux.run import cache, lock
from metaaux.run import directory as run_directory
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.checkpoints.writer import Saver
from metaaux.run.logs import rows as rows_lib


class Killed(BaseException):
  """The process ends here."""


@contextlib.contextmanager
def killed_before(number):
  """The process ends before it removes its `number`-th file or folder."""
  calls = []

  def counted(function):
    def remove(*args, **kwargs):
      calls.append(args)
      if len(calls) > number:
        raise Killed
      return function(*args, **kwargs)

    return remove

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(os, "unlink", counted(os.unlink))
    patch.setattr(shutil, "rmtree", counted(shutil.rmtree))
    yield


def old_run(folder):
  run_directory.prepare(str(folder), config_lib.base())
  for name in ("tensorboard", "reports", "cache", "checkpoints"):
    (folder / name).mkdir()
    (folder / name / "7").write_text("")
  (folder / "metrics.jsonl").write_text("{}\n")
  (folder / "result.json").write_text('{"mean": 0.5}')


@pytest.mark.parametrize("removed", range(7))
def test_a_run_that_is_half_overwritten_is_unfinished_and_still_known(
  tmp_path, removed
):
  old_run(tmp_path)
  other = config_lib.base()
  other.seed = 1
  with killed_before(removed), pytest.raises(Killed):
    run_directory.prepare(str(tmp_path), other, overwrite=True)
  left = set(os.listdir(tmp_path))
  # Whose it is stays known to the end, and the same command may go on.
  assert run_directory.load_config(str(tmp_path)) == config_lib.base()
  # Nobody reads the old result of a run of which a part is gone.
  assert ("result.json" in left) == (removed == 0)
  # Nor does a checkpoint stay without the rows that led to it.
  assert "metrics.jsonl" in left or "checkpoints" not in left
  run_directory.prepare(str(tmp_path), other, overwrite=True)
  assert os.listdir(tmp_path) == ["config.json"]
  assert run_directory.load_config(str(tmp_path)) == other


WRITE = """
import sys
import numpy as np
from metaaux.run import cache

cache.write(cache.entry(sys.argv[1], "thing", {}), {"x": np.full(9, 2.0)})
"""


def test_two_processes_may_write_one_file_of_the_cache(tmp_path, monkeypatch):
  """The second begins and ends while the first one writes."""
  entry = cache.entry(str(tmp_path), "thing", {})
  command = [sys.executable, "-c", WRITE, str(tmp_path)]
  between = []

  def slowly(file, savez=np.savez, **arrays):
    file.write(b"begun")
    file.flush()
    subprocess.run(command, check=True, env=environment())
    between.append(cache.read(entry)["x"])
    file.seek(0)
    savez(file, **arrays)

  monkeypatch.setattr(np, "savez", slowly)
  cache.write(entry, {"x": np.full(9, 1.0)})
  np.testing.assert_array_equal(between, [np.full(9, 2.0)])
  np.testing.assert_array_equal(cache.read(entry)["x"], np.full(9, 1.0))
  assert os.listdir(tmp_path) == [pathlib.Path(entry.path).name]


@pytest.fixture
def synced(monkeypatch):
  """{(device, inode): size} of what was synced, and the names of files."""
  found = {}

  def sync(file, fsync=os.fsync):
    fsync(file)
    status = os.fstat(file)
    found[status.st_dev, status.st_ino] = status.st_size

  monkeypatch.setattr(os, "fsync", sync)
  return found


def is_synced(synced, path):
  """Whether all that a file holds survives a crash of the machine."""
  status = os.stat(path)
  return synced.get((status.st_dev, status.st_ino)) == status.st_size > 0


@pytest.mark.parametrize(
  "write",
  [
    lambda path: files.write_json(path, {"a": 1}),
    lambda path: rows_lib.write_rows(path, [{"total_step": 10}]),
  ],
)
def test_a_file_is_on_disk_before_it_takes_the_place_of_another(
  tmp_path, monkeypatch, synced, write
):
  path = tmp_path / "file"
  path.write_text('{"total_step": 10}\n')
  replaced = []

  def replace(source, target, replace=os.replace):
    assert is_synced(synced, source)
    replaced.append(os.fspath(target))
    replace(source, target)

  monkeypatch.setattr(os, "replace", replace)
  write(str(path))
  assert replaced == [str(path)]


def test_rows_are_on_disk_before_the_checkpoint_that_follows_them(
  tmp_path, monkeypatch, synced
):
  path, saved = tmp_path / "metrics.jsonl", []

  def save(manager, step, state, save=checkpoint_format.save):
    assert is_synced(synced, path)
    save(manager, step, state)
    saved.append(step)

  monkeypatch.setattr(checkpoint_format, "save", save)
  with (
    checkpoint_format.open_manager(tmp_path / "checkpoints", 2) as manager,
    open(path, "ab", buffering=0) as file,
  ):
    rows = rows_lib.RowFile(file)
    saver = Saver(manager, rows)
    for step in (1, 2):
      rows.append([{"total_step": step}])
      saver.save(step, {"x": np.zeros(3)})
    saver.finish(2)
    saver.close()
  assert saved == [1, 2]


@pytest.mark.parametrize(
  "other",
  [
    np.arange(6, dtype=np.int32).reshape(3, 2),
    np.arange(6, dtype=np.int32).view(np.float32).reshape(2, 3),
  ],
  ids=["shape", "dtype"],
)
def test_the_same_bytes_in_another_shape_or_dtype_are_damage(
  tmp_path, monkeypatch, other
):
  state = {"x": np.arange(6, dtype=np.int32).reshape(2, 3)}
  digest = checkpoint_format._digest({"['x']": state["x"]})
  with checkpoint_format.open_manager(tmp_path, 2) as manager:
    checkpoint_format.save(manager, 1, state)
    with monkeypatch.context() as patch:
      patch.setattr(checkpoint_format, "_digest", lambda flat: digest)
      checkpoint_format.save(manager, 2, {"x": other})
    with pytest.raises(DamagedError, match="its digest does not fit"):
      checkpoint_format.restore(manager, 2, {"x": other})
    assert checkpoint_format.recover(manager, lambda line: None) == 1


def test_a_checkpoint_that_fails_midway_leaves_no_folder(tmp_path, monkeypatch):
  """Whatever went wrong, and however much was written before."""
  with checkpoint_format.open_manager(tmp_path, 2) as manager:
    checkpoint_format.save(manager, 1, {"x": np.zeros(3)})

    def fail(step, **options):
      folder = tmp_path / f"{step}.orbax-checkpoint-tmp"
      (folder / "default").mkdir(parents=True)
      (folder / "default" / "data").write_bytes(b"much")
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
      patch.setattr(manager, "save", fail)
      with pytest.raises(OSError, match="No space left"):
        checkpoint_format.save(manager, 2, {"x": np.zeros(3)})
    assert os.listdir(tmp_path) == ["1"]
    checkpoint_format.save(manager, 2, {"x": np.zeros(3)})
    assert sorted(os.listdir(tmp_path)) == ["1", "2"]


def test_the_folder_is_made_by_who_writes_alone(tmp_path):
  for keep in (None, 2):
    folder = tmp_path / "run" / "checkpoints"
    with checkpoint_format.open_manager(folder, keep) as manager:
      assert checkpoint_format.all_steps(manager) == []
      assert folder.exists() == (keep is not None)


ASK = """
import sys
from metaaux.run import lock

with lock.hold(sys.argv[1]):
  pass
"""


def test_a_directory_is_free_once_its_user_is_done(tmp_path, monkeypatch):
  """At once, and not when what held it is collected as garbage."""
  kept = []

  def keep(*args, make=filelock.FileLock, **options):
    kept.append(make(*args, **options))
    return kept[-1]

  monkeypatch.setattr(filelock, "FileLock", keep)
  workdir = str(tmp_path / "run")
  command = [sys.executable, "-c", ASK, workdir]
  with pytest.raises(Killed), lock.hold(workdir):
    raise Killed
  subprocess.run(command, check=True, env=environment())
  with lock.hold(workdir):
    assert lock.is_held(workdir)
  assert not lock.is_held(workdir)
  # Who asks lets go of it, too.
  subprocess.run(command, check=True, env=environment())
  assert len(kept) >= 4


@pytest.mark.parametrize(
  "other",
  [
    np.arange(6, dtype=np.int32).reshape(3, 2),
    np.arange(6, dtype=np.int32).view(np.float32).reshape(2, 3),
    np.arange(6, dtype=np.int32)[::-1].reshape(2, 3),
  ],
  ids=["shape", "dtype", "values"],
)
def test_arrays_that_differ_have_other_fingerprints(other):
  """So that nothing is taken from the cache that was made of others."""
  array = np.arange(6, dtype=np.int32).reshape(2, 3)
  assert fingerprint.of(other) != fingerprint.of(array)
  # How an array lies in memory is no difference.
  assert fingerprint.of(np.asfortranarray(array)) == fingerprint.of(array)
