"""Files that are either absent or complete, also after a crash."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any, BinaryIO

from metaaux import files
from metaaux.errors import UserError


def write(path: str, save: Callable[[BinaryIO], None]) -> None:
  """Replaces a file by what `save` writes to the file that it is given.

  Raises:
    UserError: it cannot be written.
  """
  try:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with files.replacing(path) as file:
      save(file)
  except OSError as error:
    raise UserError(
      f"{path} cannot be written ({error.strerror}); choose another --output"
    ) from None


def text(path: str, content: str) -> None:
  """Writes a text file in UTF-8.

  Raises:
    UserError: it cannot be written.
  """
  write(path, lambda file: file.write(content.encode()))


def figure(drawn: Any, path: str) -> None:
  """Writes a matplotlib figure in the format that the name ends in, or PNG.

  Raises:
    UserError: it cannot be written, or the format is unknown.
  """
  kind = os.path.splitext(path)[1].lstrip(".").lower() or "png"
  known = drawn.canvas.get_supported_filetypes()
  if kind not in known:
    raise UserError(
      f"pictures of type {kind!r} are unknown; end --output in "
      f"{', '.join('.' + name for name in sorted(known))}"
    )
  write(path, lambda file: drawn.savefig(file, dpi=150, format=kind))


def check_matplotlib() -> None:
  """Before much is read for a picture; UserError if it could not be drawn."""
  if importlib.util.find_spec("matplotlib") is None:
    raise UserError("matplotlib is missing; pip install 'metaaux[report]'")


def new_figure(width: float, height: float) -> Any:
  """An empty matplotlib figure, in inches; only here is matplotlib needed.

  Raises:
    UserError: matplotlib is missing.
  """
  check_matplotlib()
  from matplotlib.figure import Figure

  # A figure without pyplot draws with Agg, whatever the screen.
  return Figure(figsize=(width, height), layout="constrained")
