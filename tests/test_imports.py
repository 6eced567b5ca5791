"""What importing costs, and which way the imports point."""

import ast
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "metaaux"
FILES = sorted(PACKAGE.rglob("*.py"))


def module(path):
  return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom) and node.module:
      parts = node.module.split(".")
      if parts[0] == "metaaux":
        yield from [parts[1]] if parts[1:] else [n.name for n in node.names]


def test_importing_pulls_in_nothing_heavy():
  code = (
    "import sys, metaaux.train, metaaux.evaluate\n"
    "heavy = {'tensorflow', 'tensorflow_datasets', 'torch', 'ray',"
    " 'submitit', 'matplotlib', 'sklearn', 'PIL', 'tensorboardX'}\n"
    "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_methods_and_lower_layers_do_not_look_up(path):
  forbidden = {
    "methods": {"train", "feed", "data", "main", "evaluate", "step_log"},
    "models": {"methods", "train", "feed", "data", "losses", "optim"},
    "data": {"methods", "train", "feed", "models"},
  }.get(module(path), set())
  assert not forbidden & set(imported(path))


def test_only_parallel_knows_pmap_and_only_checkpoint_orbax():
  for path in FILES:
    text = path.read_text()
    if path.name != "parallel.py":
      assert "jax.pmap(" not in text, path
    if path.name != "checkpoint.py":
      assert "orbax.checkpoint" not in text, path
