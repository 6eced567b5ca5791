"""What is said while something takes long, and of the time that is left."""

import itertools
import re
import sys
import time

import pytest
import tiny
from terminals import Terminal

from metaaux import train
from metaaux.run.logs import progress as progress_lib
from metaaux.run.logs import waiting


@pytest.mark.parametrize(
  ("seconds", "text"),
  [
    (-1, "0 s"),
    (45.4, "45 s"),
    (99.4, "99 s"),
    (100, "2 min"),
    (14 * 60, "14 min"),
    (125 * 60, "2 h 5 min"),
    (47.99 * 3600, "47 h 59 min"),
    (76 * 3600, "3 d 4 h"),
  ],
)
def test_durations(seconds, text):
  assert waiting.duration(seconds) == text


def test_times_are_seldom_in_a_log_and_every_second_on_a_terminal():
  first = list(itertools.islice(waiting.plain_times(), 7))
  assert first == [5, 30, 60, 120, 300, 600, 900]
  assert list(itertools.islice(waiting.live_times(), 3)) == [5, 6, 7]


@pytest.fixture
def impatient(monkeypatch):
  """Every twentieth of a second instead of every second."""
  for name in ("plain_times", "live_times"):
    monkeypatch.setattr(waiting, name, lambda: itertools.count(0.05, 0.05))


def test_a_log_gets_lines_and_how_long_it_took(impatient, capsys):
  progress = progress_lib.Progress("maxl/train", 0, 30)
  with progress.waiting("compiling update"):
    time.sleep(0.18)
  first, *_, last = capsys.readouterr().err.splitlines()
  assert first == "maxl/train 0/30 compiling update ... 0 s so far"
  assert last == "maxl/train 0/30 compiling update took 0 s"


def test_a_terminal_gets_a_line_that_moves(impatient, monkeypatch):
  monkeypatch.setattr(sys, "stderr", Terminal())
  progress = progress_lib.Progress("maxl/train", 0, 30)
  with progress.waiting("compiling update"):
    time.sleep(0.18)
  progress.close()
  text = sys.stderr.getvalue()
  assert "compiling update ... 0 s" in text and "took 0 s" in text
  assert text.count("\n") == 1


def test_what_is_quick_says_nothing(capsys):
  with progress_lib.Progress("maxl/train", 0, 30).waiting("compiling update"):
    pass
  assert capsys.readouterr().err == ""


def test_a_failure_passes_and_a_closed_log_is_no_failure(
  impatient, monkeypatch, capsys
):
  progress = progress_lib.Progress("maxl/train", 0, 30)
  with pytest.raises(KeyError), progress.waiting("compiling update"):
    time.sleep(0.1)
    raise KeyError
  closed = Terminal()
  closed.isatty = lambda: False
  closed.close()
  monkeypatch.setattr(sys, "stderr", closed)
  with progress.waiting("compiling update"):
    time.sleep(0.1)


def test_plain_lines_have_the_time_that_is_left(monkeypatch, capsys):
  now = iter([100.0, 110.0, 130.0, 150.0])
  monkeypatch.setattr(progress_lib.time, "monotonic", lambda: next(now))
  progress = progress_lib.Progress("maxl/train", 10, 50)
  progress.show(10, "loss 2.0")  # what came before was compiled
  progress.begin(11)
  progress.show(16, "loss 1.0", reached=21)  # 10 steps in 10 seconds
  progress.show(26, "loss 0.5")  # 15 steps in 30 seconds
  progress.show(50, "loss 0.4")
  assert capsys.readouterr().err.splitlines() == [
    "maxl/train 10/50 loss 2.0",
    "maxl/train 16/50 loss 1.0 (29 s left)",
    "maxl/train 26/50 loss 0.5 (48 s left)",
    "maxl/train 50/50 loss 0.4",
  ]


def test_a_run_says_that_it_compiles(monkeypatch, tmp_path, capsys):
  monkeypatch.setattr(waiting, "plain_times", lambda: itertools.count(0, 0.2))
  few = {"num_steps": 12, "eval_every": 4, "log_every": 2}
  settings = tiny.config(method="single", **few)
  train.train_and_evaluate(settings, str(tmp_path / "run"))
  lines = capsys.readouterr().err.splitlines()
  told = [re.sub(r"\d+ s\b.*", "", line) for line in lines]
  told = [line for line in told if "compiling" in line]
  assert told[0] == "single/train 0/12 compiling the update step ... "
  assert "single/train 0/12 compiling the update step took " in told
  assert any("compiling and evaluating took" in line for line in told)
  # Once, and not at later steps.
  assert len([line for line in told if "update step took" in line]) == 1
  (left,) = [
    line for line in lines if line.startswith("single/train 6/12 loss")
  ]
  assert re.search(r"loss [\d.]+ \(0 s left\)$", left)
