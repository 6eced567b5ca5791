"""The comparison of runs: paired by seed, refused where it means nothing."""

import csv
import json

import pytest
from finished_runs import write

from experiments import compare, results, table
from metaaux.errors import UserError


def meta_mtl(folder, name, per_seed, **config):
  keys = {"method": "meta_mtl", "labels_per_class": 60}
  keys |= {key.replace("__", "."): value for key, value in config.items()}
  write(folder, name, per_seed, config={"dataset": "tfds:mnist", **keys})


def single(folder, name, per_seed, **config):
  meta_mtl(folder, name, per_seed, method="single", **config)


def test_difference_is_paired_over_common_seeds(tmp_path):
  write(tmp_path, "single", [0.5, 0.6, 0.7])
  write(tmp_path, "maxl", [0.72, 0.61, 0.9], seeds=(2, 1, 3), label_usage=[1.0])
  found = results.load(str(tmp_path))
  rows = table.rows(found, "single")
  # Nothing is known of the labels' information, and no paper has these runs.
  assert rows[0] == [
    "method",
    "accuracy (%)",
    "minus single",
    "label usage (%)",
    "seeds",
  ]
  assert [row[0] for row in rows[1:]] == ["single", "maxl"]
  # Seeds 1 and 2: +0.01 and +0.02; t(1) = 12.706, so 12.706 * 0.005.
  assert rows[2][2] == "+1.50 ± 6.35"
  assert rows[1][2] == "-" and rows[2][3] == "100.00"
  lines = table.markdown(rows).splitlines()
  assert len({len(line) for line in lines}) == 1 and len(lines) == 4


def test_what_cannot_be_compared(tmp_path):
  with pytest.raises(UserError, match="no finished run"):
    results.load(str(tmp_path))
  with pytest.raises(UserError, match="no folder"):
    results.load(str(tmp_path / "missing"))
  write(tmp_path, "maxl", [0.5, 0.6, 0.7])
  with pytest.raises(UserError, match="0 runs are of method 'single'"):
    table.rows(results.load(str(tmp_path)), "single")
  write(tmp_path, "single", [0.5], seeds=(9,))
  with pytest.raises(UserError, match="share no seed"):
    table.rows(results.load(str(tmp_path)), "single")


def test_runs_of_one_method_at_any_depth(tmp_path, capsys):
  single(tmp_path, "stl", [0.91, 0.92, 0.93])
  four, ten = {"partition__num_tasks": 4}, {"partition__num_tasks": 10}
  meta_mtl(tmp_path / "deep" / "er", "ten", [0.94, 0.95, 0.96], **ten)
  meta_mtl(tmp_path / "deep", "four", [0.93, 0.94, 0.95], **four)
  found = results.load(str(tmp_path))
  rows = table.rows(found, "single")
  assert rows == [
    ["method", "accuracy (%)", "minus single", "paper (%)", "seeds"],
    ["single", "92.00 ± 1.00", "-", "91.83", "3"],
    [
      "meta_mtl partition.num_tasks=4",
      "94.00 ± 1.00",
      "+2.00 ± 0.00",
      "93.76",
      "3",
    ],
    [
      "meta_mtl partition.num_tasks=10",
      "95.00 ± 1.00",
      "+3.00 ± 0.00",
      "94.42",
      "3",
    ],
  ]
  # The folder of a run names it too, and comes first.
  for name in ("four", "deep/four"):
    rows = table.rows(found, name)
    assert rows[1][0] == "meta_mtl partition.num_tasks=4"
    assert rows[2][2] == "-2.00 ± 0.00"
  with pytest.raises(UserError, match=r"2 runs .*'meta_mtl'.*deep/er/ten"):
    table.rows(found, "meta_mtl")
  assert table.main([f"--workdir={tmp_path}"]) == 0
  out = capsys.readouterr().out
  assert "paper 91.83: Gui et al. 2020, table 2, STL" in out
  assert f"single: {tmp_path}/stl" in out


def test_settings_make_columns(tmp_path):
  for k in (10, 50):
    keys = {"partition__num_classes": k}
    meta_mtl(tmp_path, f"m{k}", [0.9 + k / 1000] * 3, **keys)
    meta_mtl(
      tmp_path, f"a{k}", [0.95] * 3, **keys, meta_mtl__variant="alternating"
    )
  single(tmp_path, "s10", [0.9, 0.9, 0.9], partition__num_classes=10)
  found = results.load(str(tmp_path))
  rows = table.rows(found, "single", by=["partition.num_classes"])
  ten, fifty = "partition.num_classes=10: ", "partition.num_classes=50: "
  assert rows[0] == [
    "method",
    *(ten + c for c in ("accuracy (%)", "minus single", "paper (%)", "seeds")),
    # No run of single has 50 classes.
    *(fifty + c for c in ("accuracy (%)", "paper (%)", "seeds")),
  ]
  assert [row[0] for row in rows[1:]] == [
    "single",
    "meta_mtl variant=alternating",
    "meta_mtl variant=paper_second_order",
  ]
  assert [row[2] for row in rows[1:]] == ["-", "+5.00 ± 0.00", "+1.00 ± 0.00"]
  assert rows[1][5:] == ["-", "-", "-"]
  # A folder names the baseline in one setting; its label names it in the other.
  rows = table.rows(found, "a10", by=["partition.num_classes"])
  assert rows[1][0] == "meta_mtl variant=alternating"
  assert rows[0][6] == f"{fifty}minus a10" and rows[3][6] == "+0.00 ± 0.00"
  with pytest.raises(UserError, match=r"did you mean 'partition[.]num_tasks'"):
    table.rows(found, "single", by=["partition.num_task"])


def test_data_sets_are_never_mixed(tmp_path):
  single(tmp_path, "mnist/stl", [0.9, 0.9, 0.9])
  meta_mtl(tmp_path, "mnist/meta", [0.91, 0.91, 0.91])
  single(tmp_path, "cifar/stl", [0.7, 0.7, 0.7], dataset="tfds:cifar10")
  meta_mtl(tmp_path, "cifar/meta", [0.8, 0.8, 0.8], dataset="tfds:cifar10")
  rows = table.rows(results.load(str(tmp_path)), "single")
  gaps = [i for i, head in enumerate(rows[0]) if head.endswith("minus single")]
  assert [rows[0][i].partition(":")[0] for i in gaps] == [
    "dataset=tfds",
    "dataset=tfds",
  ]
  assert [rows[2][i] for i in gaps] == ["+10.00 ± 0.00", "+1.00 ± 0.00"]


def test_csv_is_in_plain_numbers(tmp_path, capsys):
  single(tmp_path, "stl", [0.91, 0.92, 0.93])
  meta_mtl(tmp_path, "meta", [0.94, 0.95, 0.96], embedding__name="spectral")
  file = tmp_path / "tables" / "runs.csv"
  by = "--by=partition.num_tasks"
  command = [f"--workdir={tmp_path}", by, "--format=csv", f"--output={file}"]
  assert table.main(command) == 0
  assert capsys.readouterr().out.strip() == str(file)
  assert [path.name for path in file.parent.iterdir()] == ["runs.csv"]
  first, second = csv.DictReader(file.read_text().splitlines())
  assert (first["label"], first["difference"]) == ("single", "")
  assert second["label"] == second["method"] == "meta_mtl"
  assert second["partition.num_tasks"] == "4" and second["seeds"] == "3"
  assert second["accuracy"] == "95.0000" and second["accuracy_ci95"] == "1.0000"
  assert second["difference"] == "3.0000" and second["pairs"] == "3"
  assert second["unlike_paper"] == "embedding.name=spectral"
  assert second["paper"] == "93.76" and "table 2" in second["paper_source"]


def test_markdown_file_and_errors(tmp_path, capsys):
  write(tmp_path, "single", [0.5, 0.6, 0.7])
  write(tmp_path, "maxl", [0.5, 0.6], seeds=(1, 5))
  file = tmp_path / "table.md"
  assert table.main([f"--workdir={tmp_path}", f"--output={file}"]) == 0
  lines = file.read_text().splitlines()
  assert lines[0].startswith("| method") and lines[4] == ""
  assert "- maxl: minus single over the 1 seed of both." in lines
  assert "left out" not in file.read_text()
  write(tmp_path, "uniform", [0.5], config={"num_steps": 7})
  (tmp_path / "uniform" / "result.json").unlink()
  capsys.readouterr()
  assert table.main([f"--workdir={tmp_path}"]) == 0
  line = f"not finished, left out: {tmp_path}/uniform"
  assert capsys.readouterr().out.splitlines()[-1] == line
  (tmp_path / "maxl" / "result.json").write_text("{}")
  for command in (
    ["--workdir=/missing"],
    [f"--workdir={tmp_path}"],
    [f"--workdir={tmp_path}/single", f"--output={file}/table.md"],
    [f"--workdir={tmp_path}", "--format=html"],
  ):
    assert table.main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_figure_averages_is_said(tmp_path):
  for name, averaged in (("single", 2), ("maxl", 5)):
    write(tmp_path, name, [0.5, 0.6, 0.7])
    path = tmp_path / name / "result.json"
    found = json.loads(path.read_text()) | {"averaged_evaluations": averaged}
    path.write_text(json.dumps(found))

  def notes(folder):
    return table.notes(
      compare.compare(results.load(str(folder)), "single"), "single"
    )

  assert "A seed's figure is the mean of its last 2 to 5 evaluations." in notes(
    tmp_path
  )
  assert "A seed's figure is the mean of its last 2 evaluations." in notes(
    tmp_path / "single"
  )


def test_another_metric_takes_the_place_of_accuracy(tmp_path, capsys):
  for name, values in (("single", [0.2, 0.3]), ("maxl", [0.4, 0.7])):
    write(tmp_path, name, [0.9, 0.9], seeds=(0, 1))
    path = tmp_path / name / "result.json"
    found = json.loads(path.read_text()) | {
      "groups": {"task_0": values},
      "attributes": {"Smiling": {"average_precision": values}},
      "extra_tests": {"npz:other": values},
    }
    path.write_text(json.dumps(found))
  folder = f"--workdir={tmp_path}"
  assert table.main([folder, "--metric=task_0"]) == 0
  text = capsys.readouterr().out
  assert "task_0 (%)" in text and "accuracy" not in text
  assert "+30.00 ± 127.06" in text  # t(1) = 12.706, so 12.706 * 0.1
  assert table.main([folder, "--metric=task_0", "--format=csv"]) == 0
  assert ",task_0,task_0_ci95," in capsys.readouterr().out
  for name in ("average_precision/Smiling", "npz:other"):
    assert table.main([folder, f"--metric={name}"]) == 0
    assert f"{name} (%)" in capsys.readouterr().out
  assert table.main([folder, "--metric=task_1"]) == 2
  error = capsys.readouterr().err
  assert "no metric 'task_1' (did you mean 'task_0'?)" in error
