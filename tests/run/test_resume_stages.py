"""Runs of several stages, killed in each of them and between them.

Like `test_resume.py`, but the end hangs on more than the checkpoints of one
stage: an embedding that was trained, clusters that were kept, their labels.
"""

import json

import command
import pytest
from dying import Place

from metaaux import evaluate
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.logs import rows as rows_lib

# The embedding is trained for 30 steps, then the network for 30.
FLAGS = (
  "--config.num_steps=30",
  "--config.log_every=5",
  "--config.eval_every=10",
  "--config.checkpoint_every=10",
  "--config.embedding.name=acai",
  "--config.embedding.width=4",
  "--config.embedding.num_steps=30",
  "--config.embedding.batch_size=16",
  "--config.partition.num_tasks=2",
  "--config.partition.num_classes=5",
  "--config.inner.learning_rate=0.1",
  "--config.augment.pad=1",
  "--config.optimizer.momentum=0.9",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  folder = tmp_path_factory.mktemp("place")
  return Place(folder, "method=meta_mtl,seeds=2", FLAGS, **command.QUICK)


@pytest.fixture(scope="module")
def reference(place):
  """The directory of a run that nothing disturbed."""
  place.finish(place.folder / "reference")
  return place.folder / "reference"


def newest(workdir):
  """Step and state of the newest checkpoint, None and {} without one."""
  with checkpoint_format.open_manager(workdir / "checkpoints") as manager:
    step = manager.latest_step()
    return step, {} if step is None else manager.restore(step)


def assert_same_end(workdir, reference):
  command.assert_same_result(workdir, reference)
  (step, stored), (last, known) = newest(workdir), newest(reference)
  assert step == last == 60
  assert stored.keys() == known.keys() and len(stored) > 10
  assert any("labels" in path for path in stored)
  for path, value in known.items():
    assert stored[path].dtype == value.dtype, path
    assert stored[path].tobytes() == value.tobytes(), path
  for name in ("metrics.jsonl", "reports/partitions-seed1.json"):
    assert (workdir / name).read_text() == (reference / name).read_text()


def stage_names(workdir):
  rows = rows_lib.read_rows(str(workdir / "metrics.jsonl"))
  return list(dict.fromkeys(row["stage"] for row in rows))


# Between the stages: two seeds, of which one has its clusters already.
BETWEEN = r"rename@/cache/partitions-seed1-\w+\.npz$"


@pytest.mark.slow
def test_killed_in_the_embedding_and_after_it(place, reference, tmp_path):
  place.die(tmp_path, "row@25")
  assert newest(tmp_path)[0] == 20
  place.die(tmp_path, BETWEEN)
  assert newest(tmp_path)[0] == 30
  # What is kept already is lost too.
  (kept,) = (tmp_path / "cache").glob("partitions-seed0-*.npz")
  kept.write_bytes(kept.read_bytes()[:100])
  place.finish(tmp_path)
  assert stage_names(tmp_path) == ["embed", "train"]
  assert_same_end(tmp_path, reference)


@pytest.mark.slow
@pytest.mark.long
def test_killed_in_the_training(place, reference, tmp_path):
  place.die(tmp_path, "row@50")
  assert newest(tmp_path)[0] == 40
  place.finish(tmp_path)
  assert stage_names(tmp_path) == ["embed", "train"]
  assert_same_end(tmp_path, reference)


@pytest.mark.slow
def test_the_command_evaluates_what_the_run_did(reference, capsys):
  result = json.loads((reference / "result.json").read_text())
  assert evaluate.main([f"--workdir={reference}"]) == 0
  out = capsys.readouterr().out
  assert "for 30 of 30 steps" in out
  for seed, accuracy in enumerate(result["final_per_seed"]):
    assert f"seed {seed}: accuracy {100 * accuracy:.2f} %" in out
