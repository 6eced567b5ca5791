"""Finds the user's own code, which a config names by `MODULE:FUNCTION`.

The import path is part of config.json, so that everybody who can import the
module can resume and evaluate the run.
"""

import importlib
import os
import pathlib
import sysconfig
import traceback
from collections.abc import Callable
from typing import Any

import ml_collections

from metaaux.config import keys
from metaaux.errors import HostError, NonFiniteError, Stopped, UserError

# Keys of a config that may be import paths; of the dataset it is a part.
KEYS = tuple(name for name, key in keys.KEYS.items() if key.own_code)
# Of a message that was written for a whole screen.
_LONGEST = 300
# Folders of what is installed, wherever that is.
_LIBRARIES = {"site-packages", "dist-packages"}
_PACKAGE = str(pathlib.Path(__file__).resolve().parents[1])


def is_path(name: str) -> bool:
  """Whether a name is an import path, and not a word of the package."""
  return ":" in name


def used(config: Any) -> list[str]:
  """`key='MODULE:FUNCTION'` for every import path in a config.

  Args:
    config: validated.
  """
  found = [f"{key}={config[key]!r}" for key in KEYS if is_path(config[key])]
  dataset = config.dataset
  return found + [f"dataset={dataset!r}"] * dataset.startswith("python:")


def find(key: str, path: str) -> Callable[..., Any]:
  """The function at an import path.

  Args:
    key: key of the config, for messages.
    path: `MODULE:FUNCTION`; the module is found as by `import`, which for
      `python -m metaaux.main` includes the folder that it is started in.

  Raises:
    UserError: the module does not exist, fails, or has no such function.
  """
  module_name, _, name = path.partition(":")
  try:
    module = importlib.import_module(module_name)
  except ModuleNotFoundError as error:
    if error.name != module_name.partition(".")[0]:
      raise _failure(key, path, error) from error
    raise UserError(
      f"{key}={path!r}: there is no module {module_name!r}; run the command in "
      "the folder that holds it, or put that folder on PYTHONPATH"
    ) from error
  except Exception as error:  # A program; anything may fail.
    raise _failure(key, path, error) from error
  found = getattr(module, name, None)
  if not callable(found):
    raise UserError(
      f"{key}={path!r}: {module_name} has no function {name!r}; write "
      "MODULE:FUNCTION"
    )
  return found


def _failure(key: str, path: str, error: Exception) -> UserError:
  return UserError(
    f"{key}={path!r} cannot be imported ({type(error).__name__}: {error}); "
    "try it with python -c 'import "
    f"{path.partition(':')[0]}'"
  )


def call(
  what: str,
  contract: str,
  function: Callable[..., Any],
  *args: Any,
  **kwargs: Any,
) -> Any:
  """Calls a function of the user, and explains where it fails.

  Args:
    what: name of the function in the message.
    contract: the arguments that it takes and the value that it returns.
    function: the function.
    *args: its arguments.
    **kwargs: its arguments.

  Raises:
    UserError: the function fails; the line names the place in the code.
  """
  try:
    return function(*args, **kwargs)
  except (UserError, NonFiniteError, HostError, Stopped):
    raise
  except Exception as error:  # A program; anything may fail.
    text = " ".join(str(error).split())[:_LONGEST]
    place = _place(error)
    asked = f"; the contract is {contract}"
    # What fails inside has been called as it should be.
    if error.__traceback__ is not None and error.__traceback__.tb_next:
      asked = ""
    raise UserError(
      f"{what} failed with {type(error).__name__}: {text}{place}{asked}"
    ) from error


def _place(error: Exception) -> str:
  """` (FILE:LINE)`, the last line of the user's own code in a traceback.

  A syntax error has none; its text says where it is.
  """
  stdlib = sysconfig.get_path("stdlib")
  frames = [
    frame
    for frame in traceback.extract_tb(error.__traceback__)
    if not frame.filename.startswith((_PACKAGE, stdlib, "<"))
    and not _LIBRARIES & set(frame.filename.split(os.sep))
  ]
  return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def watched(config: Any) -> tuple[Any, Callable[[], list[str]]]:
  """A config that notes which of its `own` keys are read.

  Args:
    config: perhaps with a group `own`.

  Returns:
    The config, or a copy of it; and a function () -> keys `own.KEY` that nobody
    has read so far.
  """
  if "own" not in config:
    return config, list
  read: set[str] = set()
  copy = config.copy_and_resolve_references().unlock()
  every: list[str] = []
  with copy.ignore_type():
    copy.own = _recording(config.own, "own.", read, every)
  return copy.lock(), lambda: [key for key in every if key not in read]


def _recording(
  group: Any, prefix: str, read: set[str], every: list[str]
) -> ml_collections.ConfigDict:
  """A copy of a group that notes which keys are read, also in groups inside."""

  class Recording(ml_collections.ConfigDict):
    def __getitem__(self, key: str) -> Any:
      read.add(f"{prefix}{key}")
      return super().__getitem__(key)

  found = Recording()
  for key, value in group.items():
    if isinstance(value, ml_collections.ConfigDict):
      found[key] = _recording(value, f"{prefix}{key}.", read, every)
    else:
      found[key] = value
      every.append(f"{prefix}{key}")
  return found
