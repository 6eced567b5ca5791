"""Event files say what metrics.jsonl says, whatever happened to the run."""

import json
import os
import struct
import sys

import pytest
import tiny
from config_files import figures
from full_disk import full_disk

from metaaux import config as config_lib
from metaaux import train
from metaaux.errors import Stopped, UserError
from metaaux.run import directory as run_directory
from metaaux.run.logs import event_files
from metaaux.run.logs import rows as rows_lib

tensorboardX = pytest.importorskip(
  "tensorboardX", reason="needs metaaux[tensorboard]"
)


def settings(**changes):
  few = {"num_seeds": 2, "tensorboard": True, "num_steps": 12, "eval_every": 6}
  small = {"model.widths": (4,), "model.kernels": (3,)}
  return tiny.config(**{"method": "single", **few, **small, **changes})


def records(path):
  """The records of a file, each with its two checksums."""
  from tensorboardX.record_writer import masked_crc32c

  data = path.read_bytes()
  while data:
    (length,), (of_length,) = (
      struct.unpack("<Q", data[:8]),
      struct.unpack("<I", data[8:12]),
    )
    record, rest = data[12 : 12 + length], data[12 + length :]
    assert of_length == masked_crc32c(data[:8])
    assert struct.unpack("<I", rest[:4])[0] == masked_crc32c(record)
    yield record
    data = rest[4:]


def points(workdir):
  """(split, seed, stage/name, step) -> value; a point is there once."""
  from tensorboardX.proto import event_pb2

  found = {}
  for path in (workdir / "tensorboard").rglob("events.out.tfevents.*"):
    split, seed = path.relative_to(workdir / "tensorboard").parts[:2]
    first, *events = map(event_pb2.Event.FromString, records(path))
    assert first.file_version == "brain.Event:2"
    for event in events:
      for value in event.summary.value:
        key = split, seed, value.tag, event.step
        assert key not in found
        found[key] = value.simple_value
  return found


def logged(workdir):
  """The same, of metrics.jsonl."""
  about = {"step", "total_step", "epoch", "stage", "split", "seed"}
  return {
    (row["split"], f"seed{row['seed']}", f"{row['stage']}/{name}", row["step"]):
    # As the files have them.
    struct.unpack("<f", struct.pack("<f", value))[0]
    for row in rows_lib.read_rows(str(workdir / "metrics.jsonl"))
    for name, value in row.items()
    if name not in about
  }


def test_a_run_writes_what_it_logs_and_ends_as_without(tmp_path):
  result = train.train_and_evaluate(settings(), str(tmp_path / "run"))
  found = points(tmp_path / "run")
  assert found == logged(tmp_path / "run")
  assert ("test", "seed1", "train/accuracy", 12) in found
  assert {key[0] for key in found} == {"batch", "train", "meta", "test"}
  plain = settings(tensorboard=False)
  expected = train.train_and_evaluate(plain, str(tmp_path / "plain"))
  assert figures(result) == figures(expected)
  assert not (tmp_path / "plain" / "tensorboard").exists()
  assert event_files.main([f"--workdir={tmp_path / 'plain'}"]) == 0
  assert points(tmp_path / "plain") == found


def test_a_run_that_goes_on_has_no_point_twice(tmp_path):
  few = {"log_every": 2, "checkpoint_every": 4}
  calls = iter(range(100))

  def stop():
    # Rows of step 6 come after the checkpoint of step 4, and are done again.
    if next(calls) == 6:
      raise KeyboardInterrupt
    return False

  with pytest.raises(KeyboardInterrupt):
    train.train_and_evaluate(settings(**few), str(tmp_path), should_stop=stop)
  assert max(key[3] for key in points(tmp_path)) == 6
  train.train_and_evaluate(settings(**few), str(tmp_path))
  assert points(tmp_path) == logged(tmp_path)
  steps = {key[3] for key in points(tmp_path) if key[0] == "batch"}
  assert steps == {2, 4, 6, 8, 10, 12}
  # Another run in the directory leaves none of it.
  again = settings(**few, seed=5, tensorboard=False)
  train.train_and_evaluate(again, str(tmp_path), overwrite=True)
  assert not (tmp_path / "tensorboard").exists()


@pytest.mark.parametrize("before", [False, None])
def test_a_run_that_began_without_them(tmp_path, before):
  """None: it is older than the key."""
  plain = settings(tensorboard=False)
  with pytest.raises(Stopped):
    train.train_and_evaluate(plain, str(tmp_path), should_stop=lambda: True)
  if before is None:
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["config"]["tensorboard"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert run_directory.load_config(str(tmp_path)) == plain
  train.train_and_evaluate(settings(), str(tmp_path))
  assert points(tmp_path) == logged(tmp_path)
  assert {key[3] for key in points(tmp_path)} == {1, 5, 6, 10, 12}
  assert config_lib.digest(plain) == config_lib.digest(settings())


def test_a_split_is_a_folder_whatever_its_name(tmp_path):
  row = {"step": 3, "stage": "train", "seed": 0, "accuracy": 0.5}
  with event_files.following(str(tmp_path), [], True) as files:
    files.add([{**row, "split": "../npz:a/b", "name": "no number"}])
  (key,) = points(tmp_path)
  assert key == (".._npz_a_b", "seed0", "train/accuracy", 3)


def test_a_disk_that_fails_ends_the_writing_and_not_the_run(tmp_path, capsys):
  row = {"step": 3, "stage": "train", "seed": 0, "split": "test", "loss": 1.0}
  (tmp_path / "rows").write_text("")
  with (
    open(tmp_path / "rows", "ab", buffering=0) as raw,
    event_files.following(str(tmp_path), [], True) as files,
  ):
    file = rows_lib.RowFile(raw, files)
    file.append([row])
    (tmp_path / "tensorboard" / "train").write_text("in the way")
    for split in ("train", "train", "test"):
      file.append([{**row, "split": split}])
  assert len(rows_lib.read_lines(str(tmp_path / "rows"))) == 4
  error = capsys.readouterr().err
  assert error.count("\n") == 1 and "metaaux event_files" in error
  assert len(points(tmp_path)) == 1


def test_rows_that_waited_for_room_are_there_once(tmp_path, capsys):
  row = {"step": 3, "stage": "train", "seed": 0, "split": "test", "loss": 1.0}
  row["total_step"] = 3
  with (
    open(tmp_path / "metrics.jsonl", "ab", buffering=0) as raw,
    event_files.following(str(tmp_path), [], True) as files,
  ):
    file = rows_lib.RowFile(raw, files)
    with full_disk():
      file.append([row])
    assert not points(tmp_path)
    file.append([{**row, "step": 6}])
    assert points(tmp_path) == logged(tmp_path)
  assert len(points(tmp_path)) == 2
  assert "metrics.jsonl cannot be written" in capsys.readouterr().err


def test_without_the_package(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, "tensorboardX", None)
  workdir = str(tmp_path / "run")
  with pytest.raises(UserError, match=r"pip install 'metaaux\[tensorboard\]'"):
    train.train_and_evaluate(settings(), workdir)
  assert not os.path.exists(workdir)
  assert event_files.main([f"--workdir={workdir}"]) == 2
  assert "tensorboardX is missing" in capsys.readouterr().err


def test_the_command_of_what_is_no_run(tmp_path, capsys):
  assert event_files.main([f"--workdir={tmp_path}"]) == 2
  assert "holds no run" in capsys.readouterr().err
  assert not list(tmp_path.iterdir())
  run_directory.prepare(str(tmp_path), settings())
  assert event_files.main([f"--workdir={tmp_path}"]) == 2
  assert "has no rows yet" in capsys.readouterr().err
  assert not (tmp_path / "tensorboard").exists()
