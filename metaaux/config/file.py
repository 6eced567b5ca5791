"""Configuration files and sweep files: found, read, and what they give."""

import os
import pathlib
import re
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections

from metaaux.config import flags as flags_lib
from metaaux.errors import UserError, did_you_mean

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
# What comes with the package: beside it in a checkout, else within.
_HOME = str(_PACKAGE if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent)
_SHIPPED = {
  "--config": "configs",
  "--sweep": os.path.join("experiments", "sweeps"),
}
# Where the files of a flag are explained.
_EXPLAINED = {
  "--config": "docs/keys.md",
  "--sweep": "docs/sweeps.md",
}


def load(spec: str, overrides: Sequence[str] = ()) -> ml_collections.ConfigDict:
  """The validated, locked config of a file.

  Args:
    spec: FILE, or FILE:ARGUMENT, whose second part `get_config` receives.
    overrides: `--config.KEY=VALUE`, as on a command line.

  Raises:
    UserError: the file is missing or fails, or a key or a value is wrong.
  """
  values, argv = flags_lib.open_values([f"--config={spec}", *overrides], read)
  flags_lib.parse(values, argv)
  return values[flags_lib.CONFIG].value


def read(spec: str) -> ml_collections.ConfigDict:
  """The config that a file gives, not yet validated.

  Args:
    spec: as for `load`.

  Raises:
    UserError: the file is missing or fails, or gives something else.
  """
  path, *argument = split(spec, "--config")
  found = execute(path, "get_config", "--config")
  path = found["__file__"]
  config = call(path, found["get_config"], *argument)
  if not isinstance(config, ml_collections.ConfigDict):
    raise UserError(
      f"{path}: get_config() returned {type(config).__name__}, not a "
      "ConfigDict; start from metaaux.config.base() and return it"
    )
  return config


def split(spec: str, flag: str) -> list[str]:
  """FILE, or FILE and ARGUMENT, of `FILE:ARGUMENT`.

  A path may have colons, too: of the texts that end at one, or where all ends,
  the longest that is a file is FILE.

  Args:
    spec: as given; a `~` at its beginning is the home directory.
    flag: "--config" or "--sweep".
  """
  spec = os.path.expanduser(spec)
  colons = [match.start() for match in re.finditer(":", spec)]
  for end in (len(spec), *reversed(colons)):
    if _file_at(spec[:end], flag):
      break
  else:
    # There is none; the colon after the letter of a drive is of the path.
    drive = re.match(r"[A-Za-z]:[\\/]", spec)
    end = next((at for at in colons if not drive or at > 1), len(spec))
  return [spec[:end], *([spec[end + 1 :]] if end < len(spec) else [])]


def execute(path: str, function: str, flag: str) -> dict[str, Any]:
  """The names that a Python file defines.

  Args:
    path: of the file. `configs/...` and `experiments/sweeps/...` that are not
      in the working directory are those that came with the package; NAME is
      short for `configs/NAME.py` or `experiments/sweeps/NAME.py`.
    function: that it must define.
    flag: "--config" or "--sweep", that gave the path.

  Returns:
    Also `__file__`, the path that was read.

  Raises:
    UserError: the file is missing, fails or does not define the function.
  """
  path = _found(path, flag)
  # Not imported: a module's cached bytecode can be older than the file.
  namespace: dict[str, Any] = {"__name__": "__config__", "__file__": path}

  def read() -> None:
    with open(path, "rb") as file:
      exec(compile(file.read(), path, "exec"), namespace)

  call(path, read)
  if function not in namespace:
    raise UserError(f"{path} defines no {function}(); see {_EXPLAINED[flag]}")
  return namespace


def _found(path: str, flag: str) -> str:
  """The path of a file that exists, here or beside the package."""
  found = _file_at(path, flag)
  if found is None:
    shipped = _SHIPPED[flag]
    folder = os.path.join(_HOME, shipped)
    raise UserError(
      f"{flag.strip('-')} file {path!r} does not exist"
      f"{did_you_mean(path, _names(folder))}; check {flag} "
      f"({shipped}/ of the package is {folder})"
    )
  return found


def _names(folder: str) -> list[str]:
  files = os.listdir(folder) if os.path.isdir(folder) else []
  return [name.removesuffix(".py") for name in files if name.endswith(".py")]


def _file_at(path: str, flag: str) -> str | None:
  """The file that a path means, None if there is none."""
  if os.path.isfile(path):
    return path
  if re.fullmatch(r"\w+", path):
    path = os.path.join(_SHIPPED[flag], f"{path}.py")
    if os.path.isfile(path):
      return path
  beside = os.path.join(_HOME, os.path.normpath(path))
  folder = os.path.join(_HOME, _SHIPPED[flag])
  if os.path.dirname(beside) == folder and os.path.isfile(beside):
    return beside
  return None


def call(path: str, function: Callable[..., Any], *arguments: Any) -> Any:
  """What a function of such a file returns.

  Raises:
    UserError: it fails; the message names the line of the file.
  """
  try:
    return function(*arguments)
  except UserError:
    raise
  except (Exception, SystemExit) as error:  # A program; anything may fail.
    raise UserError(
      f"{path}{_line(error, path)} failed with {type(error).__name__}: {error}"
    ) from error


def _line(error: BaseException, path: str) -> str:
  """`:12`, the last line of the file itself that the error passed."""
  if isinstance(error, SyntaxError):
    return ""  # its text says where
  frames = traceback.extract_tb(error.__traceback__)
  lines = [frame.lineno for frame in frames if frame.filename == path]
  return f":{lines[-1]}" if lines else ""
