"""Runs of different config files side by side: groups and names."""

import json

import pages
import pytest
from described_runs import run
from finished_runs import write

from experiments import compare, report, results, table
from experiments.report import parts as report_parts
from experiments.results import naming

# What two config files differ in, beside the method.
FIRST = {
  "num_steps": 8,
  "batch_size": 64,
  "model.name": "vgg16",
  "model.width": 0.25,
  "optimizer.learning_rate": 0.05,
  "optimizer.schedule": "step",
  "generator.optimizer.name": "adam",
  "augment.flip": True,
  "log_every": 7,
}
SECOND = {
  "num_steps": 12,
  "model.widths": (4, 8),
  "optimizer.name": "adam",
  "optimizer.learning_rate": 0.001,
  "embedding.name": "pixels",
  "semi_supervised.flip": False,
  "weighting.eta_mode": "relative",
}


def levels(folder, name, *found):
  """Writes into a result.json what was trained."""
  path = folder / name / "result.json"
  content = json.loads(path.read_text()) | {"levels": found}
  path.write_text(json.dumps(content))


def folder_of(tmp_path, singles=1):
  """Runs of two files on digits, one of which names its level."""
  seeds = [0.5, 0.6, 0.7]
  named = {**FIRST, "primary": "10"}
  long = "a_folder/with_a_name_that_says_everything/of_the_run"
  write(tmp_path, "first/single", seeds, config={"method": "single", **named})
  write(tmp_path, long, [0.51, 0.6, 0.71], config={"method": "maxl", **named})
  # psi says that it is the level of ten classes.
  found = {**SECOND, "psi": (5,) * 10}
  for name in (*("single", "meta_mtl")[: 2 * (singles - 1)], "arml"):
    write(tmp_path, f"second/{name}", seeds, config={"method": name, **found})
  return tmp_path


def test_a_level_that_is_named_and_one_that_is_found_are_one(tmp_path):
  compared = compare.compare(
    results.load(str(folder_of(tmp_path, singles=1))), "single"
  )
  assert compared.settings == ("",) and compared.keys == ()
  assert [row.label for row in compared.rows] == ["single", "maxl", "arml"]
  assert all(row.gap or row.is_baseline for row in compared.rows)


@pytest.mark.parametrize("found", ["20", "100"])
def test_levels_of_other_data_are_those_of_the_result(tmp_path, found):
  cifar = {"dataset": "tfds:cifar100"}
  write(tmp_path, "a", [0.5, 0.6], (0, 1), {"method": "single", **cifar})
  levels(tmp_path, "a", "20", "100")
  named = {"method": "maxl", "primary": found, **cifar}
  write(tmp_path, "b", [0.5, 0.6], (0, 1), named)
  levels(tmp_path, "b", found, "100" if found == "20" else "")
  compared = compare.compare(results.load(str(tmp_path)), "single")
  assert (compared.keys == ()) == (found == "20")
  if found == "100":
    assert compared.settings == ("primary=20", "primary=100")


def test_each_run_beside_the_baseline_of_its_file(tmp_path):
  compared = compare.compare(
    results.load(str(folder_of(tmp_path, singles=2))), "single"
  )
  assert len(compared.settings) == 2 and len(compared.keys) == 1
  of = {(row.label, row.setting): row for row in compared.rows}
  assert len(of) == 5
  for row in compared.rows:
    assert len(f"{row.label} {row.setting}") <= 2 * naming.LONGEST
    (base,) = [
      other
      for other in compared.rows
      if other.is_baseline and other.setting == row.setting
    ]
    ours, theirs = row.result["config"], base.result["config"]
    assert ours["num_steps"] == theirs["num_steps"]


def test_short_names_and_a_line_on_what_they_leave_out(tmp_path, capsys):
  folder = folder_of(tmp_path, singles=1)
  assert table.main([f"--workdir={folder}"]) == 0
  lines = capsys.readouterr().out.splitlines()
  assert max(map(len, lines[:5])) <= 120
  (said,) = [line for line in lines if "also differ" in line]
  assert "The runs also differ in model.name, optimizer.name" in said
  assert "log_every" not in said  # which changes no figure
  text = report.render(str(folder))
  page = pages.check(text)
  headings = [text.split(tag)[1].split("<")[0] for tag in ("<h1>",)]
  assert len(" ".join(headings[0].split())) < 80
  assert "There is no second run" not in page.text
  assert "Not the method alone differs between these runs" in page.text
  assert "but also model.name, optimizer.name, " in page.text
  # All keys that differ are there, folded.
  folded = text[text.index("<h2>Config</h2>") :]
  assert "<details><summary>Keys of the config that differ" in folded
  for key in (*FIRST, *SECOND):
    assert key in folded.replace("<wbr>", "")


def test_names_are_as_long_as_it_takes_to_tell_runs_apart():
  same = {k.replace(".", "__"): v for k, v in FIRST.items()}
  runs = [run("single"), run("maxl", "a", **same)]
  assert results.labels(runs) == ["single", "maxl"]
  runs.append(run("maxl", "b", **(same | {"gamma": 0.5})))
  names = results.labels(runs)
  assert names == ["single", "maxl gamma=2.0", "maxl gamma=0.5"]
  # Two keys, each of which tells only half of it.
  runs.append(run("maxl", "c", **(same | {"psi": (5, 5)})))
  names = results.labels(runs)
  assert len(set(names)) == 4 and max(map(len, names)) < naming.LONGEST


def test_long_values_are_short_unless_they_then_are_one():
  near, far = (f"folder:/data/of/somebody/{x}/photos" for x in "ab")
  runs = [run("single", dataset=near), run("maxl", dataset=far)]
  assert results.settings(runs, ["dataset"]) == [
    f"dataset={near}",
    f"dataset={far}",
  ]
  other = run("maxl", dataset="npz:/data/of/somebody/else/digits.npz")
  assert results.settings([runs[0], other], ["dataset"]) == [
    "dataset=folder:…/photos",
    "dataset=npz:…/digits.npz",
  ]


def test_words_are_broken_where_they_are_joined():
  for text, wanted in {
    "+3.20 ± 1.10": "+3.20 ± 1.10",
    "batch_size=32": "batch_size=32",
    "optimizer.learning_rate=0.1": "optimizer.|learning_|rate=0.1",
    "runs/a<b/with_a_name": "runs/|a&lt;b/|with_|a_|name",
  }.items():
    found = str(report_parts.breakable(text))
    assert found == wanted.replace("|", "<wbr>")


def test_runs_of_one_file_differ_in_their_method():
  first, second = (
    {key.replace(".", "__"): value for key, value in keys.items()}
    for keys in (FIRST, SECOND)
  )
  alike = [run("single", **first), run("maxl", **first, psi=(5,))]
  assert results.unlike(alike) == ""
  assert "model.name" in results.unlike([*alike, run("arml", **second)])


def test_an_unfinished_run_is_of_the_level_of_its_like(tmp_path):
  """Which only the result of a run says."""
  for name in ("a", "b", "c"):
    named = {"method": "single", "dataset": "tfds:cifar100"}
    write(tmp_path, name, [0.5, 0.6], (0, 1), named | {"psi": (1,) * 20})
  levels(tmp_path, "a", "20", "")
  (tmp_path / "c" / "result.json").unlink()
  found = results.load(str(tmp_path)) + results.unfinished(str(tmp_path))
  found = results.in_order(found)
  assert [each["config"]["primary"] for each in found] == ["20"] * 3


def test_no_baseline_in_a_setting_with_several_runs(tmp_path):
  seeds = [0.5, 0.6, 0.7]
  for data, methods in {
    "digits": ("single", "maxl"),
    "tfds:mnist": ("maxl", "uniform"),
  }.items():
    for method in methods:
      name = f"{data[-3:]}/{method}-run"
      write(tmp_path, name, seeds, config={"method": method, "dataset": data})
  # Another label than that of the baseline in the other setting.
  text = pages.check(report.render(str(tmp_path))).text
  assert "no second run" not in text
  assert "the highest of 2 runs" in text
  assert "None of them is the baseline, single, so that" in text
