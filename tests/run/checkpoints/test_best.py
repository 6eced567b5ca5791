"""The best checkpoint, by what was held out of training."""

import json
import shutil

import chex
import pytest
import tiny

from metaaux import evaluate, train
from metaaux.errors import Stopped, UserError
from metaaux.run.checkpoints import best
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.logs import rows as rows_lib

SETTINGS = {
  "method": "single",
  "num_seeds": 2,
  "num_steps": 24,
  "eval_every": 3,
  "keep_checkpoints": 1,
  "meta_fraction": 0.25,
  # So large that the last one is not the best.
  "optimizer.learning_rate": 0.4,
  "model.widths": (4,),
  "model.kernels": (3,),
}


def row(step, split, seed, accuracy, loss):
  return {
    "total_step": step,
    "split": split,
    "seed": seed,
    "accuracy": accuracy,
    "loss": loss,
  }


ROWS = [
  row(1, "meta", 0, 0.9, 0.1),  # of the stage before
  row(3, "meta", 0, 0.5, 1.5),
  row(3, "meta", 1, 0.7, 2.5),
  row(3, "test", 0, 1.0, 0.0),
  row(4, "meta", 0, 0.6, 1.0),
  row(4, "meta", 1, 0.6, 1.0),
  {"total_step": 4, "split": "batch", "seed": 0},
]


class Settings:
  def __init__(self, keep_best):
    self.keep_best = keep_best


class Of:
  def __init__(self, num_steps):
    self.num_steps = num_steps


def test_scores_are_of_the_last_stage_and_of_what_was_held_out():
  stages = (Of(2), Of(9))
  assert best.scores(Settings("accuracy"), ROWS, stages) == {3: 0.6, 4: 0.6}
  assert best.scores(Settings("loss"), ROWS, stages) == {3: -2.0, 4: -1.0}
  assert best.scores(Settings(""), ROWS, stages) == {}


def test_the_first_of_equals_is_the_best_and_must_be_there():
  scores = {3: 0.5, 6: 0.7, 9: 0.7}
  assert best.step(scores, scores) == 6
  assert best.step([3, 9, 12], scores) == 9
  assert best.step([12], scores) is None


def test_the_best_stays_and_can_be_evaluated(tmp_path):
  settings = tiny.config(keep_best="accuracy", **SETTINGS)
  workdir = tmp_path / "run"
  train.train_and_evaluate(settings, str(workdir))
  rows = rows_lib.read_rows(str(workdir / "metrics.jsonl"))
  kept = evaluate.restore(str(workdir), best_one=True)
  means = {
    step: sum(r["accuracy"] for r in meta) / len(meta)
    for step in range(3, 25, 3)
    if (meta := [r for r in rows if (r["step"], r["split"]) == (step, "meta")])
  }
  assert len(means) == 8
  assert kept.step == max(means, key=means.get) != 24
  with checkpoint_format.open_manager(workdir / "checkpoints") as manager:
    assert checkpoint_format.all_steps(manager) == [kept.step, 24]
  found = evaluate.on_split(kept, "meta")
  assert sum(r["accuracy"] for r in found) / 2 == pytest.approx(
    means[kept.step]
  )
  # A run that was stopped after its best one keeps the same.
  calls = iter(range(1, 30))
  with pytest.raises(Stopped):
    train.train_and_evaluate(
      settings,
      str(tmp_path / "stopped"),
      should_stop=lambda: next(calls) == kept.step + 1,
    )
  train.train_and_evaluate(settings, str(tmp_path / "stopped"))
  again = evaluate.restore(str(tmp_path / "stopped"), best_one=True)
  assert again.step == kept.step
  chex.assert_trees_all_equal(again.states, kept.states)
  shutil.rmtree(workdir / "checkpoints" / str(kept.step))
  assert evaluate.restore(str(workdir), best_one=True).step == 24
  stored = json.loads((workdir / "config.json").read_text())
  stored["config"]["keep_best"] = ""
  (workdir / "config.json").write_text(json.dumps(stored))
  with pytest.raises(UserError, match=r"keeps no best .*--config\.keep_best="):
    evaluate.restore(str(workdir), best_one=True)


def test_something_must_be_held_out():
  with pytest.raises(
    UserError, match=r"keep_best='loss' .* meta_fraction=0\.0"
  ):
    tiny.config(keep_best="loss")
