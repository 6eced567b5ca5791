"""Runs on a target domain: each seed is tested on images of its own."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux import evaluate, train
from metaaux.errors import Stopped, UserError
from metaaux.run import batches
from metaaux.run.logs import rows as rows_lib


def settings(**changes):
  return tiny.config(
    **tiny.of_domains(),
    method="arml",
    num_seeds=2,
    num_steps=4,
    log_every=2,
    eval_every=2,
    checkpoint_every=2,
    **changes,
  )


def rows_and_result(folder, **options):
  result = train.train_and_evaluate(settings(), str(folder), **options)
  result.pop("seconds")
  return rows_lib.read_rows(str(folder / "metrics.jsonl")), result


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("whole")
  return folder, *rows_and_result(folder)


def test_a_run_that_was_stopped_ends_alike(tmp_path, whole):
  asked = itertools.count(1)
  with pytest.raises(Stopped):
    rows_and_result(tmp_path, should_stop=lambda: next(asked) == 2)
  assert rows_and_result(tmp_path) == whole[1:]


def test_each_seed_is_tested_on_the_rest_of_the_target(whole):
  folder, rows, result = whole
  restored = evaluate.restore(str(folder))
  run = restored.run
  tested = run.problem.tested()
  assert tested.shape == (2, 180) and (tested[0] != tested[1]).any()
  last = [r for r in rows if r["split"] == "test" and r["step"] == 4]
  again = evaluate.on_split(restored, "test")
  for s, state in enumerate(restored.states):
    batch = batches.draw(run, run.pool, jnp.asarray(tested[s]), None)
    logits = restored.stage.predict(state, batch["image"])
    hits = np.asarray(logits).argmax(-1) == np.asarray(batch["primary"])
    for found in (last[s], again[s]):
      assert found["accuracy"] == pytest.approx(hits.mean(), abs=1e-12)
    assert result["final_per_seed"][s] == last[s]["accuracy"]


def test_the_command_knows_the_splits_of_the_run(whole, capsys):
  folder, rows, _ = whole
  for split, count in (("test", 180), ("meta", 40), ("domain_1", 180)):
    assert evaluate.main([f"--workdir={folder}", f"--split={split}"]) == 0
    assert f"(2 seeds, {count} examples)" in capsys.readouterr().out
  assert {"train", "meta", "test"} < {row["split"] for row in rows}


@pytest.mark.parametrize(
  ("size", "mode", "match"),
  [
    (18, "pmap", r"18 .* 4 devices; set config\.domains\.batch_size to a mult"),
    (200, "none", r"200 .* set config\.domains\.batch_size to 1\.\.180"),
  ],
)
def test_batches_that_do_not_fit(tmp_path, size, mode, match):
  changes = {"domains.batch_size": size, "parallel": mode}
  config = tiny.config(**{**tiny.of_domains(), "method": "arml", **changes})
  with pytest.raises(UserError, match=match):
    train.train_and_evaluate(config, str(tmp_path))
