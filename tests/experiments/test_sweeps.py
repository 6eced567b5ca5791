"""Every file in experiments/sweeps: valid configs, and the papers' tables."""

import functools
import json
import os
import pathlib

import pytest
from command import ROOT

from experiments import results, table
from experiments.papers import lookup as published
from experiments.papers import meta_mtl as paper_tables
from experiments.results import pooled
from experiments.sweep import runs as sweep_runs
from metaaux import config as config_lib
from metaaux.config.keys import METHODS, WEIGHTINGS
from metaaux.errors import UserError

FOLDER = ROOT / "experiments" / "sweeps"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
# One alphabet stands for the others, whose configs differ in that alone.
ALPHABETS = ("Greek", "Latin")


@pytest.fixture(autouse=True)
def _root(monkeypatch):
  monkeypatch.chdir(ROOT)


def load(name, argument="", folder="runs"):
  spec = f"experiments/sweeps/{name}.py"
  return sweep_runs.load(f"{spec}:{argument}" if argument else spec, folder)


@functools.cache
def configs(name, argument=""):
  """Name -> config of each run, but of the alphabets of Omniglot two."""
  return {
    run.name: sweep_runs.config_of(run)
    for run in load(name, argument).runs
    if "alphabet=" not in run.name
    or any(f"alphabet={each}" in run.name for each in (*ALPHABETS, "all"))
  }


@pytest.mark.parametrize("name", NAMES)
def test_configs_are_valid_and_no_two_alike(name):
  full = configs(name)
  digests = [config_lib.digest(config) for config in full.values()]
  assert len(set(digests)) == len(digests)
  small = configs(name, "runlocal")
  assert len(small) == len(full)

  def work(config):
    return config.num_steps * config.num_seeds

  for run, config in small.items():
    assert "runlocal=True" in run
    assert work(config) < max(map(work, full.values()))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_explains_itself(name):
  text = (FOLDER / f"{name}.py").read_text()
  assert f"metaaux sweep --sweep={name}" in text
  assert "Arguments, after the colon" in text
  with pytest.raises(UserError, match=rf"sweeps/{name}\.py: .*'sedes'"):
    load(name, "sedes=1")


def test_digits_have_every_method_and_rule():
  found = configs("digits_all_methods", "rules").values()
  assert {config.dataset for config in found} == {"digits"}
  assert {config.num_seeds for config in found} == {5}
  # FADA needs domains.
  assert {config.method for config in found} == set(METHODS) - {"fada"}
  rules = {c.weighting.name for c in found if c.method == "arml"}
  assert rules == set(WEIGHTINGS) - {"fixed"}  # whose weights are no method
  assert len(configs("digits_all_methods")) < len(found)


PAPERS = {
  "meta_mtl": "Gui et al. 2020",
  "arml": "Shi et al. 2020",
  "maxl": "WAMAL",
}


@pytest.mark.parametrize("name", PAPERS)
def test_every_number_of_a_paper_has_its_run(name):
  found = set()
  for config in configs(name).values():
    flat = config_lib.flatten(config_lib.to_json(config))
    if flat["select"]:  # as the table has the mean over alphabets
      flat["select"] = "mean of 50"
    label = config_lib.label(config)
    number = published.of_run(label, flat)
    if number is None:
      continue
    unlike = []
    if number.paper == "Gui et al. 2020":
      unlike = published.departures(label, flat)
      mean = 1 / flat["partition.num_tasks"]
      assert unlike in ([], [f"auxiliary_weight={mean}"])
    if not unlike:
      found.add(number)
  wanted = {
    number
    for number in paper_tables.find(paper=PAPERS[name])
    # No run is held to five folds, nor the network for all alphabets to the
    # mean of others; of what is read second-hand the first number counts.
    if number.table != "table 5"
    and number.method != "all_alphabets"
    and number.table != "results"
  }
  assert wanted
  assert wanted <= found, sorted(n.column for n in wanted - found)


def test_joint_training_has_the_weights_of_the_paper_at_two_rates():
  """L_0 .. L_T with weight 1; at a common rate that is (T + 1) / 2 as fast."""
  found = [
    (c.auxiliary_weight, c.optimizer.learning_rate)
    for c in configs("meta_mtl", "table=2").values()
    if c.method == "joint" and c.partition.labels == "kmeans"
  ]
  assert found == [(1, 0.1), (1, pytest.approx(0.04)), (0.25, 0.1)]


def test_table_2_embeds_what_its_rows_may_see():
  """All images only in the rows that say so: of Meta-MTL, and its control."""
  found = {
    (c.method, c.partition.labels, c.partition.images)
    for c in configs("meta_mtl", "table=2").values()
    if c.method in ("fine_tune", "joint", "meta_mtl")
  }
  assert found == {
    ("fine_tune", "kmeans", "train"),
    ("joint", "random", "train"),
    ("joint", "kmeans", "train"),
    ("meta_mtl", "kmeans", "train"),
    ("meta_mtl", "kmeans", "all"),
    ("meta_mtl", "permuted", "all"),
  }


@pytest.mark.parametrize("figure", ["hierarchy", "psi"])
def test_maxl_stands_beside_its_controls(figure):
  for variant in ("paper", "code"):
    found = configs("maxl", f"figure={figure},variant={variant}").values()
    settings = {}
    for c in found:
      key = c.primary, c.aux, c.psi
      if c.method != "single":
        settings.setdefault(key, set()).add(c.method)
    assert len(settings) == 6
    for methods in settings.values():
      assert methods >= {*("uniform", "random", "frozen", "no_entropy", "maxl")}


def finished(run, config):
  """Writes what a run leaves behind."""
  os.makedirs(run.workdir)
  seeds = list(range(config.seed, config.seed + config.num_seeds))
  label = config_lib.label(config)
  result = {
    "method": label,
    "mean": 0.5,
    "ci95": 0.0,
    "per_seed": [0.5 for _ in seeds],
    "seeds": seeds,
  }
  path = pathlib.Path(run.workdir)
  (path / "result.json").write_text(json.dumps(result))
  stored = {"config": config_lib.to_json(config)}
  (path / "config.json").write_text(json.dumps(stored))


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_of_finished_runs_can_be_made(tmp_path, capsys, name):
  sweep, known = load(name, "runlocal", tmp_path), configs(name, "runlocal")
  kept = [run for run in sweep.runs if run.name in known]
  for run in kept:
    finished(run, known[run.name])
  for group in {sweep_runs.group_of(run) for run in kept}:
    flags = sweep.table.get(group, ())
    assert table.main([f"--workdir={tmp_path / group}", *flags]) == 0
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    assert len(rows) >= 2
  assert set(sweep.table) <= {sweep_runs.group_of(run) for run in kept}


def test_a_run_for_each_seed_makes_one_row(tmp_path):
  path = tmp_path / "sweep.py"
  path.write_text(
    "from metaaux.config.space import axis, product\n"
    "def get_sweep():\n"
    "  return product({'config': 'configs/maxl_digits.py', ':seeds': 1},\n"
    "    axis(':method', ['single', 'maxl']), axis('seed', range(3)))\n"
  )
  for run in sweep_runs.load(str(path), str(tmp_path / "runs")).runs:
    finished(run, sweep_runs.config_of(run))
  found = results.load(str(tmp_path / "runs"))
  rows = table.rows(pooled.pool(found, "seed"), "single")
  assert [row[0] for row in rows] == ["method", "single", "maxl"]
  assert rows[2][-1] == "3" and rows[2][2] == "+0.00 ± 0.00"
