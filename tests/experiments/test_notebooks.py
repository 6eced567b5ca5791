"""The notebooks: their scripts run, and their cells are the scripts'."""

import json
import pathlib
import re
import subprocess
import sys

import command
import pytest

from experiments import write_notebooks

SCRIPTS = write_notebooks.scripts()
NAMES = sorted(SCRIPTS)


def cells(text):
  """(kind, source) of each cell of a script in the percent format."""
  found = []
  for part in re.split(r"(?m)^# %%", text)[1:]:
    head, _, body = part.partition("\n")
    body = body.strip("\n")
    if "[markdown]" in head:
      body = re.sub(r"(?m)^# ?", "", body)
    found.append(("markdown" if "[markdown]" in head else "code", body))
  return found


def notebook(name):
  return json.loads(SCRIPTS[name].with_suffix(".ipynb").read_text("utf-8"))


def texts(output):
  """All that a stored output says in words."""
  data = output.get("data", {})
  parts = [output.get("text", "")]
  parts += [data[kind] for kind in data if kind.startswith("text/")]
  return "".join("".join(part) for part in parts)


@pytest.mark.parametrize("name", NAMES)
def test_stored_notebooks_have_the_cells_of_their_scripts(name):
  stored = [
    (cell["cell_type"], "".join(cell["source"]))
    for cell in notebook(name)["cells"]
  ]
  assert stored == cells(SCRIPTS[name].read_text()), "run make notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_stored_notebooks_were_executed_and_are_small(name):
  path = SCRIPTS[name].with_suffix(".ipynb")
  assert path.stat().st_size <= write_notebooks.MAX_BYTES
  outputs = []
  for cell in notebook(name)["cells"]:
    if cell["cell_type"] == "code":
      assert cell["execution_count"], "run make notebooks"
      outputs += cell["outputs"]
  assert "error" not in {output["output_type"] for output in outputs}
  kinds = {kind for output in outputs for kind in output.get("data", ())}
  assert "text/markdown" in kinds
  assert {"image/png", "image/jpeg"} & kinds
  said = "\n".join(map(texts, outputs))
  assert "95% t-interval" in said
  # No folder of the machine that they were made on.
  assert not re.search(r"(?<![\w.~])/(home|root|tmp|work|Users)\b", said)


def test_notebooks_begin_alike():
  """The cells that install the package and name the devices."""
  first, *others = (
    [source for kind, source in cells(path.read_text()) if kind == "code"][:2]
    for path in SCRIPTS.values()
  )
  assert all(other == first for other in others)


def run(folder, name, before=("", ""), **changes):
  """Runs a script with other settings.

  Args:
    folder: to run it in.
    name: of the script.
    before: a line of it, and what is put above that.
    **changes: values of its settings, as a user would change them.
  """
  line, more = before
  text = SCRIPTS[name].read_text()
  assert line in text
  text = text.replace(line, more + line, 1)
  for key, value in changes.items():
    text, count = re.subn(
      rf"(?m)^{key} = .*$", lambda _, v=value, k=key: f"{k} = {v}", text
    )
    assert count == 1, key
  (folder / f"{name}.py").write_text(text)
  # No prepared data set, so that all machines run the same.
  env = command.environment(TFDS_DATA_DIR=str(folder / "none"), **command.QUICK)
  return subprocess.run(
    [sys.executable, f"{name}.py"],
    capture_output=True,
    text=True,
    cwd=folder,
    env=env,
  )


@pytest.mark.slow
@pytest.mark.long
def test_maxl_without_cifar100(tmp_path):
  done = run(tmp_path, "maxl_cifar100", SEEDS=2)
  assert done.returncode == 0, done.stderr
  assert "TFDS_DATA_DIR" in done.stdout
  assert "Digits are taken instead" in done.stdout
  assert "\nnum_seeds = 2\n" in done.stdout
  assert re.search(r"\| maxl +\| \d+\.\d\d ± ", done.stdout)
  assert "maxl/train 100/100 accuracy" in done.stderr
  for name in ("curves.png", "labels.jpg", "report.html"):
    assert (tmp_path / "runs" / "digits" / name).stat().st_size > 5000
    assert f"runs/digits/{name}" in done.stdout


@pytest.mark.slow
def test_a_folder_of_two_photographs(tmp_path):
  # The default of convolutions takes longer to compile; two methods are as
  # good as three.
  native = 'OVERRIDES.append("--config.model.lowering=native")\n'
  done = run(
    tmp_path,
    "your_images",
    ("METHODS = ", native),
    METHODS='("uniform", "maxl")',
    **{"SEEDS, STEPS, WIDTHS": '1, 16, "4,4"'},
  )
  assert done.returncode == 0, done.stderr
  assert "884 images of 16x16" in done.stdout
  assert "flower: 354 to train, 88 to test" in done.stdout
  taken = re.findall(r"is taken for: flower (\d+), temple (\d+)", done.stdout)
  assert [sum(map(int, counts)) for counts in taken] == [88, 88]
  for name in ("classes.png", "curves.png", "labels.jpg", "report.html"):
    assert (tmp_path / "runs" / "images" / name).stat().st_size > 2000


@pytest.mark.slow
@pytest.mark.long
def test_all_methods_of_one_problem(tmp_path):
  # The first two and the last one of the problem; the sweep has tests of its
  # own.
  fewer = "sweep = sweep._replace(runs=(*sweep.runs[:2], sweep.runs[8]))\n"
  done = run(
    tmp_path,
    "compare_methods",
    ("for run in sweep.runs:\n", fewer),
    PROBLEMS='("maxl_digits",)',
    SEEDS="2",
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.count("configs/maxl_digits.py:method=") == 3
  assert "damtl_digits is left out" in done.stdout
  assert re.search(r"\| maxl +\| \d+\.\d\d ± ", done.stdout)
  # The answer in a sentence.
  assert "paired seeds)" in done.stdout
  folder = tmp_path / "runs" / "compare" / "maxl_digits"
  for name in ("table.md", "curves.png", "labels.png", "report.html"):
    assert (folder / name).exists()


def test_a_script_without_metaaux_says_what_to_do(tmp_path):
  install, *_ = (
    source
    for kind, source in cells(SCRIPTS["your_images"].read_text())
    if kind == "code"
  )
  done = subprocess.run(
    [sys.executable, "-I", "-S", "-c", install],
    capture_output=True,
    text=True,
    cwd=tmp_path,
  )
  assert done.returncode == 1
  assert done.stderr.startswith("metaaux is not installed; set REPOSITORY")


def test_make_notebooks_knows_its_notebooks(capsys):
  assert write_notebooks.main(["nothing"]) == 2
  names = ", ".join(NAMES)
  assert capsys.readouterr().err == (
    f"error: no notebook 'nothing'; there are {names}\n"
  )


def test_pages_list_every_notebook():
  page = (pathlib.Path(command.ROOT) / "docs" / "notebooks.md").read_text()
  for name in NAMES:
    assert f"](../experiments/notebooks/{name}.ipynb)" in page
