"""What a sweep file becomes: names, commands, configs, errors."""

import os
import shlex
import signal

import pytest
from command import ROOT

from experiments import sweep
from experiments.sweep import runs as sweep_runs
from metaaux.errors import UserError


@pytest.fixture(autouse=True)
def _root(monkeypatch):
  monkeypatch.chdir(ROOT)
  numbers = (signal.SIGTERM, signal.SIGINT)
  before = [signal.getsignal(number) for number in numbers]
  yield
  for number, handler in zip(numbers, before, strict=True):
    signal.signal(number, handler)


def load(folder, body, *overrides, argument=""):
  """Runs of a file with this body of get_sweep."""
  path = folder / "sweep.py"
  path.write_text(f"def get_sweep(arg=''):\n{body}\n")
  spec = f"{path}:{argument}" if argument else str(path)
  return sweep_runs.load(spec, str(folder / "runs"), overrides).runs


DIGITS = "configs/maxl_digits.py"


@pytest.mark.parametrize(
  ("point", "name"),
  [
    ({}, "maxl_digits/default"),
    (
      {"seed": 3, "optimizer.learning_rate": 0.05, ":method": "single"},
      "maxl_digits/method=single,optimizer.learning_rate=0.05,seed=3",
    ),
    ({":psi": (5, 5), ":runlocal": True}, "maxl_digits/psi=5+5,runlocal=True"),
    ({"model.widths": (4, 8)}, "maxl_digits/model.widths=4,8"),
    ({"group": "plain", "seed": 1}, "plain/seed=1"),
  ],
)
def test_names_say_what_is_set(tmp_path, point, name):
  (run,) = load(tmp_path, f"  return [{ {'config': DIGITS, **point}!r}]")
  assert run.name == name
  assert run.workdir == str(tmp_path / "runs" / name)
  # However the dict came about, the name is the same.
  turned = dict(reversed(list({"config": DIGITS, **point}.items())))
  assert load(tmp_path, f"  yield {turned!r}") == (run,)
  config = sweep_runs.config_of(run)
  for key in ("seed", "optimizer.learning_rate", "model.widths"):
    if key in point:
      group, _, last = key.rpartition(".")
      found = config[group][last] if group else config[last]
      assert found == point[key]
  if ":psi" in point:
    assert config.psi == (5, 5) and config.num_steps == 100


def test_names_that_do_not_fit_end_in_a_digest(tmp_path):
  points = [
    {"config": DIGITS, "cache": cache} for cache in ("a/b", "a b", "x" * 300)
  ]
  runs = load(tmp_path, f"  return {points!r}")
  names = [run.name.removeprefix("maxl_digits/") for run in runs]
  assert len(set(names)) == 3
  assert all(len(name) <= 120 for name in names)
  assert [name[:9] for name in names] == ["cache=a_b"] * 2 + ["cache=xxx"]


def test_the_command_gives_the_run_its_config(tmp_path):
  point = {"config": f"{DIGITS}:method=human", "seed": 4, ":seeds": 2}
  (run,) = load(tmp_path, f"  return {point!r}", ("num_steps", "7"))
  python, m, module, *flags = shlex.split(sweep_runs.shown(run))
  assert (python, m, module) == ("python", "-m", "metaaux.main")
  given = dict(flag.split("=", 1) for flag in flags)
  assert given.pop("--workdir") == run.workdir
  assert given.pop("--config") == f"{DIGITS}:method=human,seeds=2"
  pairs = sweep_runs.pairs([f"{k}={v}" for k, v in given.items()])
  assert pairs == [("num_steps", "7"), ("seed", "4")]
  config = sweep_runs.config_of(run)
  assert (config.method, config.num_seeds, config.seed) == ("human", 2, 4)
  assert config.num_steps == 7


def test_the_argument_reaches_the_file(tmp_path):
  body = f"  return [{{'config': '{DIGITS}', ':method': arg}}]"
  (run,) = load(tmp_path, body, argument="uniform")
  assert run.name == "maxl_digits/method=uniform"


@pytest.mark.parametrize(
  ("body", "message"),
  [
    ("  return []", r"sweep\.py: get_sweep\(\) gave no runs"),
    ("  return None", r"sweep\.py: a sweep is made of dicts; None is none"),
    ("  yield {'seed': 1}", "has no config file; give it the key 'config'"),
    ("  yield {'config': 'c.py'}\n  1 / 0", r"sweep\.py:3 failed with ZeroDiv"),
    (
      "  return [{'config': 'c.py', 'seed': 1}] * 2",
      "the run c/seed=1 is there twice; leave one",
    ),
    (
      "  return [{'config': 'a/c.py'}, {'config': 'b/c.py'}]",
      r"the run c/default would hold two runs, of a/c\.py and b/c\.py",
    ),
    ("  return [{'config': 'c.py', 'x': {}}]", r"x=\{\} is of the wrong type"),
    ("  return [{'config': 'c.py', ':x': 'a,b'}]", "'a,b' has a comma"),
  ],
)
def test_what_is_no_sweep(tmp_path, body, message):
  with pytest.raises(UserError, match=message):
    load(tmp_path, body)


FILE = "def get_sweep():\n  return {'config': 'configs/maxl_digits.py', %s}\n"


@pytest.mark.parametrize(
  ("text", "flags", "message"),
  [
    (FILE % "'sed': 1", (), "run maxl_digits/sed=1: config key 'sed' is unkn"),
    (FILE % "':metod': 1", (), "run .*: config argument 'metod' is unknown"),
    (FILE % "'seed': -1", (), "run maxl_digits/seed=-1: .*out of range"),
    ("x = 1", (), r"defines no get_sweep\(\); see docs/sweeps\.md"),
    (None, (), "sweep file .* does not exist; check --sweep"),
    (FILE % "", ("--workers=-1",), "--workers=-1 is out of range"),
    (FILE % "", ("--launcher=pbs",), "'pbs'.* --help lists what there is"),
    (FILE % "", ("--gpus=1",), "--gpus is of no use to --launcher=local"),
    (FILE % "", ("--slurm.mem_gb=1",), "--slurm is of no use to .*=local"),
    (FILE % "", ("--sede=1",), "unexpected argument '--sede=1'"),
  ],
)
def test_wrong_commands_start_nothing(tmp_path, capsys, text, flags, message):
  path = tmp_path / "sweep.py"
  if text is not None:
    path.write_text(text)
  command = [f"--sweep={path}", f"--workdir={tmp_path}/runs", *flags]
  assert sweep.main(command) == 2
  error = capsys.readouterr().err
  assert error.startswith("error: ") and error.count("\n") == 1
  with pytest.raises(UserError, match=message):
    raise UserError(error)
  assert not os.path.exists(tmp_path / "runs")


def test_another_config_in_the_directory_is_never_taken_for_the_run(
  tmp_path, capsys
):
  path = tmp_path / "sweep.py"
  path.write_text(FILE % "")
  workdir = tmp_path / "runs" / "maxl_digits" / "default"
  workdir.mkdir(parents=True)
  (workdir / "config.json").write_text('{"config": {"seed": 5}}')
  (workdir / "result.json").write_text('{"mean": 1.0}')
  command = [f"--sweep={path}", f"--workdir={tmp_path}/runs", "--dry_run"]
  assert sweep.main(command) == 2
  error = capsys.readouterr().err
  assert "run maxl_digits/default: " in error
  assert "holds a run with another config" in error and "seed (5 -> 0)" in error
