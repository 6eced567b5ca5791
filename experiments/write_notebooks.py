"""Makes the notebooks of experiments/notebooks/ from the scripts beside them.

  python -m experiments.write_notebooks
  python -m experiments.write_notebooks compare_methods

Each script is run cell by cell in a folder of its own, so that nothing is
resumed, and NAME.ipynb is written with what the cells printed and drew. Needs
`pip install 'metaaux[notebooks]'`.
"""

import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from metaaux.errors import UserError
from metaaux.run import cli

from . import output

FOLDER = pathlib.Path(__file__).parent / "notebooks"
# Of a cell whose output is a whole page: too large for the file.
PAGE = "page"
# A larger file is slow to open in a browser, and a burden for the repository.
MAX_BYTES = 300_000
_TIMEOUT_SECS = 3600


def scripts() -> dict[str, pathlib.Path]:
  """Name -> script of every notebook."""
  return {path.stem: path for path in sorted(FOLDER.glob("*.py"))}


def executed(path: pathlib.Path) -> Any:
  """The notebook of a script, run from its first cell to its last.

  Args:
    path: of a script in the percent format: cells begin with `# %%`.

  Returns:
    A notebook of nbformat, without what depends on the time or the machine.

  Raises:
    UserError: a library is missing, or a cell fails.
  """
  try:
    import jupytext
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
  except ImportError as error:
    raise UserError(
      f"{error.name} is missing; pip install 'metaaux[notebooks]'"
    ) from None
  found = jupytext.read(path)
  with tempfile.TemporaryDirectory() as folder:
    client = NotebookClient(
      found,
      timeout=_TIMEOUT_SECS,
      kernel_name="python3",
      # A progress bar leaves its last line alone.
      coalesce_streams=True,
      resources={"metadata": {"path": folder}},
    )
    try:
      client.execute()
    except CellExecutionError as error:
      raise UserError(f"{path.name}: {error.ename}: {error.evalue}") from error
    _tidy(found, {folder: ".", **_places()})
  return found


def _places() -> dict[str, str]:
  """Folders of this machine and what they are called on any."""
  data = os.environ.get("TFDS_DATA_DIR")
  return {
    **({data: "$TFDS_DATA_DIR"} if data else {}),
    str(FOLDER.parents[1]): "metaaux",
    os.path.expanduser("~"): "~",
  }


def _tidy(found: Any, places: Mapping[str, str]) -> None:
  """Makes two executions as alike as they can be, in place."""
  found.metadata = {
    "kernelspec": {
      "display_name": "Python 3",
      "language": "python",
      "name": "python3",
    },
    "language_info": {"name": "python"},
  }
  for number, cell in enumerate(found.cells):
    cell.id = f"cell-{number}"
    tags = cell.metadata.get("tags", [])
    cell.metadata = {"tags": tags} if tags else {}
    for each in cell.get("outputs", []):
      _name_places(each, places)
      page = each.get("data", {}).pop("text/html", None)
      if page is not None and PAGE in tags:
        each["data"]["text/plain"] = (
          f"The page, {len(page) // 1000} kB of HTML, is shown here when the "
          "cell runs; it is left out of the stored notebook."
        )


def _name_places(output: Any, places: Mapping[str, str]) -> None:
  pattern = "|".join(map(re.escape, sorted(places, key=len, reverse=True)))

  def named(text: str) -> str:
    return re.sub(pattern, lambda match: places[match.group()], text)

  if "text" in output:
    output["text"] = named(output["text"])
  for kind, content in output.get("data", {}).items():
    if kind.startswith("text/"):
      output["data"][kind] = named(content)


def write(path: pathlib.Path) -> pathlib.Path:
  """Writes the notebook of a script beside it; returns where it is.

  Raises:
    UserError: see `executed`; or the notebook is larger than `MAX_BYTES`.
  """
  found = executed(path)
  import nbformat

  text = nbformat.writes(found).rstrip("\n") + "\n"
  size = len(text.encode())
  if size > MAX_BYTES:
    raise UserError(
      f"{path.stem}.ipynb would have {size} bytes, more than {MAX_BYTES}; "
      "draw smaller pictures"
    )
  target = path.with_suffix(".ipynb")
  output.text(str(target), text)
  return target


def _run(argv: Sequence[str]) -> None:
  parser = cli.parser("python -m experiments.write_notebooks", __doc__)
  parser.add_argument(
    "names",
    nargs="*",
    metavar="NAME",
    help="of notebooks, without .ipynb (all of them)",
  )
  flags = parser.parse_args(argv)
  known = scripts()
  for name in flags.names:
    if name not in known:
      raise UserError(f"no notebook {name!r}; there are {', '.join(known)}")
  for name in flags.names or known:
    print(write(known[name]))


def main(argv: Sequence[str]) -> int:
  """Writes the notebooks; returns the exit status."""
  return cli.status_of(lambda: _run(argv), {})


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
