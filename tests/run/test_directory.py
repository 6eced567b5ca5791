import json
import os
import subprocess
import sys

import pytest

from metaaux import config as config_lib
from metaaux.errors import UserError
from metaaux.run import directory as run_directory


def other():
  config = config_lib.base()
  config.seed, config.model.widths = 1, (4, 8)
  return config


def contents(folder):
  """Every path below, with what the files hold."""
  return {
    str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
    for path in folder.rglob("*")
  }


@pytest.fixture
def run(tmp_path):
  """The directory of a run that is unfinished, with a file of the user's."""
  workdir = tmp_path / "run"
  run_directory.prepare(str(workdir), config_lib.base())
  (workdir / "checkpoints" / "7").mkdir(parents=True)
  (workdir / "metrics.jsonl").write_text("{}\n")
  (workdir / "notes.txt").write_text("mine")
  return workdir


def test_prepare_writes_config_and_versions(run):
  stored = json.loads((run / "config.json").read_text())
  assert stored["config"] == config_lib.to_json(config_lib.base())
  assert {"jax", "flax", "optax", "metaaux"} <= set(stored["versions"])
  assert stored["devices"]
  assert run_directory.load_config(str(run)) == config_lib.base()


def test_the_same_run_goes_on(run):
  before = contents(run)
  run_directory.prepare(str(run), config_lib.base())
  assert contents(run) == before
  assert run_directory.finished(str(run), config_lib.base()) is None


@pytest.mark.parametrize(
  "call", [run_directory.prepare, run_directory.finished]
)
def test_another_config_is_refused_with_its_keys(run, call):
  before = contents(run)
  message = (
    r"another config: model.widths \(\[32, 64\] -> \[4, 8\]\), seed "
    r"\(0 -> 1\); use another --workdir, or --overwrite"
  )
  with pytest.raises(UserError, match=message):
    call(str(run), other())
  assert contents(run) == before


def test_overwrite_removes_the_run_and_nothing_else(run):
  (run / "result.json").write_text("{}")
  (run / "metrics.jsonl.partial").write_text("{")
  run_directory.prepare(str(run), other(), overwrite=True)
  assert set(contents(run)) == {"config.json", "notes.txt"}
  assert run_directory.load_config(str(run)) == other()


def test_overwrite_takes_a_link_and_not_what_it_points_to(run, tmp_path):
  elsewhere = tmp_path / "elsewhere"
  elsewhere.mkdir()
  (elsewhere / "7").write_text("")
  os.rename(run / "checkpoints", tmp_path / "old")
  os.symlink(elsewhere, run / "checkpoints")
  run_directory.prepare(str(run), other(), overwrite=True)
  assert set(contents(run)) == {"config.json", "notes.txt"}
  assert (elsewhere / "7").exists()


def test_overwrite_of_nothing(tmp_path):
  run_directory.prepare(str(tmp_path / "a" / "b"), other(), overwrite=True)
  assert set(contents(tmp_path / "a")) == {"b", "b/config.json"}


def test_finished(run):
  (run / "result.json").write_text('{"mean": 0.5}')
  assert run_directory.finished(str(run), config_lib.base()) == {"mean": 0.5}
  with pytest.raises(UserError, match="another config"):
    run_directory.finished(str(run), other())


def test_finished_writes_nothing(tmp_path):
  assert run_directory.finished(str(tmp_path / "a" / "b"), other()) is None
  assert contents(tmp_path) == {}


@pytest.mark.parametrize(
  ("name", "text", "message"),
  [
    ("config.json", "", "config.json cannot be read .*; restore the file"),
    ("config.json", "[" * 100_000, "config.json cannot be read"),
    ("config.json", "[]", "config.json is not of a run"),
    ("config.json", '{"hidden_size": 3}', "not the config of a run"),
    ("config.json", '{"config": 3}', "not the config of a run"),
    ("result.json", "{", "result.json cannot be read .*; remove the file"),
    ("result.json", "{}", "not the result of a run"),
  ],
)
def test_files_of_others_are_refused(run, name, text, message):
  (run / name).write_text(text)
  before = contents(run)
  with pytest.raises(UserError, match=message):
    run_directory.finished(str(run), config_lib.base())
  assert contents(run) == before


@pytest.mark.parametrize("name", ["config.json", "result.json"])
def test_files_that_never_end_are_not_read(run, name):
  (run / name).unlink(missing_ok=True)
  os.mkfifo(run / name)
  with pytest.raises(UserError, match=f"{name} cannot be read .*no regular"):
    run_directory.finished(str(run), config_lib.base())


def test_overwrite_of_what_cannot_be_removed(run, monkeypatch):
  def refuse(path):
    raise PermissionError(13, "Permission denied", "7")

  monkeypatch.setattr(run_directory.shutil, "rmtree", refuse)
  message = (
    r"run/checkpoints cannot be removed \(7: Permission denied\); remove"
  )
  with pytest.raises(UserError, match=message):
    run_directory.prepare(str(run), other(), overwrite=True)
  # What is left has an owner.
  assert (run / "config.json").exists()


def test_a_workdir_with_too_long_a_name(tmp_path):
  with pytest.raises(UserError, match="cannot be written: File name too long"):
    run_directory.prepare(str(tmp_path / ("x" * 300)), other())


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl"])
def test_runs_without_a_config_are_refused(tmp_path, name):
  (tmp_path / name).write_text("{}")
  for call in (run_directory.finished, run_directory.prepare):
    with pytest.raises(UserError, match=f"has {name} but no config.json"):
      call(str(tmp_path), config_lib.base())
  assert contents(tmp_path) == {name: b"{}"}


@pytest.mark.parametrize("below", ["", "run", "a/b"])
def test_a_workdir_below_a_file(tmp_path, below):
  (tmp_path / "file").write_text("")
  workdir = (
    os.path.join(tmp_path, "file", below) if below else tmp_path / "file"
  )
  for call in (run_directory.finished, run_directory.prepare):
    with pytest.raises(UserError, match=r"cannot be written.*--workdir=DIR"):
      call(str(workdir), config_lib.base())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_workdir_that_is_read_only(run):
  os.chmod(run, 0o555)
  try:
    for call in (run_directory.finished, run_directory.prepare):
      with pytest.raises(UserError, match="cannot be written"):
        call(str(run), config_lib.base())
  finally:
    os.chmod(run, 0o755)


def test_load_config_of_what_is_no_run(tmp_path):
  with pytest.raises(UserError, match="holds no run"):
    run_directory.load_config(str(tmp_path))
  stored = config_lib.to_json(config_lib.base()) | {"old_key": 1}
  (tmp_path / "config.json").write_text(json.dumps({"config": stored}))
  with pytest.raises(UserError, match="'old_key' is unknown"):
    run_directory.load_config(str(tmp_path))


def test_runs_that_are_older_than_a_key_have_its_default(run):
  path = run / "config.json"
  content = json.loads(path.read_text())
  del content["config"]["gamma"]
  del content["config"]["augment"]["grayscale"]
  content["config"]["augment"]["pad"] = 3
  path.write_text(json.dumps(content))
  config = run_directory.load_config(str(run))
  assert (config.gamma, config.augment.grayscale, config.augment.pad) == (
    2.0,
    0.0,
    3,
  )
  # They go on as they began, and not otherwise.
  run_directory.prepare(str(run), config)
  config.augment.grayscale = 0.5
  with pytest.raises(UserError, match=r"augment\.grayscale \(0\.0 -> 0\.5\)"):
    run_directory.prepare(str(run), config)


def test_what_comes_before_a_run_does_not_import_jax():
  code = (
    "import sys, metaaux.files, metaaux.main, metaaux.config.file\n"
    "from metaaux.run import cli, data_record, directory\n"
    "from metaaux.run.logs import rows\n"
    "sys.exit('jax' in sys.modules)"
  )
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0
