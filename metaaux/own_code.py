"""Code of one's own, named in a config by its import path `MODULE:FUNCTION`.

The path is part of config.json, so that a run can be resumed and evaluated by
whoever can import the module.
"""

import importlib
from collections.abc import Callable
from typing import Any

from metaaux.errors import UserError


def is_path(name: str) -> bool:
  """Whether a name is an import path, and not a word of ours."""
  return ":" in name


def find(key: str, path: str) -> Callable[..., Any]:
  """The function at an import path.

  Args:
    key: of the config, for the messages.
    path: `MODULE:FUNCTION`; the module is found as by `import`, which for
      `python -m metaaux.main` includes the folder that it is started in.

  Raises:
    UserError: there is no such module, it fails, or has no such function.
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
