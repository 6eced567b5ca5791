"""Runs on several problems as one row, paired by problem and seed."""

import pytest
from finished_runs import write

from experiments import compare, results, table
from experiments.results import pooled
from metaaux.errors import UserError


def omniglot(folder, name, alphabet, per_seed, seeds=(0, 1), method="single"):
  config = {
    "method": method,
    "dataset": "tfds:omniglot",
    "select": f"alphabet={alphabet}",
  }
  write(folder, name, per_seed, seeds, config)


def fill(folder):
  omniglot(folder, "greek", "Greek", [0.5, 0.6])
  omniglot(folder, "latin", "Latin", [0.7, 0.8])
  omniglot(folder, "m_greek", "Greek", [0.6, 0.6], method="meta_mtl")
  # Seeds in another order.
  omniglot(folder, "m_latin", "Latin", [0.9, 0.8], (1, 0), "meta_mtl")


def test_a_row_is_the_mean_over_problems_and_seeds(tmp_path):
  fill(tmp_path)
  found = pooled.pool(results.load(str(tmp_path)), "select")
  assert [result["method"] for result in found] == ["single", "meta_mtl"]
  assert [result["mean"] for result in found] == pytest.approx([0.65, 0.725])
  rows = table.rows(found, "single")
  # Differences 0.1, 0, 0.1, 0.1: mean 0.075, s 0.05, t(3) 3.182.
  assert rows[2][rows[0].index("minus single")] == "+7.50 ± 7.96"
  assert [row[rows[0].index("seeds")] for row in rows[1:]] == ["4", "4"]
  # The mean over alphabets is what the paper prints, for blocks with dropout.
  notes = table.notes(compare.compare(found, "single"), "single")
  assert any("unlike the paper: model.block_dropout=0.0" in n for n in notes)
  assert rows[1][rows[0].index("paper (%)")] == "65.72"


def test_rows_over_other_problems_are_not_compared(tmp_path):
  fill(tmp_path)
  omniglot(tmp_path, "korean", "Korean", [0.5, 0.5])
  with pytest.raises(UserError, match="needs the same of each"):
    pooled.pool(results.load(str(tmp_path)), "select")


def test_a_problem_counts_once(tmp_path):
  fill(tmp_path)
  omniglot(tmp_path, "again", "Greek", [0.5], (1,))
  with pytest.raises(UserError, match="alphabet=Greek and seed 1; leave one"):
    pooled.pool(results.load(str(tmp_path)), "select")


def test_a_key_that_no_run_has_is_refused(tmp_path):
  fill(tmp_path)
  with pytest.raises(UserError, match="no run has the key 'alphabet'"):
    pooled.pool(results.load(str(tmp_path)), "alphabet")


def test_the_command_joins_runs(tmp_path, capsys):
  fill(tmp_path)
  flags = [f"--workdir={tmp_path}", "--mean_over=select"]
  assert table.main(flags) == 0
  lines = capsys.readouterr().out.splitlines()
  assert lines[2].startswith("| single")
  assert "65.00" in lines[2]
