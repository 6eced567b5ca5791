"""The state of a run is read from its directory."""

import threading

import pytest

from experiments.sweep import drive as sweep_drive
from experiments.sweep import job as sweep_job
from experiments.sweep import launch_local
from experiments.sweep import state as sweep_state
from experiments.sweep.job import Job, Log
from experiments.sweep.launcher import Launcher
from experiments.sweep.state import State
from metaaux.run import lock

HEAD = "$ python -m metaaux.main --config=a.py\n"
TRACE = "Traceback (most recent call last):\n  in f\nMemoryError: too much\n"


@pytest.mark.parametrize(
  ("text", "log", "state"),
  [
    (HEAD, Log(None, ""), State("stopped")),
    (f"{HEAD}a 1/9\na 2/9\n", Log(None, "a 2/9"), State("stopped", "a 2/9")),
    (
      f"{HEAD}error: no data; get it\nexit status 2\n",
      Log(2, "error: no data; get it"),
      State("failed", "error: no data; get it"),
    ),
    # The error, not what a library prints after it.
    (
      f"{HEAD}{TRACE}bye\nexit status 1\n",
      Log(1, "MemoryError: too much"),
      State("failed", "MemoryError: too much"),
    ),
    (f"{HEAD}exit status 1\n", Log(1, ""), State("failed", "exit status 1")),
    (
      f"{HEAD}a 2/9\nexit status -9\n",
      Log(-9, "a 2/9"),
      State("failed", "killed by SIGKILL"),
    ),
    (
      f"{HEAD}at 7\nexit status 143\n",
      Log(143, "at 7"),
      State("stopped", "at 7"),
    ),
    (
      f"{HEAD}at 7\nexit status -15\n",
      Log(-15, "at 7"),
      State("stopped", "at 7"),
    ),
    # Only the last attempt counts, and a bar's last update.
    (
      f"{HEAD}error: old\nexit status 2\n{HEAD}a 1/9\ra 5/9\r",
      Log(None, "a 5/9"),
      State("stopped", "a 5/9"),
    ),
  ],
)
def test_what_a_log_tells(tmp_path, text, log, state):
  (tmp_path / "sweep.log").write_text(text)
  assert sweep_job.read_log(str(tmp_path)) == log
  assert sweep_state.read(str(tmp_path)) == state
  with lock.hold(str(tmp_path)):
    assert sweep_state.read(str(tmp_path)) == State("running", log.line)
  assert sweep_state.read(str(tmp_path)) == state


def test_directories_without_a_log(tmp_path):
  assert sweep_state.read(str(tmp_path / "none")) == State("waiting")
  (tmp_path / "config.json").write_text("{}")  # started by hand
  assert sweep_state.read(str(tmp_path)) == State("stopped")
  text = '{"method": "a", "mean": 0.5, "per_seed": [0.5], "seeds": [0]}'
  (tmp_path / "result.json").write_text(text)
  (tmp_path / "sweep.log").write_text(f"{HEAD}exit status 2\n")
  assert sweep_state.read(str(tmp_path)) == State("finished", "50.00")


def test_a_long_log_is_read_from_its_end(tmp_path):
  lines = "".join(f"a {i}/99999\n" for i in range(20_000))
  (tmp_path / "sweep.log").write_text(f"{HEAD}{lines}exit status 3\n")
  assert sweep_job.read_log(str(tmp_path)) == Log(3, "a 19999/99999")


def test_states_are_counted_in_order():
  states = [State("waiting"), State("failed"), State("finished")] * 2
  assert sweep_state.count(states) == "2 finished, 2 failed, 2 waiting"


@pytest.mark.parametrize(
  ("available", "workers", "cores", "sets"),
  [
    ([0, 1, 2, 3], 2, 2, [{0, 1}, {2, 3}]),
    ([4, 6], 2, 1, [{4}, {6}]),
    ([0, 1], 3, 1, [{0}, {1}, {0}]),
    ([0, 1], 1, 2, [{0, 1}]),
  ],
)
def test_cores_are_split(available, workers, cores, sets):
  assert launch_local.core_sets(available, workers, cores) == sets


def test_a_run_that_another_process_holds_is_not_touched(tmp_path):
  job = Job(("--config=no.py",), str(tmp_path), str(tmp_path), 1)
  with lock.hold(str(tmp_path)):
    sweep_job.execute(job)
  assert not (tmp_path / "sweep.log").exists()


@pytest.fixture
def looks_often(monkeypatch):
  """At directories that change in no time."""
  monkeypatch.setattr(sweep_drive, "_POLL_SECS", 0.02)


def test_what_another_sweep_runs_is_waited_for(tmp_path, looks_often):
  """The drive alone, with a launcher that writes what runs would leave."""
  started, states = [], []
  release = threading.Event()

  def submit(jobs):
    started.extend(job.workdir for job in jobs)
    for job in jobs:
      finish(job.workdir)
    return [object() for _ in jobs]

  def finish(workdir):
    text = '{"method": "a", "mean": 0.5, "per_seed": [0.5], "seeds": [0]}'
    (tmp_path / workdir / "result.json").write_text(text)

  jobs = {}
  for name in ("ours", "theirs"):
    (tmp_path / name).mkdir()
    jobs[name] = Job((), str(tmp_path / name), "", 1)

  def other():
    with lock.hold(jobs["theirs"].workdir):
      held.set()
      release.wait()
      finish(jobs["theirs"].workdir)

  def show(now):
    states.append({name: state.status for name, state in now.items()})
    if now["ours"].status == "finished":
      release.set()

  held = threading.Event()
  thread = threading.Thread(target=other)
  thread.start()
  held.wait()
  launcher = Launcher(
    1, 1, submit, lambda handle: "", lambda handles: None, lambda: None
  )
  outcome = sweep_drive.drive(launcher, jobs, show, {})
  thread.join()
  assert started == [jobs["ours"].workdir]
  assert states[0] == {"ours": "waiting", "theirs": "running"}
  assert {s.status for s in outcome.states.values()} == {"finished"}
  assert outcome.lost == {}


@pytest.mark.parametrize("ends_between", [False, True])
def test_a_signal_cancels_and_ends_the_drive(
  tmp_path, looks_often, ends_between
):
  """Also where a job ends just after its directory was looked at."""
  received, cancelled, held = {}, [], {}
  jobs = {n: Job((), str(tmp_path / n), "", 1) for n in ("one", "two")}

  def submit(given):
    for job in given:
      held[job.workdir] = lock.hold(job.workdir)
      held[job.workdir].__enter__()
    return [job.workdir for job in given]

  def ended(handle):
    if handle in cancelled and handle in held:
      held.pop(handle).__exit__(None, None, None)
      return "" if ends_between else None
    return None if handle in held else ""

  def show(states):
    if states["one"].status == "running":
      received["signal"] = 2

  launcher = Launcher(1, 1, submit, ended, cancelled.extend, lambda: None)
  outcome = sweep_drive.drive(launcher, jobs, show, received)
  assert cancelled == [jobs["one"].workdir] and held == {}
  assert {s.status for s in outcome.states.values()} == {"waiting"}
