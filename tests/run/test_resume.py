"""Runs that are killed or stopped, as users' runs are: real signals.

A run that went on after any of them must end as one that was never disturbed:
the same figures, the same rows, the same bits.
"""

import json
import os
import pathlib
import signal
import time

import command
import numpy as np
import pytest
from dying import Place

from metaaux import evaluate
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.logs import rows as rows_lib

# Everything that has a state: momentum, Adam, batch statistics, random crops.
FLAGS = (
  "--config.num_steps=400",
  "--config.log_every=20",
  "--config.eval_every=50",
  "--config.checkpoint_every=100",
  "--config.average_last=3",
  "--config.augment.pad=1",
  "--config.model.batch_norm=true",
  "--config.optimizer.momentum=0.9",
  "--config.optimizer.learning_rate=0.01",
  "--config.generator.optimizer.name=adam",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  folder = tmp_path_factory.mktemp("place")
  return Place(folder, "method=maxl,seeds=2", FLAGS)


@pytest.fixture(scope="module")
def reference(place):
  """The directory of a run that nothing disturbed."""
  place.finish(place.folder / "reference")
  return place.folder / "reference"


def steps(workdir):
  """Checkpoints that are complete, in order."""
  with checkpoint_format.open_manager(workdir / "checkpoints") as manager:
    return sorted(manager.all_steps())


def assert_same_end(workdir, reference):
  command.assert_same_result(workdir, reference)
  assert steps(workdir) == steps(reference) == [300, 400]
  stored, known = (flat_state(each) for each in (workdir, reference))
  assert stored.keys() == known.keys()
  assert len(stored) > 20
  for path, value in known.items():
    assert stored[path].dtype == value.dtype, path
    assert stored[path].tobytes() == value.tobytes(), path


def flat_state(workdir):
  with checkpoint_format.open_manager(workdir / "checkpoints") as manager:
    restored = manager.restore(manager.latest_step())
  return {path: np.asarray(value) for path, value in restored.items()}


def rows_of(workdir, *, evaluations=False):
  rows = rows_lib.read_rows(str(workdir / "metrics.jsonl"))
  return [row for row in rows if not evaluations or row["split"] != "batch"]


def wait_for(process, path, seconds=120):
  """Looks for a path until it is there."""
  end = time.monotonic() + seconds
  while not pathlib.Path(path).exists():
    assert process.poll() is None, "ended too early"
    assert time.monotonic() < end, "never came so far"


# Also in test_faults.py, at moments that are random; here the state is larger.
@pytest.mark.slow
@pytest.mark.long
def test_killed_from_outside(place, reference, tmp_path):
  process = place.start(tmp_path)
  wait_for(process, tmp_path / "checkpoints" / "100")
  process.kill()
  assert process.wait() == -signal.SIGKILL
  assert not (tmp_path / "result.json").exists()
  assert steps(tmp_path)[0] == 100
  place.finish(tmp_path)
  assert_same_end(tmp_path, reference)
  assert (tmp_path / "metrics.jsonl").read_text() == (
    reference / "metrics.jsonl"
  ).read_text()


DEATHS = (
  ("row@60", []),  # before the first checkpoint
  ("rename@/metrics.jsonl$", []),  # while the rows are taken back
  ("row@160", [100]),
  ("rename@/checkpoints/200$", [100]),  # while a checkpoint is written
  ("row@260", [100, 200]),  # between two checkpoints
  ("unlink@2", None),  # while an old checkpoint is removed
  ("rename@/result.json$", [300, 400]),  # nothing left but the result
)


# One in a row, one in a checkpoint and the last; or all of them.
@pytest.mark.slow
@pytest.mark.parametrize(
  "deaths",
  [DEATHS[::3], pytest.param(DEATHS, marks=pytest.mark.long)],
  ids=["three", "all"],
)
def test_killed_again_and_again(place, reference, tmp_path, deaths):
  for death, complete in deaths:
    place.die(tmp_path, death)
    text = (
      (tmp_path / "metrics.jsonl").read_text() if death[:3] == "row" else ""
    )
    assert text.endswith('"accu') == (death[:3] == "row"), death
    if complete is not None:
      assert steps(tmp_path) == complete, death
    if death == "rename@/checkpoints/200$":
      names = os.listdir(tmp_path / "checkpoints")
      assert any("200" in name for name in names), "died too early"
  place.finish(tmp_path)
  assert_same_end(tmp_path, reference)
  assert (tmp_path / "metrics.jsonl").read_text() == (
    reference / "metrics.jsonl"
  ).read_text()


@pytest.mark.parametrize(
  ("number", "status"),
  [
    (signal.SIGTERM, 143),
    pytest.param(
      signal.SIGINT, 130, marks=(pytest.mark.slow, pytest.mark.long)
    ),
  ],
)
def test_stopped_by_a_signal(place, reference, tmp_path, number, status):
  process = place.start(tmp_path)
  wait_for(process, tmp_path / "checkpoints" / "100")
  process.send_signal(number)
  assert process.wait() == status
  last = place.stderr().splitlines()[-1]
  newest = steps(tmp_path)[-1]
  assert newest > 100
  assert last == f"stopped after step {newest} of 400; the same command resumes"
  assert "Traceback" not in place.stderr()
  assert not (tmp_path / "result.json").exists()
  assert evaluate.restore(str(tmp_path)).step == newest
  place.finish(tmp_path)
  assert f"; goes on after {newest} steps\n" in place.stderr()
  assert_same_end(tmp_path, reference)
  # Averages over an interval that was cut in two differ; nothing else does.
  assert rows_of(tmp_path, evaluations=True) == rows_of(
    reference, evaluations=True
  )
  keys = [(r["step"], r["split"], r["seed"]) for r in rows_of(tmp_path)]
  assert len(set(keys)) == len(keys)


def test_the_command_evaluates_what_the_run_did(reference, capsys):
  result = json.loads((reference / "result.json").read_text())
  assert evaluate.main([f"--workdir={reference}"]) == 0
  out = capsys.readouterr().out
  for seed, accuracy in enumerate(result["final_per_seed"]):
    assert f"seed {seed}: accuracy {100 * accuracy:.2f} %" in out
