"""Commands that repeat runs."""

import shlex

import pytest

from experiments.report import repeat as report_repeat
from metaaux import config as config_lib
from metaaux.config import file as config_file

DIGITS = "configs/maxl_digits.py"


@pytest.mark.parametrize(
  "spec, changes, expected",
  [
    (DIGITS, {}, ["--config=configs/maxl_digits.py"]),
    (
      f"{DIGITS}:method=uniform,seeds=3",
      {},
      ["--config=configs/maxl_digits.py:method=uniform,seeds=3"],
    ),
    (
      "configs/damtl_digits.py:method=transfer",
      {"task_classes": ("0-3", "4-9"), "optimizer.learning_rate": 1e-5},
      [
        "--config=configs/damtl_digits.py:method=transfer",
        "--config.optimizer.learning_rate=1e-05",
        "--config.task_classes=0-3,4-9",
      ],
    ),
    (
      DIGITS,
      {"psi": (5, 3), "primary": "2", "dataset": "folder:a b", "seed": 4},
      [
        "--config=configs/maxl_digits.py",
        "--config.dataset=folder:a b",
        "--config.primary=2",
        "--config.psi=5,3",
        "--config.seed=4",
      ],
    ),
  ],
)
def test_the_nearest_file_and_what_differs(spec, changes, expected):
  with config_file.load(spec).unlocked() as config:
    config.update_from_flattened_dict(changes)
  text = report_repeat.command(config, "runs/again")
  # A shell joins lines that end in a backslash.
  program, *flags = shlex.split(text.replace("\\\n", ""))[2:]
  assert program == "metaaux.main"
  assert flags[0] == expected[0]
  assert set(flags) == {*expected, "--workdir=runs/again"}
  # What the command means is what the run was.
  first, *others = flags[:-1]
  again = config_file.load(first.removeprefix("--config="), others)
  assert config_lib.digest(again) == config_lib.digest(config)


def test_no_file_no_command(tmp_path):
  config = config_lib.base()
  assert report_repeat.command(config, "runs/again", str(tmp_path)) is None
