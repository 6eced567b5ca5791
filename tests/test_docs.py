"""Links of the documents; the rest of the site is held by `make docs`."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize(
  "path",
  [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
  ids=lambda p: str(p.relative_to(ROOT)),
)
def test_links_lead_somewhere(path):
  for link in LINK.findall(path.read_text()):
    name = link.partition("#")[0]
    if name and "://" not in name:
      assert (path.parent / name).exists(), link


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_the_site_has_every_page(path):
  name = path.relative_to(ROOT / "docs").as_posix()
  assert f": {name}\n" in (ROOT / "mkdocs.yml").read_text()


NAMED = re.compile(r"\[`([\w.]+)`\]\([./]+/([\w/]+\.py)\)")


def defined(path):
  """The functions and classes of a file."""
  tree = ast.parse((ROOT / path).read_text())
  kinds = ast.FunctionDef | ast.ClassDef
  return {node.name for node in tree.body if isinstance(node, kinds)}


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_functions_are_in_the_files_that_they_link_to(path):
  for name, file in NAMED.findall(path.read_text()):
    *modules, function = name.split(".")
    assert function in defined(file), f"{file}: {function}"
    module = file.removesuffix(".py").removesuffix("/__init__")
    parts = pathlib.Path(module).parts
    assert list(parts[len(parts) - len(modules) :]) == modules, name


def rows_of_the_register():
  lines = (ROOT / "docs" / "register.md").read_text().splitlines()
  return [
    line
    for line in lines
    if line.startswith("| ") and not line.startswith(("| |", "|---"))
  ]


@pytest.mark.parametrize("row", rows_of_the_register(), ids=lambda r: r[2:30])
def test_the_register_names_tests_that_are_there(row):
  last = row.strip("| ").rpartition(" | ")[2]
  found = NAMED.findall(last)
  assert found or last == "no test"
  assert "](" not in row.removesuffix(f"{last} |")
  assert all(
    name.startswith("test_") and path.startswith("tests/")
    for name, path in found
  )
