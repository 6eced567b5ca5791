"""Links of the documents; the rest of the site is held by `make docs`."""

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
