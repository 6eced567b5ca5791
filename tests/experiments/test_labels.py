"""The picture of generated labels, and what notebooks show of files."""

import sys
import types

import numpy as np
import pytest
import tiny
from PIL import Image

from experiments import labels, notebook
from experiments.opened_runs import generated_labels
from metaaux import train
from metaaux.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("maxl")
  config = tiny.config(
    method="maxl",
    num_steps=2,
    eval_every=2,
    batch_size=8,
    **{"model.widths": (4,), "model.kernels": (3,)},
  )
  train.train_and_evaluate(config, str(folder))
  return folder


@pytest.mark.parametrize("name", ["labels.png", "labels.jpg"])
def test_picture(run, tmp_path, capsys, name):
  path = tmp_path / "pictures" / name
  assert labels.main([f"--workdir={run}", f"--output={path}"]) == 0
  assert capsys.readouterr().out == f"{path}\n"
  with Image.open(path) as image:
    pixels = np.asarray(image.convert("L"))
  # White paper with dark letters and images on it.
  assert pixels.shape[1] > 1000
  assert 0.2 < (pixels > 250).mean() < 0.98
  assert pixels.min() < 20
  assert not list(path.parent.glob("*.partial"))


def test_the_figure_says_how_many_images_have_each_label(run):
  found = generated_labels.generated(str(run))
  figure = labels.gallery(found, num_classes=1, num_labels=2)
  (axes,) = figure.axes
  largest = np.bincount(found.primary).argmax()
  first = sum(found.psi[:largest])
  counts = (found.labels.argmax(-1)[:, None] == first + np.arange(2)).sum(0)
  assert [text.get_text() for text in axes.get_yticklabels()] == [
    f"label {k + 1}: {count}" for k, count in enumerate(counts)
  ]
  assert f"{found.primary_names[largest]}: " in axes.get_title("left")
  assert "% of what they could" in figure.get_suptitle()


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--classes=0"], "--classes=0 is out of range; use 1 or more"),
    (["--labels=-1"], "--labels=-1 is out of range; use 1 or more"),
    (["--output=x.docx"], "pictures of type 'docx' are unknown"),
  ],
)
def test_wrong_flags(run, capsys, flags, message):
  assert labels.main([f"--workdir={run}", *flags]) == 2
  assert message in capsys.readouterr().err


def test_a_run_without_labels(tmp_path, capsys):
  config = tiny.config(method="single", num_steps=1, batch_size=8)
  train.train_and_evaluate(config, str(tmp_path))
  assert labels.main([f"--workdir={tmp_path}"]) == 2
  assert "generates no labels" in capsys.readouterr().err


def test_run_ends_where_a_command_fails(tmp_path, capsys):
  with pytest.raises(UserError, match="status 2; what it printed last says"):
    notebook.run(labels.main, f"--workdir={tmp_path}")
  assert capsys.readouterr().err.startswith("error: ")
  given = []
  notebook.run(lambda flags: given.append(flags) or 0, "--a", "--b")
  assert given == [("--a", "--b")]


def test_a_plain_script_prints(tmp_path, capsys):
  path = tmp_path / "table.md"
  path.write_text("| a |")
  for show in (notebook.picture, notebook.page, notebook.markdown):
    show(str(path))
  assert capsys.readouterr().out == f"{path}\n{path}\n| a |\n"


def test_a_terminal_of_ipython_is_no_notebook(monkeypatch, tmp_path, capsys):
  shell = types.SimpleNamespace()
  ipython = types.SimpleNamespace(get_ipython=lambda: shell)
  monkeypatch.setitem(sys.modules, "IPython", ipython)
  notebook.picture("a.png")
  assert capsys.readouterr().out == "a.png\n"
