"""Commands and what they write, in a notebook; in a plain script, as text."""

import html
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from metaaux.errors import UserError


def run(command: Callable[[Sequence[str]], int], *flags: str) -> None:
  """Calls the `main` of a command; its output is that of the cell.

  Args:
    command: such as `metaaux.main.main` or `experiments.table.main`.
    *flags: as on a command line.

  Raises:
    UserError: the command failed or was stopped, so that the cells below do not
      run.
  """
  status = command(flags)
  if status:
    raise UserError(
      f"the command ended with status {status}; what it printed last says why"
    )


def picture(path: str, width: int | None = None) -> None:
  """Shows a PNG or JPEG file; without a notebook prints where it is.

  Args:
    path: of the file.
    width: on the page, in pixels; None: its own.
  """
  display = _display()
  if display is None:
    print(path)
  else:
    display.display(display.Image(filename=path, width=width))


def markdown(path: str) -> None:
  """Shows a Markdown file, such as a table; without a notebook prints it."""
  with open(path, encoding="utf-8") as file:
    text = file.read()
  display = _display()
  if display is None:
    print(text)
  else:
    display.display(display.Markdown(text))


def page(path: str, height: int = 600) -> None:
  """Shows an HTML file in a frame, which keeps its style to itself.

  Without a notebook prints where it is.

  Args:
    path: of the file.
    height: of the frame, in pixels; it scrolls.
  """
  display = _display()
  if display is None:
    print(path)
    return
  with open(path, encoding="utf-8") as file:
    source = html.escape(file.read())
  # The page itself and not its address, which a notebook of another machine,
  # as on Colab, could not open.
  display.display(
    display.HTML(
      f'<div><iframe title="{html.escape(os.path.basename(path))}" '
      f'width="100%" height="{height}" srcdoc="{source}"></iframe></div>'
    )
  )


def _display() -> Any:
  """IPython's display functions inside a notebook, else None."""
  # A notebook has imported it already; nobody else has to have it.
  ipython = sys.modules.get("IPython")
  shell = ipython.get_ipython() if ipython else None
  if shell is None or not hasattr(shell, "kernel"):
    return None
  import IPython.display

  return IPython.display
