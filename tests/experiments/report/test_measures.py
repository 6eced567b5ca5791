"""Measures beside the accuracy: in one table each, paired, and marked."""

import json

import pages
import pytest

from experiments import report, results
from experiments.report import measures as report_measures
from experiments.report import summary as report_summary
from metaaux.run import confidence_intervals

SPACE = "\N{NO-BREAK SPACE}"


def write(folder, name, accuracy, **more):
  """A finished run with further measures."""
  pages.finished(folder, name, accuracy)
  path = folder / name / "result.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | more))


def section(folder, baseline=""):
  found = results.load(str(folder))
  names = {r["workdir"]: r["name"] for r in found}
  summary = report_summary.summarise(found, names, baseline)
  return report_measures.section(found, names, summary.bases)


def plain(rows):
  return [[cell.replace(SPACE, " ") for cell in row] for row in rows]


def test_runs_without_other_measures_have_no_section(tmp_path):
  write(tmp_path, "single", [0.5, 0.6], metrics={}, groups={}, attributes={})
  pages.finished(tmp_path, "maxl", [0.5, 0.6])
  assert section(tmp_path) is None
  assert "Other measures" not in report.render(str(tmp_path))


def test_few_measures_are_columns(tmp_path):
  groups = {"task_0": [0.5, 0.6, 0.7], "task_1": [0.8, 0.9, 0.7]}
  better = {"task_0": [0.6, 0.71, 0.8], "task_1": [0.7, 0.95, 0.81]}
  write(tmp_path, "single", [0.5, 0.6, 0.7], groups=groups)
  write(tmp_path, "damtl", [0.5, 0.6, 0.7], groups=better)
  pages.finished(tmp_path, "maxl", [0.5, 0.6, 0.7])  # has no tasks
  found = section(tmp_path)
  (table,) = found.tables
  assert table.caption == "Accuracy within each task or group of classes"
  gap = "minus single"
  assert table.header == ["run", "task_0 (%)", gap, "task_1 (%)", gap]
  gaps = [
    confidence_intervals.format_ci(
      *confidence_intervals.paired(better[name], groups[name])
    )
    for name in ("task_0", "task_1")
  ]
  mean = confidence_intervals.format_ci(
    *confidence_intervals.mean_ci(better["task_1"])
  )
  assert plain(table.rows) == [
    ["single", "60.00 ± 24.84", "–", "80.00 ± 24.84", "–"],
    ["damtl", "70.33 ± 24.88", f"+{gaps[0]}*", mean, f"+{gaps[1]}"],
  ]
  (note,) = found.notes
  assert note.startswith("* The interval leaves out zero: 1 of 2 differences.")


def test_many_measures_are_rows(tmp_path):
  names = ("Smiling", "Hat", "Young", "Male")
  for run, move in (("single", 0.0), ("arml", 0.1)):
    scores = {
      name: {"average_precision": [0.5 + move, 0.6 + move * (1 + k)]}
      for k, name in enumerate(names)
    }
    scores["Male"]["balanced_accuracy"] = [0.5, 0.7]
    write(tmp_path, run, [0.5, 0.6], attributes=scores)
  precision, balanced = section(tmp_path).tables
  assert precision.caption == "Average precision of each attribute"
  assert precision.header == ["(%)", "single", "arml", "arml minus single"]
  smiling, *_, male = plain(precision.rows)
  assert smiling == [
    "Smiling",
    "55.00 ± 63.53",
    "65.00 ± 63.53",
    "+10.00 ± 0.00*",
  ]
  assert male[0] == "Male" and male[3] == "+25.00 ± 190.59"
  assert balanced.header[:2] == ["run", "Male (%)"]


@pytest.mark.parametrize(
  ("single", "other", "gap"),
  [
    ([0.5], [0.75], "+25.00"),  # one seed has no interval, and no mark
    ([0.5, 0.5], None, None),
  ],
)
def test_without_an_interval_or_a_pair(tmp_path, single, other, gap):
  scores = {"average_precision": single}
  write(tmp_path, "single", single, metrics=scores)
  if other:
    write(tmp_path, "maxl", other, metrics={"average_precision": other})
  found = section(tmp_path)
  (table,) = found.tables
  assert table.header[:2] == ["run", "average precision (%)"]
  assert found.notes == []
  if gap is None:
    assert len(table.header) == 2
  else:
    assert table.rows[1][2] == gap


def test_means_over_attributes_say_so(tmp_path):
  scores = {
    "mean_balanced_accuracy": [0.5, 0.7],
    "average_precision": [0.5, 0.7],
  }
  write(tmp_path, "single", [0.5, 0.6], metrics=scores)
  (table,) = section(tmp_path).tables
  assert [row[0] for row in table.rows] == [
    "balanced accuracy, mean of all attributes",
    "average precision",
  ]


def test_runs_that_are_not_compared_still_show_their_measures(tmp_path):
  for name in ("a", "b"):
    more = {"extra_tests": {"npz:other": [0.5, 0.6]}}
    pages.finished(tmp_path / name, "single", [0.5, 0.6], num_steps=len(name))
    path = tmp_path / name / "single" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
  (table,) = section(tmp_path).tables
  assert table.header == ["run", "npz:other (%)"] and len(table.rows) == 2


def test_on_the_page(tmp_path):
  for name, accuracy in (("single", [0.5, 0.6]), ("arml", [0.6, 0.8])):
    write(tmp_path, name, accuracy, groups={"<b>": accuracy})
  page = pages.check(report.render(str(tmp_path)))
  assert "Other measures" in page.text and "<b> (%)" in page.text
  assert "No interval leaves out zero, of 1 difference." in page.text
