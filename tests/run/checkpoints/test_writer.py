"""Checkpoints that are written beside the steps."""

import threading
import time

import numpy as np
import pytest
from full_disk import full_disk

from metaaux.errors import NonFiniteError, UserError
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.checkpoints.writer import Saver
from metaaux.run.logs import rows as rows_lib


@pytest.fixture
def saver(tmp_path):
  with (
    checkpoint_format.open_manager(tmp_path / "checkpoints", 2) as manager,
    open(tmp_path / "metrics.jsonl", "ab", buffering=0) as file,
  ):
    found = Saver(manager, rows_lib.RowFile(file))
    yield found
    found.close()


def restored(saver, step):
  template = {"x": np.zeros(3)}
  return checkpoint_format.restore(saver.manager, step, template)["x"]


def test_a_step_goes_on_while_a_state_is_written(saver, monkeypatch):
  go, written = threading.Event(), []

  def slowly(manager, step, state, save=checkpoint_format.save):
    assert go.wait(60)
    save(manager, step, state)
    written.append(step)

  monkeypatch.setattr(checkpoint_format, "save", slowly)
  memory = np.arange(6.0)
  saver.save(1, {"x": memory[:3]})
  # What the next step does with memory that was given to it.
  memory[:] = -1.0
  assert not written
  go.set()
  saver.save(2, {"x": memory[3:]})
  assert written[0] == 1
  saver.finish(2)
  np.testing.assert_array_equal(restored(saver, 1), [0, 1, 2])
  np.testing.assert_array_equal(restored(saver, 2), -1.0)


def test_a_state_that_is_not_finite_is_told_with_the_next(saver):
  saver.save(1, {"x": np.array([0.0, np.nan, 0.0])})
  with pytest.raises(NonFiniteError, match=r"\['x'\] .* after step 1;"):
    saver.save(2, {"x": np.zeros(3)})
  saver.save(3, {"x": np.full(3, np.inf)})
  with pytest.raises(NonFiniteError, match=r"\['x'\] .* after step 3;"):
    saver.wait()
  assert checkpoint_format.all_steps(saver.manager) == []


def test_a_run_does_not_end_without_its_last_checkpoint(saver, capsys):
  saver.save(1, {"x": np.zeros(3)})
  saver.finish(1)
  with full_disk():
    saver.save(2, {"x": np.zeros(3)})
    saver.wait()
  with pytest.raises(
    UserError,
    match=r"step 2 is not written \(File too large\); make .* from step 1$",
  ):
    saver.finish(2)
  assert capsys.readouterr().err == (
    "warning: checkpoint of step 2 is not written (File too large); the run "
    "goes on to its next save\n"
  )


def test_a_state_is_not_written_before_its_rows(saver, capsys):
  rows = saver._rows
  with full_disk():
    rows.append([{"total_step": 1}])
    saver.save(1, {"x": np.zeros(3)})
    saver.wait()
  assert checkpoint_format.all_steps(saver.manager) == []
  first, second = capsys.readouterr().err.splitlines()
  assert first.endswith("metrics.jsonl cannot be written (File too large)")
  assert "checkpoint of step 1 is not written (File too large)" in second
  rows.append([{"total_step": 2}])
  saver.save(2, {"x": np.zeros(3)})
  saver.finish(2)


def writers():
  return [t for t in threading.enumerate() if t.name.startswith("checkpoint")]


def test_closing_ends_the_thread_after_what_it_writes(tmp_path, monkeypatch):
  before, written = writers(), []

  def slowly(manager, step, state):
    time.sleep(0.2)
    written.append(step)

  monkeypatch.setattr(checkpoint_format, "save", slowly)
  with (
    checkpoint_format.open_manager(tmp_path / "checkpoints", 2) as manager,
    open(tmp_path / "metrics.jsonl", "ab", buffering=0) as file,
  ):
    saver = Saver(manager, rows_lib.RowFile(file))
    saver.save(1, {"x": np.zeros(3)})
    assert len(writers()) == len(before) + 1
    saver.close()
  assert written == [1] and writers() == before
