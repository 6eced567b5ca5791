"""Stages that runs share through the cache."""

import os

import numpy as np
import pytest
import tiny

from metaaux import train
from metaaux.errors import Stopped
from metaaux.run.logs import rows as rows_lib

# Of DAMTL's two stages the first trains the big task.
STEPS = {
  "num_steps": 6,
  "damtl.auxiliary_steps": 5,
  "eval_every": 3,
  "model.widths": (4,),
  "model.kernels": (3,),
}


def result_of(folder, cache, *, method="transfer", stop=None, **changes):
  settings = tiny.config(method=method, cache=cache, **{**STEPS, **changes})
  calls = []

  def should_stop():
    calls.append(1)
    return len(calls) == stop

  found = train.train_and_evaluate(
    settings, str(folder), should_stop=should_stop
  )
  rows = rows_lib.read_rows(str(folder / "metrics.jsonl"))
  return {k: v for k, v in found.items() if k != "seconds"}, rows


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
  """A cache, and the run that filled it."""
  folder = tmp_path_factory.mktemp("reuse")
  cache = str(folder / "cache")
  return cache, result_of(folder / "first", cache)


def test_a_second_run_takes_the_stage(shared, tmp_path, capsys):
  cache, (first, rows) = shared
  found, later = result_of(tmp_path / "b", cache, **{"damtl.alignment": 0.5})
  assert "stage auxiliary: trained before" in capsys.readouterr().err
  assert found["per_seed"] == first["per_seed"]
  assert {row["stage"] for row in later} == {"train"}
  assert later == [row for row in rows if row["stage"] == "train"]


def test_a_stopped_run_resumes_after_the_taken_stage(shared, tmp_path):
  cache, (first, _) = shared
  changes = {"damtl.alignment": 0.5}
  with pytest.raises(Stopped):
    result_of(tmp_path / "c", cache, stop=2, **changes)
  found, _ = result_of(tmp_path / "c", cache, **changes)
  assert found["per_seed"] == first["per_seed"]


@pytest.mark.parametrize(
  "changes",
  [
    {"seed": 3},
    {"labels_per_class": 6},  # leaves the big task other images
    {"damtl.optimizer.learning_rate": 0.02},
    {"model.hidden": 6},
    {"damtl.auxiliary_steps": 4},
    {"augment.pad": 1},
  ],
)
def test_other_runs_train_their_own(shared, tmp_path, changes, capsys):
  cache, _ = shared
  with pytest.raises(Stopped):
    result_of(tmp_path / "d", cache, stop=1, **changes)
  assert "trained before" not in capsys.readouterr().err


def test_a_damaged_file_is_made_again(shared, tmp_path, capsys):
  cache, (first, _) = shared
  (name,) = [n for n in os.listdir(cache) if n.startswith("auxiliary")]
  copy = tmp_path / "cache"
  copy.mkdir()
  content = (np.fromfile(os.path.join(cache, name), np.uint8))[:2000]
  content.tofile(copy / name)
  found, _ = result_of(tmp_path / "e", str(copy))
  assert "is made again" in capsys.readouterr().err
  assert found["per_seed"] == first["per_seed"]
  assert (copy / name).stat().st_size > 2000
