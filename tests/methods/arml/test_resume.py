"""Runs of ARML that are stopped in a stage, or between the two, and resumed."""

import itertools

import pytest
import tiny

from metaaux import train
from metaaux.errors import Stopped
from metaaux.run.logs import rows as rows_lib

TWO_STAGE = {
  "weighting.algorithm": "two_stage",
  "weighting.share": 0.5,
  # The one with a teacher, and another to weigh; weights move at each step,
  # so that a stage has one program to compile.
  "semi_supervised.tasks": ("exemplar", "useless"),
  "weighting.every": 1,
}


def settings(**changes):
  return tiny.config(
    method="arml",
    num_steps=12,
    log_every=2,
    eval_every=4,
    checkpoint_every=2,
    **changes,
  )


def rows_and_result(folder, config, **options):
  result = train.train_and_evaluate(config, str(folder), **options)
  result.pop("seconds")
  return rows_lib.read_rows(str(folder / "metrics.jsonl")), result


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("whole")
  return rows_and_result(folder, settings(**TWO_STAGE))


def assert_goes_on(folder, whole, config, updates):
  """A run that is stopped after some updates and started again."""
  asked = itertools.count(1)
  with pytest.raises(Stopped):
    train.train_and_evaluate(
      config, str(folder), should_stop=lambda: next(asked) == updates
    )
  assert rows_and_result(folder, config) == whole


@pytest.mark.parametrize("updates", [2, 8])
def test_a_run_in_two_stages_goes_on_where_it_stopped(tmp_path, whole, updates):
  assert_goes_on(tmp_path, whole, settings(**TWO_STAGE), updates)


@pytest.mark.long
def test_a_run_whose_weights_move_now_and_then_goes_on(tmp_path):
  config = settings(**TWO_STAGE | {"weighting.every": 2})
  whole = rows_and_result(tmp_path / "whole", config)
  for updates in (2, 4, 8):
    assert_goes_on(tmp_path / f"{updates}", whole, config, updates)


def test_stages_and_weights_are_in_the_log(whole):
  rows, result = whole
  assert result["method"] == "arml" and result["steps"] == 12
  assert [row["stage"] for row in rows if row["split"] == "batch"] == [
    *["weights"] * 3,
    *["train"] * 3,
  ]
  frozen = [
    row["weight_useless"]
    for row in rows
    if row["stage"] == "train" and row["split"] == "batch"
  ]
  assert len(set(frozen)) == 1
