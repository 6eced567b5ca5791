"""The measures of the code that ruff does not take."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted(
  path
  for folder in (
    "metaaux",
    "configs",
    "experiments",
    "benchmarks",
    "examples",
    "tests",
  )
  for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
  text = path.read_text()
  assert len(text.splitlines()) <= 400
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.FunctionDef):
      length = node.end_lineno - node.lineno + 1
      docstring = ast.get_docstring(node, clean=False) or ""
      assert length - docstring.count("\n") <= 70, node.name
