"""What the log of a stage says, and how often."""

import io

import pytest
import tiny

from metaaux import methods
from metaaux.methods.maxl import diagnostics
from metaaux.run import opening
from metaaux.run.logs import rows as rows_lib
from metaaux.run.logs import step_log


@pytest.fixture(scope="module")
def run():
  return opening.open_run(tiny.config(method="maxl", num_seeds=2))


def row(seed, split="meta", **metrics):
  return {"split": split, "seed": seed, "accuracy": 0.5, **metrics}


def log_of(run, alarms):
  (stage,) = methods.make(run.config, run.problem.spec)
  file = rows_lib.RowFile(io.BytesIO())
  stage = stage._replace(alarms=alarms)
  return step_log.StepLog(file, run, stage, 0, 0)


def test_each_kind_of_alarm_is_told_once_a_stage(run, capsys):
  """Whatever numbers its text has, and whatever other kind says the same."""

  def alarms(row):
    found = {"usage": f"only {row['used']:.0%} of the classes are in use"}
    return found | ({"gain": "the loss grows"} if row["used"] < 0.2 else {})

  log = log_of(run, alarms)
  log.evaluation(10, [row(0, used=0.24), row(1, used=0.25)])
  log.evaluation(20, [row(0, used=0.22), row(1, used=0.15)])
  log.evaluation(30, [row(0, used=0.11), row(0, "test", used=0.01)])
  log_of(run, alarms).evaluation(40, [row(0, used=0.4)])  # of another stage
  told = [
    line for line in capsys.readouterr().err.splitlines() if "warning" in line
  ]
  assert told == [
    "warning: step 10, seed 0: only 24% of the classes are in use",
    "warning: step 20, seed 1: the loss grows",
    "warning: step 40, seed 0: only 40% of the classes are in use",
  ]


def test_kinds_of_maxl_do_not_depend_on_numbers():
  def kinds(gain, cosine, entropy):
    found = diagnostics.alarms(
      {
        "uniform_entropy": 1.61,
        "sample_entropy": entropy,
        "information": 0.0,
        "information_fraction": 0.0,
        "label_usage": 0.4,
        "meta_gain": gain,
        "meta_primary_loss": 2.0,
        "gradient_cosine": cosine,
      }
    )
    assert all("\n" not in text for text in found.values())
    return set(found)

  first, second = kinds(-1.0, -0.5, 1.6), kinds(-3.0, -0.1, 1.605)
  assert first == second == {"uniform", "gain", "cosine"}
