"""Runs on a machine that fails: full disks, damaged files, kills at any time.

A run that went on after any of them must end as one that was never disturbed:
the same result, the same rows, the same bits.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import command
import numpy as np
import pytest
import tiny
from damages import DAMAGES, parts

from metaaux import train
from metaaux.errors import Stopped, UserError
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.checkpoints import reopen
from metaaux.run.logs import rows as rows_lib


def assert_same_end(workdir, reference):
  found = command.assert_same_result(workdir, reference)
  rows, known = (
    (each / "metrics.jsonl").read_bytes() for each in (workdir, reference)
  )
  assert rows == known and rows
  (step, state), (last, bits) = newest(workdir), newest(reference)
  assert step == last == found["steps"]
  assert state == bits and len(bits) > 5


def newest(workdir):
  """Step and bits of the newest checkpoint, its digest among them."""
  with checkpoint_format.open_manager(workdir / "checkpoints") as manager:
    step = manager.latest_step()
    stored = manager.restore(step)
  return step, {path: np.asarray(x).tobytes() for path, x in stored.items()}


@pytest.fixture(scope="module")
def settings():
  return tiny.config(
    method="single",
    checkpoint_every=5,
    eval_every=5,
    keep_checkpoints=3,
    # Large enough that an array has a file of its own.
    **{"model.hidden": 64, "optimizer.momentum": 0.9},
  )


@pytest.fixture(scope="module")
def stopped(settings, tmp_path_factory):
  """A run that nothing disturbed, and one that was stopped at step 15."""
  folder = tmp_path_factory.mktemp("runs")
  train.train_and_evaluate(settings, str(folder / "straight"))
  calls = iter(range(1, 100))
  with pytest.raises(Stopped):
    train.train_and_evaluate(
      settings,
      str(folder / "stopped"),
      should_stop=lambda: next(calls) == 15,
    )
  return folder


# A part that is not what it was, and one that is not there; how each part is
# found to be damaged is in checkpoints/test_damage.py.
@pytest.mark.parametrize(
  ("damage", "part"),
  [
    ("flipped", "data"),
    ("missing", "manifest"),
    pytest.param("truncated", "data", marks=pytest.mark.long),
    pytest.param("empty", "root", marks=pytest.mark.long),
    pytest.param("garbage", "_METADATA", marks=pytest.mark.long),
  ],
)
def test_damage_of_the_newest_checkpoint(
  settings, stopped, tmp_path, capsys, damage, part
):
  workdir = tmp_path / "run"
  shutil.copytree(stopped / "stopped", workdir)
  assert newest(workdir)[0] == 15
  DAMAGES[damage](parts(workdir / "checkpoints" / "15")[part])
  # Who only reads takes the one before, and removes nothing.
  assert reopen.restore(str(workdir)).step == 10
  assert capsys.readouterr().err.endswith("; an older one is read instead\n")
  assert (workdir / "checkpoints" / "15").exists()
  train.train_and_evaluate(settings, str(workdir))
  first = capsys.readouterr().err.splitlines()[0]
  assert first.startswith(
    f"warning: checkpoint {workdir}/checkpoints/15 cannot be read ("
  )
  assert first.endswith("; it is removed, and the run goes on from step 10")
  assert_same_end(workdir, stopped / "straight")


def test_an_empty_folder_with_a_higher_number(
  settings, stopped, tmp_path, capsys
):
  workdir = tmp_path / "run"
  shutil.copytree(stopped / "stopped", workdir)
  for step in ("17", "900"):
    (workdir / "checkpoints" / step).mkdir()
  assert reopen.restore(str(workdir)).step == 15
  train.train_and_evaluate(settings, str(workdir))
  assert "go on from step 15" in capsys.readouterr().err.replace("goes", "go")
  assert_same_end(workdir, stopped / "straight")


def lose(lines, fits):
  """Damages the line of the first row that fits, in one way or another."""
  i = next(i for i, line in enumerate(lines) if fits(json.loads(line)))
  lines[i] = "\0" * len(lines[i])


def test_lost_evaluations_are_made_again(settings, stopped, tmp_path, capsys):
  workdir = tmp_path / "run"
  shutil.copytree(stopped / "stopped", workdir)
  path = workdir / "metrics.jsonl"
  lines = path.read_text().splitlines()
  lose(lines, lambda row: row["total_step"] == 10 and row["split"] == "test")
  path.write_text("\n".join(lines) + "\n")
  train.train_and_evaluate(settings, str(workdir))
  said = capsys.readouterr().err
  assert said.startswith("warning: the rows of step 10, before checkpoint ")
  assert (
    "15, are lost; it is removed, and the run goes on from step 5\n" in said
  )
  assert_same_end(workdir, stopped / "straight")


def test_evaluations_that_cannot_be_made_again_end_the_command(
  settings, stopped, tmp_path
):
  workdir = tmp_path / "run"
  shutil.copytree(stopped / "stopped", workdir)
  path = workdir / "metrics.jsonl"
  lines = path.read_text().splitlines()
  lose(lines, lambda row: row["total_step"] == 5 and row["split"] == "test")
  path.write_text("\n".join(lines) + "\n")
  before = path.read_bytes(), sorted(os.listdir(workdir / "checkpoints"))
  with pytest.raises(
    UserError, match=r"lost rows .* at step 5, and no"
  ) as caught:
    train.train_and_evaluate(settings, str(workdir))
  assert "--overwrite" not in str(caught.value)
  assert before == (
    path.read_bytes(),
    sorted(os.listdir(workdir / "checkpoints")),
  )
  assert reopen.restore(str(workdir)).step == 15


def test_a_lost_row_of_the_loss_is_a_gap(settings, stopped, tmp_path, capsys):
  workdir = tmp_path / "run"
  shutil.copytree(stopped / "stopped", workdir)
  path = workdir / "metrics.jsonl"
  lines = path.read_text().splitlines()
  lose(lines, lambda row: row["split"] == "batch")
  path.write_text("\n".join(lines) + "\n")
  train.train_and_evaluate(settings, str(workdir))
  assert "1 line of " in capsys.readouterr().err
  command.assert_same_result(workdir, stopped / "straight")
  known = (stopped / "straight" / "metrics.jsonl").read_text().splitlines()
  assert path.read_text().splitlines() == known[1:]


# Trains undisturbed; then on a disk that has no room for the checkpoint of step
# 20, and from step 45 on for nothing; then once more with room enough.
FULL_DISK = """
import contextlib, os, sys, threading, time
from full_disk import full_disk
from metaaux import messages, train
from metaaux.config import file as config_file
from metaaux.errors import UserError

path, straight, disturbed = sys.argv[1:]
config = config_file.load(path, [f"--config.{key}" for key in (
  "num_steps=50", "log_every=5", "eval_every=10", "checkpoint_every=10",
  "model.hidden=64", "optimizer.momentum=0.9",
)])
train.train_and_evaluate(config, straight)
step, told, full = 0, threading.Event(), contextlib.ExitStack()

def warn(text, warn=messages.warn):
  warn(text)
  told.set()

def saved(step):
  while not os.path.exists(f"{disturbed}/checkpoints/{step}"):
    time.sleep(0.01)

def after_a_step():
  global step
  step += 1
  if step == 15:
    saved(10)
    full.enter_context(full_disk(12000))
  if step == 25:
    assert told.wait(60)
    full.close()
  if step == 45:
    saved(40)
    full.enter_context(full_disk())
  return False

messages.warn = warn
try:
  train.train_and_evaluate(config, disturbed, should_stop=after_a_step)
except UserError as error:
  print(error, file=sys.stderr)
else:
  sys.exit("it ended without its last checkpoint")
full.close()
train.train_and_evaluate(config, disturbed)
"""


def test_a_full_disk(tmp_path):
  straight, disturbed = tmp_path / "straight", tmp_path / "disturbed"
  done = subprocess.run(
    [
      sys.executable,
      "-c",
      FULL_DISK,
      command.write_config(tmp_path),
      straight,
      disturbed,
    ],
    capture_output=True,
    text=True,
    env=command.environment(
      command.ROOT / "tests" / "support",
      JAX_COMPILATION_CACHE_DIR=str(tmp_path / "cache"),
      **command.QUICK,
    ),
  )
  assert done.returncode == 0, done.stderr
  assert "Traceback" not in done.stderr
  told = [line for line in done.stderr.splitlines() if "written" in line]
  assert told == [
    "warning: checkpoint of step 20 is not written (File too large); the run "
    "goes on to its next save",
    f"warning: {disturbed}/metrics.jsonl cannot be written (File too large)",
    "warning: checkpoint of step 50 is not written (File too large); the run "
    "goes on to its next save",
    "checkpoint of step 50 is not written (File too large); make room and "
    "start the same command again, which goes on from step 40",
  ]
  assert_same_end(disturbed, straight)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("kills", "steps"), [(2, 300), pytest.param(20, 600, marks=pytest.mark.long)]
)
def test_killed_at_random_moments(tmp_path, kills, steps):
  """At random moments, half of which are in the middle of a save."""
  flags = (
    f"--config={command.write_config(tmp_path)}:method=single",
    f"--compilation_cache={tmp_path}/cache",
    f"--config.num_steps={steps}",
    "--config.log_every=4",
    "--config.eval_every=100",
    "--config.checkpoint_every=4",
    "--config.augment.pad=1",
    "--config.optimizer.momentum=0.9",
  )

  def start(workdir):
    return subprocess.Popen(
      [sys.executable, "-m", "metaaux.main", f"--workdir={workdir}", *flags],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
      env=command.environment(),
    )

  reference, workdir = tmp_path / "reference", tmp_path / "killed"
  assert start(reference).wait() == 0
  known = rows_lib.read_rows(str(reference / "metrics.jsonl"))
  moments = np.random.default_rng(0)
  before, while_saving = 0, 0
  for kill in range(kills):
    process = start(workdir)
    wait_for(process, workdir, lambda name, old=before: number(name) > old)
    if kill % 2:
      # Half of them while a checkpoint is written, however short that is.
      wait_for(process, workdir, lambda name: "tmp" in name)
      time.sleep(moments.uniform(0, 0.02))
    else:
      time.sleep(moments.uniform(0, 0.15))
    process.kill()
    assert process.wait() == -signal.SIGKILL, "ended before it was killed"
    names = os.listdir(workdir / "checkpoints")
    while_saving += any("tmp" in name for name in names)
    before, _ = newest(workdir)
    rows = rows_lib.read_rows(str(workdir / "metrics.jsonl"))
    assert [row for row in rows if row["total_step"] <= before] == [
      row for row in known if row["total_step"] <= before
    ]
  # Of few moments, none need be so short.
  assert while_saving >= kills // 6
  assert start(workdir).wait() == 0
  assert_same_end(workdir, reference)


def number(name):
  """Step of a complete checkpoint's folder, 0 of another."""
  return int(name) if name.isdigit() else 0


def wait_for(process, workdir, fits, seconds=300):
  """Until the name of some checkpoint's folder fits."""
  end = time.monotonic() + seconds
  folder = workdir / "checkpoints"
  while not any(map(fits, os.listdir(folder) if folder.exists() else [])):
    assert process.poll() is None, "ended too early"
    assert time.monotonic() < end, "never came so far"
    time.sleep(0.002)
