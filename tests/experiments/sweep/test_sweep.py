"""Sweeps as users start them: every launcher, failures, Ctrl-C, kills."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from command import QUICK, ROOT, environment, run, write_config

from experiments.sweep import state as sweep_state
from metaaux.run import lock

SWEEP = """
from metaaux.config.space import axis, chain, product

TABLE = {"tiny": ("--mean_over=seed",)}

def get_sweep(arg=""):
  long = {"num_steps": 10000, "log_every": 100, "eval_every": 0}
  runs = product(
    {"config": "tiny.py"}, axis("seed", [3, 4]), long if arg == "long" else {}
  )
  fails = {"config": "tiny.py", "group": "other", "primary": "no_such_level"}
  return chain(runs, fails if arg == "fails" else [])
"""
SEEDS = ("tiny/seed=3", "tiny/seed=4")
FAILS = "other/primary=no_such_level"


@pytest.fixture(scope="module")
def env(tmp_path_factory):
  cache = str(tmp_path_factory.mktemp("compiled"))
  return environment(
    JAX_COMPILATION_CACHE_DIR=cache, RAY_USAGE_STATS_ENABLED="0", **QUICK
  )


def folder_of_sweep(folder):
  write_config(folder)
  (folder / "sweep.py").write_text(SWEEP)
  return folder


def flags_of(*flags, argument="fails"):
  return [f"--sweep=sweep.py:{argument}", "--workdir=runs", *flags]


def sweep(folder, env, *flags, **more):
  given = flags_of(*flags, **more)
  return run(*given, module="experiments.sweep", cwd=folder, env=env)


def accuracies(folder):
  found = {}
  for path in sorted((folder / "runs").rglob("result.json")):
    result = json.loads(path.read_text())
    found[path.parent.name] = result["per_seed"]
  return found


@pytest.fixture(scope="module")
def local(tmp_path_factory, env):
  """A folder with a sweep that was run once, and how that ended."""
  folder = folder_of_sweep(tmp_path_factory.mktemp("local"))
  # One at a time, so that the second finds compiled programs.
  return folder, sweep(folder, env, "--workers=1", "--cores=1")


def test_local_runs_all_and_lists_what_failed(local):
  folder, done = local
  assert done.returncode == 1
  out = done.stdout.splitlines()
  assert out[0] == "3 runs in runs: 3 waiting"
  for name in SEEDS:
    assert sum(f"finished  {name}" in line for line in out) == 1
    assert (folder / "runs" / name / "result.json").exists()
  table = out.index("metaaux table --workdir=runs/tiny --mean_over=seed")
  assert out[table + 1].startswith("| method ")
  assert out[table + 3].endswith("| 2     |")  # both seeds in one row
  errors = done.stderr.splitlines()
  assert errors[-2].startswith(f"failed: {FAILS}: error: ")
  assert "no_such_level" in errors[-2] and errors[-2].endswith("sweep.log)")
  assert errors[-1] == "--retry starts failed runs again"
  state = sweep_state.read(str(folder / "runs" / FAILS))
  assert state.status == "failed" and state.note in errors[-2]


@pytest.mark.parametrize(
  "launcher", ["slurm", pytest.param("ray", marks=pytest.mark.slow)]
)
def test_other_launchers_find_the_same(request, tmp_path, env, local, launcher):
  if launcher == "slurm":
    pytest.importorskip("submitit", reason="needs metaaux[slurm]")
    flags = ["--slurm.cluster=local", "--workers=2"]
  else:
    flags = [f"--address={request.getfixturevalue('ray_cluster')}"]
  folder = folder_of_sweep(tmp_path)
  flags = [f"--launcher={launcher}", "--cores=1", *flags]
  done = sweep(folder, env, *flags, argument="")
  assert done.returncode == 0, done.stderr
  assert len(accuracies(folder)) == 2
  assert accuracies(folder) == accuracies(local[0])
  ours, theirs = (
    [line for line in text.splitlines() if line.startswith("| ")]
    for text in (done.stdout, local[1].stdout)
  )
  assert ours == theirs and len(ours) == 2


@pytest.fixture
def ray_cluster(env):
  pytest.importorskip("ray", reason="needs metaaux[ray]")
  script = [sys.executable, str(ROOT / "tests" / "support" / "ray_cluster.py")]
  with subprocess.Popen(
    script,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    env=env,
    text=True,
  ) as process:
    yield process.stdout.readline().strip()
    process.stdin.close()
    process.wait()


def test_what_is_left_is_known_from_the_directories(local, env):
  folder, _ = local
  logs = [folder / "runs" / name / "sweep.log" for name in (*SEEDS, FAILS)]
  before = [path.read_text() for path in logs]
  again = sweep(folder, env)
  assert again.returncode == 1
  assert again.stdout.startswith("3 runs in runs: 2 finished, 1 failed\n")
  assert [path.read_text() for path in logs] == before
  dry = sweep(folder, env, "--dry_run", "--retry")
  assert dry.returncode == 0
  assert dry.stdout == (
    "python -m metaaux.main --config=tiny.py --config.primary=no_such_level "
    f"--workdir=runs/{FAILS}\n"
  )


def wait_for(condition, process):
  for _ in range(6000):
    if condition():
      return
    assert process.poll() is None, "the sweep has ended"
    time.sleep(0.05)
  pytest.fail("waited for five minutes")


def has_rows(workdir):
  path = workdir / "metrics.jsonl"
  return path.exists() and path.stat().st_size > 0


def process_of(workdir):
  """Number of the process that runs in a directory."""
  flag = f"--workdir={workdir}".encode()
  for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
      if flag in path.read_bytes().split(b"\0"):
        return int(path.parent.name)
    except OSError:
      continue  # it has ended
  return None


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc"), reason="looks into /proc")
def test_kill_and_interrupt_leave_all_to_be_resumed(tmp_path, env):
  folder = folder_of_sweep(tmp_path)
  keys = "eval_every=0,log_every=100,num_steps=10000"
  names = [name.replace("/", f"/{keys},") for name in SEEDS]
  killed, stopped = (folder / "runs" / name for name in names)
  flags = ["--workers=2", "--cores=1"]
  with subprocess.Popen(
    [
      *(sys.executable, "-m", "experiments.sweep"),
      *flags_of(*flags, argument="long"),
    ],
    cwd=folder,
    env=env,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    wait_for(lambda: has_rows(killed), process)
    os.kill(process_of(killed), signal.SIGKILL)
    wait_for(lambda: has_rows(stopped), process)
    wait_for(lambda: sweep_state.read(str(killed)).status == "failed", process)
    assert lock.is_held(str(stopped))  # the other run does not mind
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
  assert process.returncode == 130, err
  assert "stopped (1 failed, 1 stopped); the same command goes on" in err
  assert f"failed  {names[0]}" in out
  assert sweep_state.read(str(killed)).note == "killed by SIGKILL"
  assert any((stopped / "checkpoints").iterdir())
  # Without --retry the one that was killed would be left alone.
  dry = sweep(folder, env, *flags, "--dry_run", argument="long")
  assert names[1] in dry.stdout and names[0] not in dry.stdout
  done = sweep(folder, env, *flags, "--retry", argument="long")
  assert done.returncode == 0, done.stderr
  log = (stopped / "sweep.log").read_text()
  assert "exit status 143\n$ " in log and log.endswith("exit status 0\n")
