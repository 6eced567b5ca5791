"""Two hosts of two devices each are one process of four; one may die."""

import signal
import time

import numpy as np
import pytest
from two_hosts import (
  IMPATIENT,
  by_slurm,
  ends,
  settings_of,
  started,
  write_config,
)

from metaaux import train
from metaaux.errors import HostError
from metaaux.parallel import hosts
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.logs import rows as rows_lib

# What a host that is told of another's death has to end in.
SECONDS = 60


def newest(folder):
  with checkpoint_format.open_manager(folder / "checkpoints") as manager:
    step = checkpoint_format.latest_step(manager)
    return step, manager.restore(step)


def steps_saved(folder):
  found = (folder / "run" / "checkpoints").glob("*")
  return sorted(int(path.name) for path in found if path.name.isdigit())


def wait_for(condition, processes):
  for _ in range(1200):
    if condition():
      return
    assert all(process.poll() is None for process in processes)
    time.sleep(0.1)
  pytest.fail("it takes too long")


@pytest.mark.slow
@pytest.mark.parametrize(
  ("method", "joining"),
  [
    ("maxl", by_slurm),
    *(
      pytest.param(method, None, marks=pytest.mark.long)
      for method in ("meta_mtl", "arml", "damtl")
    ),
  ],
)
def test_two_hosts_equal_one(tmp_path, method, joining):
  """With the variables that srun sets, or with flags."""
  flag = write_config(tmp_path, method)
  with started(tmp_path, flag, joining=joining) as processes:
    statuses, outs, errors = ends(processes)
  assert statuses == [0, 0], errors
  # One of them speaks, but for what the hosts say of themselves.
  assert f"{method} on digits: test accuracy" in outs[0]
  assert "accuracy" not in outs[1] and "result.json" not in outs[1]
  assert "8/8" in errors[0] and "8/8" not in errors[1]
  for host, text in enumerate(errors):
    assert f"host {host} of 2, with 2 of 4 devices" in text

  here = tmp_path / "here"
  train.train_and_evaluate(settings_of(method, parallel="sharding"), str(here))
  rows, expected = (
    rows_lib.read_rows(str(folder / "metrics.jsonl"))
    for folder in (tmp_path / "run", here)
  )
  # Written once, in the same order.
  keys = [(row["total_step"], row["split"], row["seed"]) for row in rows]
  assert keys == [(r["total_step"], r["split"], r["seed"]) for r in expected]
  found, wanted = newest(tmp_path / "run"), newest(here)
  assert found[0] == wanted[0] and found[1].keys() == wanted[1].keys()
  for path, value in wanted[1].items():
    if np.issubdtype(value.dtype, np.floating):
      gap = np.linalg.norm((found[1][path] - value).ravel())
      assert gap <= 1e-5 * max(1e-3, np.linalg.norm(value.ravel())), path

  # What is wrong, all hosts say.
  with started(tmp_path, flag, "--config.seed=5", joining=joining) as processes:
    statuses, _, errors = ends(processes)
  assert statuses == [2, 2]
  for text in errors:
    assert "holds a run with another config: seed (0 -> 5)" in text


@pytest.mark.slow
@pytest.mark.parametrize("dies", [pytest.param(0, marks=pytest.mark.long), 1])
def test_a_dead_host_ends_the_other_and_the_run_resumes(tmp_path, dies):
  flags = (write_config(tmp_path, "single"), "--config.num_steps=100000")
  with started(tmp_path, *flags, program=("-c", IMPATIENT)) as processes:
    wait_for(lambda: len(steps_saved(tmp_path)) > 1, processes)
    processes[dies].kill()
    begun = time.monotonic()
    other = processes[1 - dies]
    _, error = other.communicate(timeout=SECONDS)
    assert time.monotonic() - begun < SECONDS
    assert other.returncode not in (0, None)
    # Ours, or that of JAX, which ends the process itself.
    ours = f"host {1 - dies} does not reach the others any more"
    assert ours in error or "another task died" in error
  reached = steps_saved(tmp_path)[-1]

  with started(tmp_path, *flags) as processes:
    wait_for(lambda: steps_saved(tmp_path)[-1] > reached, processes)
    # One host is told to stop, and all of them do, at the same step.
    processes[1].send_signal(signal.SIGTERM)
    statuses, _, errors = ends(processes)
  assert statuses == [128 + signal.SIGTERM] * 2
  (stopped,) = {text.splitlines()[-1] for text in errors}
  assert stopped.startswith("stopped after step ")
  rows = rows_lib.read_rows(str(tmp_path / "run" / "metrics.jsonl"))
  steps = [row["step"] for row in rows if row["split"] == "batch"]
  assert steps == sorted(steps) and steps[0] == 2
  assert len(set(steps)) == len(steps) / 2 == steps[-1] / 2


@pytest.mark.slow
def test_hosts_that_differ_are_told_so(tmp_path):
  def joining(host):
    flags, variables = by_slurm(host)
    return (*flags, f"--config.seed={host}"), variables

  flag = write_config(tmp_path, "single")
  with started(tmp_path, flag, joining=joining) as processes:
    statuses, _, errors = ends(processes)
  assert statuses == [2, 2]
  for text in errors:
    assert "hosts [1] of 2 differ from host 0 in their config" in text
  assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_hosts_whose_data_differs_are_told_so(tmp_path):
  flag = write_config(tmp_path, "single")
  own = "--config.dataset=python:two_hosts:data_of_host"
  with started(tmp_path, flag, own, joining=by_slurm) as processes:
    statuses, _, errors = ends(processes)
  assert statuses == [2, 2]
  for text in errors:
    assert "hosts [1] of 2 differ from host 0 in their data" in text
  assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_one_host_needs_no_other():
  assert hosts.count() == 1 and hosts.is_first()
  assert hosts.on_first(lambda: {"a": [1]}) == {"a": [1]}
  with pytest.raises(ZeroDivisionError):
    hosts.on_first(lambda: 1 // 0)
  tree = {"x": np.arange(3)}
  assert hosts.broadcast(tree) is tree
  assert hosts.any_of(True) and not hosts.any_of(False)


def test_an_error_of_jax_stays_one_where_no_host_can_be_gone():
  import jax

  with pytest.raises(jax.errors.JaxRuntimeError), hosts.joined():
    raise jax.errors.JaxRuntimeError("of this host")
  assert not issubclass(HostError, jax.errors.JaxRuntimeError)
