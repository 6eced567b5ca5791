"""The run directory: which run it holds, and whether a run may write to it."""

import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Mapping
from typing import Any

import metaaux
from metaaux import config as config_lib
from metaaux import files
from metaaux.config import earlier
from metaaux.errors import UserError

CONFIG, METRICS, RESULT = "config.json", "metrics.jsonl", "result.json"
CHECKPOINTS = "checkpoints"
DATA, CORRECT = "data.json", "correct"
CACHE, REPORTS, TENSORBOARD = "cache", "reports", "tensorboard"

_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
# What to do with a directory that cannot be gone on with.
ANEW = "use another --workdir, or --overwrite to start anew"
# Where the run itself may be whole.
_AGAIN = "remove the file, and the same command makes it again"
_RESTORE = "restore the file, or use another --workdir"


def finished(workdir: str, config: Any) -> dict[str, Any] | None:
  """The content of result.json, if this config's run is finished; else None.

  It writes nothing and imports no JAX.

  Args:
    workdir: may be missing.
    config: of the run.

  Raises:
    UserError: the directory holds the run of another config, or something
      that is not a run; or work is left and the directory cannot be written.
  """
  _check_owner(workdir, config)
  path = os.path.join(workdir, RESULT)
  if os.path.exists(path):
    result = read_object(path, _AGAIN)
    if "mean" not in result:
      raise UserError(f"{path} is not the result of a run; {_AGAIN}")
    return result
  parent = os.path.abspath(workdir)
  while not os.path.lexists(parent):
    parent = os.path.dirname(parent)
  if not (os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK)):
    raise UserError(
      f"workdir {workdir!r} cannot be written ({parent} is no directory that "
      "we may write); choose another with --workdir=DIR"
    )
  return None


def _check_owner(workdir: str, config: Any) -> None:
  path = os.path.join(workdir, CONFIG)
  if os.path.exists(path):
    changed = config_lib.differences(config, _stored_config(path))
    if changed:
      raise UserError(
        f"workdir {workdir!r} holds a run with another config: "
        f"{', '.join(changed)}; {ANEW}"
      )
    return
  for name in (RESULT, METRICS, CHECKPOINTS):
    if os.path.lexists(os.path.join(workdir, name)):
      raise UserError(
        f"workdir {workdir!r} has {name} but no {CONFIG}, so it is not known "
        f"whose it is; {ANEW}"
      )


def prepare(
  workdir: str,
  config: Any,
  *,
  overwrite: bool = False,
  data: Mapping[str, Any] | None = None,
) -> None:
  """Makes a directory ready for this config's run, new or resumed.

  Args:
    workdir: made if missing.
    config: of the run.
    overwrite: whether to remove the files of an earlier run, and nothing else.
    data: content of data.json for a run that begins now; None: no such file.

  Raises:
    UserError: the directory cannot be written, or holds the run of another
      config.
  """
  if not overwrite:
    _check_owner(workdir, config)
  try:
    os.makedirs(workdir, exist_ok=True)
    with tempfile.TemporaryFile(dir=workdir):
      pass
    if overwrite:
      _remove(workdir)
  except OSError as error:
    raise UserError(
      f"workdir {workdir!r} cannot be written: {error.strerror} "
      f"({error.filename}); choose another with --workdir=DIR"
    ) from None
  path = os.path.join(workdir, CONFIG)
  if not os.path.exists(path):
    # Before the config, which says that all is there.
    if data is not None:
      files.write_json(os.path.join(workdir, DATA), data)
    files.write_json(path, contents(config))


def contents(config: Any) -> dict[str, Any]:
  """Content of config.json for a run that begins now."""
  import jax  # takes a second; only a run that begins needs it

  versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
  versions["metaaux"] = metaaux.__version__
  return {
    "config": config_lib.to_json(config),
    "versions": versions,
    "devices": [device.device_kind for device in jax.devices()],
  }


def _remove(workdir: str) -> None:
  # The config goes last: while it is there, the rest has an owner.
  folders = (TENSORBOARD, REPORTS, CACHE, CORRECT, CHECKPOINTS)
  for name in (RESULT, *folders, METRICS, DATA, CONFIG):
    path = os.path.join(workdir, name)
    for left in (path, path + files.PARTIAL):
      try:
        if os.path.isdir(left) and not os.path.islink(left):
          shutil.rmtree(left)
        elif os.path.lexists(left):
          os.unlink(left)
      except OSError as error:
        raise UserError(
          f"{left} cannot be removed ({error.filename}: {error.strerror}); "
          "remove it yourself, or choose another --workdir=DIR"
        ) from None


def read_object(path: str, advice: str = ANEW) -> dict[str, Any]:
  """The object in a JSON file of a run.

  Args:
    path: of the file.
    advice: end of the message where the file is not as it should be.

  Raises:
    UserError: the file cannot be read, or holds no object.
  """
  try:
    content = files.read_json(path)
  except (OSError, ValueError) as error:
    raise UserError(f"{path} cannot be read ({error}); {advice}") from None
  if not isinstance(content, dict):
    raise UserError(f"{path} is not of a run; {advice}")
  return content


def _stored_config(path: str) -> dict[str, Any]:
  stored = read_object(path, _RESTORE).get("config")
  if not isinstance(stored, dict):
    raise UserError(f"{path} is not the config of a run; {_RESTORE}")
  return earlier.completed(stored)


def load_config(workdir: str) -> Any:
  """The validated config of an existing run.

  A key that is younger than the run has the value of `config.earlier`.

  Raises:
    UserError: there is no run, or its config has unknown or wrong keys.
  """
  path = os.path.join(workdir, CONFIG)
  if not os.path.exists(path):
    raise UserError(
      f"{workdir!r} holds no run ({CONFIG} is missing); give the directory of "
      "one with --workdir=DIR"
    )
  config = config_lib.from_json(_stored_config(path))
  config_lib.validate(config)
  return config
