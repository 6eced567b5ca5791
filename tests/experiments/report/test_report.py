"""The page itself: what is on it, and what it does without."""

import json
import subprocess
import sys

import numpy as np
import pages
import pytest
import tiny
from cluster_runs import write as write_clusters

from experiments import report
from metaaux import config as config_lib
from metaaux import data, train
from metaaux.partitions import _report as partition_report


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  """A file of digits, so that it can be taken away."""
  problem = data.build(tiny.config(method="single"))
  pool, test = problem.pool, problem.test
  path = tmp_path_factory.mktemp("data") / "digits.npz"
  np.savez(
    path,
    x_train=pool["image"][:200],
    y_train=pool["primary"][:200],
    x_test=test["image"][:64],
    y_test=test["primary"][:64],
  )
  return path


def short(**changes):
  """A config of a few steps."""
  few = {"num_steps": 4, "eval_every": 2, "log_every": 2, "batch_size": 8}
  small = {"model.widths": (4,), "model.kernels": (3,)}
  return tiny.config(**{**few, **small, **changes})


def trained(folder, name, **changes):
  train.train_and_evaluate(short(**changes), str(folder / name))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, images):
  """Finished runs, one of MAXL, and one that never began to train."""
  folder = tmp_path_factory.mktemp("runs")
  settings = {
    "dataset": f"npz:{images}",
    "labels_per_class": 10,
    "num_seeds": 2,
    "psi": (3,),
  }
  for method in ("single", "maxl"):
    trained(folder, method, method=method, **settings)
  config = config_lib.to_json(short(method="uniform", **settings))
  (folder / "uniform").mkdir()
  (folder / "uniform" / "config.json").write_text(
    json.dumps({"config": config, "versions": {"jax": "0.0.1"}})
  )
  return folder


def test_a_folder_of_runs(runs, capsys):
  assert report.main([f"--workdir={runs}"]) == 0
  assert capsys.readouterr().out == f"{runs}/report.html\n"
  text = (runs / "report.html").read_text()
  page = pages.check(text)
  assert len(text) < 300_000
  assert "3 runs, 2 of them finished on npz:" in page.text
  assert "uniform (unfinished): unfinished, nothing logged yet" in page.text
  # Curves of two splits, two of the labels, two maps of features.
  assert len([alt for alt in page.drawings if alt.startswith("Test acc")]) == 2
  assert sum("t-SNE map" in alt for alt in page.drawings) == 4
  labelled = [alt for alt in page.images if "at label" in alt]
  assert labelled and "random images of" in labelled[0]
  assert page.text.count("the likeliest of no image") + len(labelled) == 6
  assert "64 test images that neither network was trained on" in page.text
  assert "0.0.1 (uniform (unfinished))" in page.text
  assert "python -m metaaux.main" in page.text


def test_without_the_data_the_galleries_are_left_out(runs, images):
  hidden = images.with_suffix(".away")
  images.rename(hidden)
  try:
    page = pages.check(report.render(str(runs)))
  finally:
    hidden.rename(images)
  assert not page.images
  assert "The galleries and the map of features are left out: " in page.text
  assert any("Label usage" in alt for alt in page.drawings)


def test_weights_and_the_similarity_of_gradients(tmp_path):
  tasks = ("rotation", "useless")
  few = {
    "num_steps": 1,
    "weighting.name": "uniform",
    "semi_supervised.tasks": tasks,
  }
  trained(tmp_path, "run", method="arml", **few)
  page = pages.check(report.render(str(tmp_path / "run")))
  (alt,) = {alt for alt in page.drawings if "between the gradients" in alt}
  of = dict(part.rsplit(" ", 1) for part in alt[:-1].split(": ")[1].split("; "))
  assert set(of) == set(tasks)
  assert all(-1 <= float(value) <= 1 for value in of.values())
  assert "Weights at the end, 1 seed" in page.text
  assert "There is no second run" in page.text


def test_masks_of_each_layer(tmp_path):
  alone = {"damtl.start": "random", "damtl.align": "none"}
  two = {"model.widths": (4, 8), "model.kernels": (3, 3)}
  trained(tmp_path, "run", method="damtl", num_steps=1, **alone, **two)
  page = pages.check(report.render(str(tmp_path)))
  assert any("Distribution of the mask" in alt for alt in page.drawings)
  # Kernels of 3x3 from 1 to 4 and from 4 to 8 channels, of two tasks.
  assert "conv_0 72" in page.text and "conv_1 576" in page.text
  assert "task_0" in page.text and "task_1" in page.text


def test_masks_without_a_checkpoint(tmp_path):
  pages.finished(tmp_path, "damtl", [0.5, 0.6])
  logged = [
    {**row, "split": split, key: value * row["step"] * (1 + row["seed"])}
    for split, key, value in (
      ("batch", "mask_near_zero_0", 0.01),
      ("batch", "mask_near_zero_1", 0.02),
      ("meta", "distance_0", 3.0),
    )
    for step in (5, 10)
    for row in pages.rows([0.5, 0.6], step)[:2]
  ]
  merged = {}
  for row in logged:
    key = row["split"], row["step"], row["seed"]
    merged[key] = merged.get(key, {}) | row
  tested = pages.rows([0.5, 0.6], 10)
  pages.log(tmp_path, "damtl", merged.values(), tested)
  page = pages.check(report.render(str(tmp_path)))
  ends = "convolution 1 15.0 %, convolution 2 30.0 %"
  assert any(ends in alt for alt in page.drawings)
  # Steps 5 and 10 of seeds 0 and 1: 3 * 5 * 1.5 and 3 * 10 * 1.5.
  said = "mean 22.5 at step 5, 45 at step 10"
  assert any(said in alt for alt in page.drawings)
  assert "The values of the masks are left out: " in page.text


def test_clusters_with_their_agreement(tmp_path):
  problem, _, partitions = write_clusters(tmp_path)
  written = partition_report.report(partitions, problem.pool["primary"])
  (tmp_path / "reports").mkdir()
  path = tmp_path / "reports" / "partitions-seed0.json"
  path.write_text(json.dumps(written))
  page = pages.check(report.render(str(tmp_path)))
  assert "No run is finished yet." in page.text
  first = written["partitions"][0]
  assert f"{first['nmi']:.2f} {first['nmi_permuted']:.2f}" in page.text
  assert len(page.images) == 10 and "random images of cluster" in page.images[0]
  (tmp_path / "cache" / "partitions-seed0-4567.npz").unlink()
  page = pages.check(report.render(str(tmp_path)))
  assert not page.images and "The gallery is left out: no part" in page.text


def test_an_unfinished_run_has_its_curve_and_no_place_in_the_table(tmp_path):
  pages.finished(tmp_path, "single", [0.5, 0.6])
  pages.finished(tmp_path, "maxl", [0.6, 0.7])
  (tmp_path / "maxl" / "result.json").unlink()
  page = pages.check(report.render(str(tmp_path)))
  assert "maxl (unfinished): unfinished, at step 10 of stage train" in page.text
  (alt, *_) = page.drawings
  assert "maxl (unfinished) 65.0" in alt and "single 55.0" in alt
  assert "single reaches 55.00" in page.text.replace("\N{NO-BREAK SPACE}", " ")


def test_an_unfinished_run_makes_no_name_longer(tmp_path):
  pages.finished(tmp_path, "single", [0.5, 0.6])
  pages.finished(tmp_path, "maxl", [0.6, 0.7], num_steps=7, labels_per_class=9)
  (tmp_path / "maxl" / "result.json").unlink()
  page = pages.check(report.render(str(tmp_path)))
  text = page.text.replace("\N{NO-BREAK SPACE}", " ")
  assert "single reaches 55.00" in text
  assert "maxl num_steps=7 labels_per_class=9 (unfinished): unfinished" in text


def test_what_is_missing_is_said():
  code = (
    "import sys; sys.modules |= {'jinja2': None, 'markupsafe': None}\n"
    "from experiments import report; sys.exit(report.main(['--workdir=.']))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True
  )
  message = "error: jinja2 is missing; pip install 'metaaux[report]'\n"
  assert (done.returncode, done.stderr) == (2, message)


def test_what_a_run_says_is_text_not_markup(tmp_path):
  name = "<img src=x onerror=alert(1)>"
  pages.finished(tmp_path, "single", [0.5, 0.6])
  pages.finished(tmp_path, "maxl", [0.6, 0.7], dataset=f"folder:{name}")
  text = report.render(str(tmp_path))
  page = pages.check(text)
  assert name in page.text and not page.images


@pytest.mark.parametrize(
  "flags, complaint",
  [
    ([], "holds no finished run"),
    (["--baseline=nothing"], "holds no finished run"),
  ],
)
def test_no_run_no_report(tmp_path, capsys, flags, complaint):
  assert report.main([f"--workdir={tmp_path}", *flags]) == 2
  error = capsys.readouterr().err
  assert error.count("\n") == 1 and complaint in error
  assert not list(tmp_path.iterdir())
