"""States of methods with several stages, of which no checkpoint holds all."""

import json
import shutil

import chex
import numpy as np
import pytest
import tiny

from metaaux import evaluate, methods, train
from metaaux.errors import Stopped, UserError
from metaaux.run.checkpoints import format as checkpoint_format

MAKE = methods.make
SMALL = {"model.widths": (4,), "model.kernels": (3,)}


def two_stages(config, spec, *, axis_name=None):
  """Six steps, then six more with what the first stage has learned."""
  (stage,) = MAKE(config, spec, axis_name=axis_name)
  begin = stage.init

  def go_on(key, batch, previous):
    # Fails without the states of the first stage, or their shapes.
    return previous._replace(optimizer=begin(key, batch, None).optimizer)

  return (
    stage._replace(name="first", num_steps=6),
    stage._replace(name="second", num_steps=6, init=go_on),
  )


@pytest.fixture
def settings(monkeypatch):
  monkeypatch.setattr(methods, "make", two_stages)
  return tiny.config(
    method="single",
    num_steps=6,
    eval_every=3,
    log_every=3,
    num_seeds=2,
    seeds="vmap",
    **SMALL,
  )


def stop_after(settings, workdir, steps):
  calls = []
  with pytest.raises(Stopped):
    train.train_and_evaluate(
      settings,
      str(workdir),
      should_stop=lambda: calls.append(0) or len(calls) >= steps,
    )


ACAI = {
  "embedding.name": "acai",
  "embedding.width": 4,
  "embedding.num_steps": 8,
  "embedding.batch_size": 16,
}


def test_a_trained_embedding_is_kept(tmp_path):
  settings = tiny.config(
    method="fine_tune", keep_checkpoints=1, checkpoint_every=3, **ACAI, **SMALL
  )
  stop_after(settings, tmp_path, 4)
  early = evaluate.restore(str(tmp_path), "embed")
  assert (early.stage.name, early.step) == ("embed", 4)
  stop_after(settings, tmp_path, 5)
  trained = evaluate.restore(str(tmp_path), "embed")
  assert trained.step == 8
  train.train_and_evaluate(settings, str(tmp_path))
  with checkpoint_format.open_manager(tmp_path / "checkpoints") as manager:
    assert checkpoint_format.all_steps(manager) == [8, 28]
  kept = evaluate.restore(str(tmp_path), "embed")
  assert kept.step == 8
  chex.assert_trees_all_equal(kept.states, trained.states)
  assert evaluate.restore(str(tmp_path)).step == 20
  with pytest.raises(UserError, match=r"no stage 'embd'; .*: embed, train$"):
    evaluate.restore(str(tmp_path), "embd")
  # As in a run of a version that did not keep it.
  shutil.rmtree(tmp_path / "checkpoints" / "8")
  with pytest.raises(
    UserError, match=r"'embed' .* until step 8 .* not kept; .* --overwrite"
  ):
    evaluate.restore(str(tmp_path), "embed")


def newest(workdir):
  with checkpoint_format.open_manager(workdir / "checkpoints") as manager:
    return manager.latest_step(), manager.restore(manager.latest_step())


def test_runs_of_two_stages_resume_in_either(settings, tmp_path):
  straight = train.train_and_evaluate(settings, str(tmp_path / "straight"))
  assert straight["steps"] == 12
  workdir = tmp_path / "stopped"
  for steps, total in ((2, 2), (3, 5), (1, 7), (3, 10)):
    stop_after(settings, workdir, steps)
    assert newest(workdir)[0] == total
  resumed = train.train_and_evaluate(settings, str(workdir))
  for result in straight, resumed:
    result.pop("seconds")
  assert resumed == straight
  chex.assert_trees_all_equal(newest(workdir), newest(tmp_path / "straight"))
  rows = (workdir / "metrics.jsonl").read_text().splitlines()
  evaluated = [json.loads(row) for row in rows if '"test"' in row]
  assert [(r["stage"], r["step"], r["total_step"]) for r in evaluated[::2]] == [
    ("first", 3, 3),
    ("first", 6, 6),
    ("second", 3, 9),
    ("second", 6, 12),
  ]


def test_only_the_last_stage_is_evaluated(settings, tmp_path):
  stop_after(settings, tmp_path, 5)
  with pytest.raises(UserError, match=r"is of step 5; .* after step 6: resume"):
    evaluate.restore(str(tmp_path))
  stop_after(settings, tmp_path, 4)
  restored = evaluate.restore(str(tmp_path))
  assert (restored.stage.name, restored.step) == ("second", 3)
  rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
  last = [json.loads(row) for row in rows if '"test"' in row][-2:]
  found = evaluate.on_split(restored, "test")
  np.testing.assert_array_equal(
    [row["accuracy"] for row in found], [row["accuracy"] for row in last]
  )
