"""Links from docs/ to the rest of the repository, for `make docs`.

The site holds docs/ and the scripts of examples/. A link to any other file
becomes its text; one to a file that is not there is a warning, which ends a
strict build.
"""

import logging
import pathlib
import posixpath
import re
from typing import Any

from mkdocs.structure.files import File, Files

_ROOT = pathlib.Path(__file__).parent
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)\s#]+)(#[^)\s]*)?\)")
_log = logging.getLogger("mkdocs.plugins.links")


def on_files(files: Files, *, config: Any) -> Files:
  """Adds the example scripts, as files that a browser shows or saves."""
  for path in sorted((_ROOT / "examples").glob("*.py")):
    name = f"examples/{path.name}"
    files.append(File.generated(config, name, abs_src_path=str(path)))
  return files


def _breakable(text: str) -> str:
  """A name in backticks as code that a narrow table breaks at underscores."""
  if re.fullmatch(r"`\w+`", text):
    return f"<code>{text.strip('`').replace('_', '_<wbr>')}</code>"
  return text


def on_page_markdown(
  markdown: str, *, page: Any, files: Files, **_: Any
) -> str:
  """Turns links that leave docs/ to links to scripts, or to plain text."""
  folder = posixpath.dirname(page.file.src_uri)

  def replaced(match: re.Match[str]) -> str:
    text, link, _ = match.groups()
    target = posixpath.normpath(posixpath.join("docs", folder, link))
    if target.startswith("docs/"):
      return match.group()
    if not (_ROOT / target).exists():
      _log.warning(
        "%s links to %s, which is not there", page.file.src_uri, target
      )
    if files.get_file_from_path(target):
      return f"[{text}]({posixpath.relpath(target, folder or '.')})"
    return _breakable(text)

  return _LINK.sub(replaced, markdown)
