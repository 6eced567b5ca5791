"""Whatever becomes of a checkpoint, the one before it is there to go on from.

A checkpoint is a folder of folders and files, each of which can be lost, cut
short, become something else or be out of reach.
"""

import os
import pathlib
import shutil
import stat

import numpy as np
import pytest
from damages import DAMAGES

from metaaux.errors import DamagedError, UserError
from metaaux.run.checkpoints import format as checkpoint_format

OLD, NEW = {"['x']": np.arange(3.0)}, {"['x']": np.arange(3.0) + 1}
# What does not change a leaf may be lost.
HARMLESS = (
  "_CHECKPOINT_METADATA",
  "commit_success.txt",
  "_sharding",
  "array_metadatas",
  "ocdbt.process_0",
)


def remove(path):
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  else:
    path.unlink()


def empty(path):
  if not path.is_dir():
    path.write_bytes(b"")
    return
  for each in path.iterdir():
    remove(each)


def become_another_kind(path):
  was_folder = path.is_dir()
  remove(path)
  path.write_bytes(b"?") if was_folder else path.mkdir()


def become_a_link(path):
  remove(path)
  path.symlink_to(path.parent / "nowhere")


KINDS = {
  "missing": remove,
  "empty": empty,
  "another kind": become_another_kind,
  "link to nothing": become_a_link,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """A folder with checkpoints 7 and 8."""
  folder = tmp_path_factory.mktemp("saved") / "checkpoints"
  with checkpoint_format.open_manager(str(folder), 2) as manager:
    checkpoint_format.save(manager, 7, OLD)
    checkpoint_format.save(manager, 8, NEW)
  return folder


def paths(step):
  """Of a checkpoint: its folder and all below, a file of each sort once."""
  found = [step, *sorted(step.rglob("*"))]
  # The names of data files are random.
  return list(
    {(p.parent, len(p.name) == 32 or p.name): p for p in found}.values()
  )


def go_on(folder, expected=7):
  """Recovers, saves what the run would, and reads it again; the reports."""
  reports = []
  with checkpoint_format.open_manager(str(folder), 2) as manager:
    step = checkpoint_format.recover(manager, reports.append, last=20)
    assert step in (expected, 8)
    for now in range(step + 1, 10):
      checkpoint_format.save(manager, now, NEW)
    assert checkpoint_format.all_steps(manager) == [8, 9]
  for step in (8, 9):
    np.testing.assert_array_equal(restored(folder, step), NEW["['x']"])
  return reports


def restored(folder, step):
  with checkpoint_format.open_manager(str(folder)) as manager:
    return checkpoint_format.restore(manager, step, {"['x']": np.zeros(3)})[
      "['x']"
    ]


def copied(saved, tmp_path, name="copy"):
  return pathlib.Path(shutil.copytree(saved, tmp_path / name))


@pytest.mark.parametrize("damage", KINDS.values(), ids=KINDS.keys())
def test_each_part_of_the_newest(saved, tmp_path, damage):
  for i, path in enumerate(paths(saved / "8")):
    name = path.relative_to(saved)
    folder = copied(saved, tmp_path, str(i))
    damage(folder / name)
    reports = []
    with checkpoint_format.open_manager(str(folder), 2) as manager:
      step = checkpoint_format.recover(manager, reports.append, last=20)
      found = checkpoint_format.restore(manager, step, {"['x']": np.zeros(3)})
      there = checkpoint_format.all_steps(manager)
    if step == 8:
      assert set(name.parts) & set(HARMLESS), name
      assert not reports
    else:
      assert (step, there) == (7, [7]), name
      # Where no folder is left, there is nothing to tell of.
      assert len(reports) == (name != pathlib.Path("8") or damage is empty)
    expected = NEW if step == 8 else OLD
    np.testing.assert_array_equal(found["['x']"], expected["['x']"])


def test_a_pipe_is_not_waited_for(saved, tmp_path):
  folder = copied(saved, tmp_path)
  path = folder / "8" / "default" / "_METADATA"
  remove(path)
  os.mkfifo(path)
  assert "no regular file" in go_on(folder)[0]
  # Orbax looks into this one of every step.
  path = folder / "9" / "_CHECKPOINT_METADATA"
  remove(path)
  os.mkfifo(path)
  with pytest.raises(UserError, match="METADATA is no regular file; move it"):
    checkpoint_format.open_manager(str(folder))


def test_a_file_in_the_place_of_the_folder(tmp_path):
  (tmp_path / "checkpoints").touch()
  with pytest.raises(UserError, match=r"cannot be made .*exists.*; move away"):
    checkpoint_format.open_manager(str(tmp_path / "checkpoints"), 2)


@pytest.mark.parametrize(
  "make",
  [
    pathlib.Path.mkdir,
    pathlib.Path.touch,
    os.mkfifo,
    lambda path: path.symlink_to("nowhere"),
    lambda path: path.symlink_to(path),
    lambda path: (path / "default").mkdir(parents=True),
    lambda path: (path / "other").mkdir(parents=True),
    lambda path: path.symlink_to(os.path.dirname(__file__)),
  ],
)
def test_something_under_a_higher_number(saved, tmp_path, make):
  folder = copied(saved, tmp_path)
  make(folder / "9")
  for line in go_on(folder, 8):
    assert line.startswith(f"checkpoint {folder}/9 cannot be read (")
    assert line.endswith("; it is removed, and the run goes on from step 8")
  assert set(os.listdir(folder)) == {"8", "9"}


def test_what_is_none_of_ours_stays(saved, tmp_path):
  folder = copied(saved, tmp_path)
  names = {"notes.txt", "0007", "step_9", "8 (copy)", "-3"}
  for name in names:
    (folder / name).mkdir()
  assert go_on(folder, 8) == []
  assert set(os.listdir(folder)) == {"8", "9", *names}


def test_a_checkpoint_of_another_run_is_no_reason_to_stop_saving(
  saved, tmp_path
):
  folder = copied(saved, tmp_path)
  shutil.copytree(folder / "8", folder / "300")
  with checkpoint_format.open_manager(str(folder), 2) as manager:
    with pytest.raises(
      UserError, match=r"/300 is of another run, .* at step 20"
    ):
      checkpoint_format.recover(manager, pytest.fail, last=20)
    # Nor is a save that orbax passes over taken for one.
    with pytest.raises(OSError, match="there is a newer one"):
      checkpoint_format.save(manager, 9, NEW)


def test_lost_rows_are_made_again_from_an_older_one(saved, tmp_path):
  folder = copied(saved, tmp_path)
  with checkpoint_format.open_manager(str(folder), 2) as manager:
    for lost in (5, 7):
      with pytest.raises(
        UserError, match=f"at step {lost}, and no .* older"
      ) as e:
        checkpoint_format.recover(manager, pytest.fail, lost=lost)
      assert "overwrite" not in str(e.value)
    assert checkpoint_format.recover(manager, pytest.fail, lost=9) == 8
    reports = []
    assert checkpoint_format.recover(manager, reports.append, lost=8) == 7
    assert checkpoint_format.all_steps(manager) == [7]
  assert reports == [
    f"the rows of step 8, before checkpoint {folder}/8, are lost; it is "
    "removed, and the run goes on from step 7"
  ]


def test_the_name_of_the_digest_is_damaged(saved, tmp_path):
  folder = copied(saved, tmp_path)
  metadata = folder / "8" / "default" / "_METADATA"
  metadata.write_bytes(metadata.read_bytes().replace(b"sha256", b"sha257"))
  assert len(go_on(folder)) == 1


def test_what_cannot_be_emptied_is_moved_away(saved, tmp_path, monkeypatch):
  folder = copied(saved, tmp_path)
  DAMAGES["empty"](folder / "8" / "default" / "_METADATA")
  with monkeypatch.context() as patch:
    patch.setattr(shutil, "rmtree", lambda *args, **more: None)
    with checkpoint_format.open_manager(str(folder), 2) as manager:
      assert checkpoint_format.recover(manager, lambda line: None) == 7
  assert set(os.listdir(folder)) == {"7", "8.damaged0"}
  checkpoint_of_nobody = folder / "8.damaged0" / "default" / "_METADATA"
  assert checkpoint_of_nobody.exists()
  assert go_on(folder) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's rights")
def test_folders_and_files_out_of_reach(saved, tmp_path_factory):
  """Root may read all; so this is done as nobody."""
  base = tmp_path_factory.mktemp("nobody")
  for parent in (base, *base.parents[:-2]):
    os.chmod(parent, stat.S_IMODE(parent.stat().st_mode) | 0o055)
  # What is imported late can be out of reach, too.
  broken = copied(saved, base, "first")
  for path in (broken / "8").iterdir():
    remove(path)
  go_on(broken)
  for i, name in enumerate(("8", "8/default", "8/default/_METADATA")):
    folder = copied(saved, base, str(i))
    for path in (folder, *folder.rglob("*")):
      os.chown(path, 65534, 65534)
    os.chmod(folder / name, 0)
    os.seteuid(65534)
    try:
      (line,) = go_on(folder)
    finally:
      os.seteuid(0)
    assert "ermission denied" in line


def test_all_are_damaged(saved, tmp_path):
  folder = copied(saved, tmp_path)
  for step in ("7", "8"):
    empty(folder / step)
  with (
    checkpoint_format.open_manager(str(folder), 2) as manager,
    pytest.raises(DamagedError, match="nor can an older one"),
  ):
    checkpoint_format.recover(manager, pytest.fail)
  assert set(os.listdir(folder)) == {"7", "8"}
