"""On which test images a run was right."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tiny

from metaaux import evaluate, main, train
from metaaux.errors import Stopped
from metaaux.run import confidence_intervals
from metaaux.run.logs import correct_images


def settings(**changes):
  return tiny.config(
    method="single",
    **{
      "num_seeds": 2,
      "num_steps": 25,
      "average_last": 2,
      "checkpoint_every": 5,
      "test_split": "test[:60]",
      **changes,
    },
  )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  workdir = str(tmp_path_factory.mktemp("correct") / "run")
  return workdir, train.train_and_evaluate(settings(), workdir)


def test_a_result_has_the_number_of_test_images_and_their_interval(finished):
  workdir, result = finished
  assert result["test_images"] == 60
  # Evaluations after 20 and 25 steps are averaged; that after 10 is not kept.
  names = sorted(os.listdir(os.path.join(workdir, "correct")))
  assert names == ["0000000020.npz", "0000000025.npz"]
  found = correct_images.read(workdir, result)
  np.testing.assert_allclose(found.shares.mean(1), result["per_seed"])
  assert set(np.unique(found.shares)) <= {0, 0.5, 1}
  assert result["ci95_with_images"] == confidence_intervals.of_shares(
    found.shares
  )
  assert result["ci95_with_images"] >= result["ci95"]
  stored = pathlib.Path(workdir, "result.json").read_text()
  assert json.loads(stored) == result
  # Right on the very images that the network is right on now.
  restored = evaluate.restore(workdir)
  rows, half = evaluate.with_interval(restored, "test")
  last = correct_images.read(
    workdir,
    {
      **result,
      "per_seed": [row["accuracy"] for row in rows],
      "averaged_evaluations": 1,
    },
  )
  assert half == confidence_intervals.of_shares(last.shares)


def test_a_run_that_was_stopped_has_the_same(finished, tmp_path):
  workdir, calls = str(tmp_path / "run"), []

  def go_on(steps):
    calls.clear()
    return train.train_and_evaluate(
      settings(),
      workdir,
      should_stop=lambda: calls.append(0) or len(calls) == steps,
    )

  with pytest.raises(Stopped):
    go_on(22)
  result = go_on(100)
  assert result["ci95_with_images"] == finished[1]["ci95_with_images"]


def test_what_is_lost_or_of_another_result_says_nothing(finished, tmp_path):
  workdir, result = finished
  assert correct_images.read(str(tmp_path), result) is None
  other = {**result, "per_seed": [0.5, 0.25]}
  assert correct_images.read(workdir, other) is None
  folder = tmp_path / "correct"
  folder.mkdir()
  (folder / "0000000025.npz").write_bytes(b"no archive")
  assert correct_images.read(str(tmp_path), result) is None
  assert correct_images.half_width(None) is None


def test_a_full_disk_costs_the_interval_alone(tmp_path):
  (tmp_path / "correct").write_text("in the way")
  hits = np.ones((1, 3), bool)
  correct_images.write(str(tmp_path), 5, hits, np.arange(3)[None], np.arange(3))
  assert [path.name for path in tmp_path.iterdir()] == ["correct"]


def test_a_result_without_its_evaluations_says_so(finished, tmp_path, capsys):
  workdir, result = finished
  copy = tmp_path / "run"
  shutil.copytree(workdir, copy)
  shutil.rmtree(copy / "correct")
  os.unlink(copy / "result.json")
  found = train.train_and_evaluate(settings(), str(copy))
  assert found["ci95_with_images"] is None
  assert found["per_seed"] == result["per_seed"]
  assert "no interval that covers the test images" in capsys.readouterr().err


def test_which_evaluations_are_kept():
  config = settings(average_last=3)
  steps = [10, 20, 30, 40, 45]
  kept = [s for s in steps if correct_images.is_kept(config, s, 45)]
  assert kept == [30, 40, 45]
  config = settings(average_last=3, eval_every=0)
  assert correct_images.is_kept(config, 45, 45)


def test_positions_of_each_seed_come_back(tmp_path):
  rng = np.random.default_rng(0)
  hits = rng.random((2, 13)) < 0.5
  positions = np.stack([rng.permutation(20)[:13] for _ in range(2)])
  correct_images.write(str(tmp_path), 5, hits, positions, np.arange(20))
  result = {
    "seeds": [3, 4],
    "per_seed": hits.mean(1),
    "averaged_evaluations": 1,
  }
  found = correct_images.read(str(tmp_path), result)
  np.testing.assert_array_equal(found.shares, hits)
  np.testing.assert_array_equal(found.positions, positions)
  # Of a run with the seeds in another order, on the same images.
  other = correct_images.Correct(
    (4, 3), 1.0 - found.shares[::-1], positions[::-1], found.test
  )
  half = correct_images.half_width_of_difference(found, other, [3, 4])
  gap = 2.0 * hits - 1
  assert half == confidence_intervals.of_differences(gap, positions)
  moved = other._replace(positions=positions)
  assert correct_images.half_width_of_difference(found, moved, [3, 4]) is None
  assert correct_images.half_width_of_difference(found, None, [3]) is None


def test_the_command_says_it(finished, tmp_path, capsys):
  workdir, result = finished
  evaluate.main([f"--workdir={workdir}"])
  out = capsys.readouterr().out
  assert "60 examples)\n± " in out and "over seeds and examples" in out
  half = confidence_intervals.format_ci(result["ci95_with_images"], None)
  text = main._with_images(result)
  assert text.startswith(f"± {half} over seeds and 60 test images, as a")
