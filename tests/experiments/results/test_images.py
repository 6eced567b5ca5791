"""Tables and reports with an interval that covers the test images."""

import csv
import json
import re

import numpy as np
import pages
import pytest
from finished_runs import write

from experiments import report, results, table
from metaaux.run import confidence_intervals
from metaaux.run.logs import correct_images

NUMBER = 60


def run(folder, method, hits_SxN, labels=None):
  """A finished run that was right on these images; with its config."""
  per_seed = hits_SxN.mean(1).tolist()
  seeds = tuple(range(len(per_seed)))
  write(folder, method, per_seed, seeds, config={})
  path = folder / method / "result.json"
  result = json.loads(path.read_text())
  labels = np.arange(NUMBER) % 2 if labels is None else labels
  positions = np.tile(np.arange(NUMBER), (len(seeds), 1))
  correct_images.write(str(folder / method), 9, hits_SxN, positions, labels)
  result |= {
    "ci95": confidence_intervals.mean_ci(per_seed)[1],
    "ci95_with_images": confidence_intervals.of_shares(hits_SxN),
    "test_images": NUMBER,
    "averaged_evaluations": 1,
  }
  path.write_text(json.dumps(result))
  pages.log(folder, method, pages.rows(per_seed, 10))


def hits(*counts):
  return np.stack([np.arange(NUMBER) < count for count in counts])


@pytest.fixture
def folder(tmp_path):
  """Better than single-task training by more than seeds, on few images."""
  run(tmp_path, "single", hits(40, 41, 42))
  run(tmp_path, "uniform", hits(42, 43, 44))
  return tmp_path


def test_a_table_has_both_intervals(folder, capsys):
  assert table.main([f"--workdir={folder}"]) == 0
  out = capsys.readouterr().out
  both = confidence_intervals.of_shares(hits(42, 43, 44))
  assert f"71.67 ± 4.14 (± {100 * both:.2f})" in out
  gap = confidence_intervals.of_differences(
    1.0 * hits(42, 43, 44) - hits(40, 41, 42)
  )
  assert f"+3.33 ± 0.00 (± {100 * gap:.2f})" in out
  assert f"also covers the choice of the {NUMBER} test images" in out
  assert table.main([f"--workdir={folder}", "--format=csv"]) == 0
  _, row = csv.DictReader(capsys.readouterr().out.splitlines())
  assert row["test_images"] == str(NUMBER)
  assert float(row["ci95_with_images"]) == pytest.approx(100 * both, abs=1e-4)
  assert float(row["difference_ci95_with_images"]) == pytest.approx(
    100 * gap, abs=1e-4
  )


def test_runs_tested_on_other_images_are_not_paired_by_image(tmp_path):
  run(tmp_path, "single", hits(40, 41, 42))
  run(tmp_path, "uniform", hits(42, 43, 44), labels=np.arange(NUMBER) % 3)
  base, other = results.load(str(tmp_path))
  assert results.half_with_images(other, base) is None
  assert results.half_with_images(base, base) is not None


def test_runs_of_data_that_changed_between_them_are_named(folder, capsys):
  for name, content in (("single", "a"), ("uniform", "b")):
    stored = json.loads((folder / name / "config.json").read_text())
    known = {stored["config"]["dataset"]: {"content": content, "count": 1}}
    record = {"sources": known, "class_names": []}
    (folder / name / "data.json").write_text(json.dumps(record))
  assert table.main([f"--workdir={folder}"]) == 0
  out = capsys.readouterr().out
  assert "uniform: digits had other content than for single; train both" in out


def test_another_metric_has_no_such_interval(folder):
  path = folder / "single" / "result.json"
  stored = json.loads(path.read_text())
  path.write_text(json.dumps({**stored, "metrics": {"mine": [0.1, 0.2, 0.3]}}))
  (single, _) = results.load(str(folder))
  (found,) = results.measured([single], "mine")
  assert found["ci95_with_images"] is None and found["test_images"] == ""
  assert results.half_with_images(found, found) is None


def test_a_report_says_what_the_test_images_leave(folder, tmp_path):
  assert report.main([f"--workdir={folder}"]) == 0
  (page,) = folder.rglob("*.html")
  text = re.sub(r"\s+", " ", pages.Page(page.read_text()).text)
  assert "uniform is best" in text
  assert re.search(
    rf"Where the choice of the {NUMBER} test images is noise, too, uniform "
    r"\(\+3\.33 ± \d\.\d+\) is within it",
    text,
  )
