"""A run directory: whose run it holds, and what may be done with it."""

import importlib.metadata
import json
import os
import shutil
import tempfile
from typing import Any

import jax

import metaaux
from metaaux import config as config_lib
from metaaux import metrics
from metaaux.errors import UserError

CONFIG, METRICS, RESULT = "config.json", "metrics.jsonl", "result.json"
CHECKPOINTS = "checkpoints"

_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def prepare(workdir: str, config: Any, *, overwrite: bool = False) -> None:
  """Makes a directory ready for this config's run, new or resumed.

  Args:
    workdir: made if missing.
    config: of the run.
    overwrite: removes what an earlier run left there, and nothing else.

  Raises:
    UserError: it cannot be written, or holds the run of another config.
  """
  try:
    os.makedirs(workdir, exist_ok=True)
    with tempfile.TemporaryFile(dir=workdir):
      pass
  except OSError as error:
    raise UserError(
      f"workdir {workdir!r} cannot be written: {error.strerror}; choose "
      "another with --workdir=DIR"
    ) from None
  path = os.path.join(workdir, CONFIG)
  if overwrite:
    _remove(workdir)
  elif os.path.exists(path):
    changed = config_lib.differences(config, _read(path, workdir)["config"])
    if changed:
      raise UserError(
        f"workdir {workdir!r} holds a run with another config: "
        f"{', '.join(changed)}; use another --workdir, or --overwrite to start "
        "anew"
      )
    return
  versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
  versions["metaaux"] = metaaux.__version__
  devices = [device.device_kind for device in jax.local_devices()]
  metrics.write_json(
    path,
    {
      "config": config_lib.to_json(config),
      "versions": versions,
      "devices": devices,
    },
  )


def _remove(workdir: str) -> None:
  # The config goes last: while it is there, the rest has an owner.
  shutil.rmtree(os.path.join(workdir, CHECKPOINTS), ignore_errors=True)
  for name in (RESULT, METRICS, CONFIG):
    path = os.path.join(workdir, name)
    if os.path.exists(path):
      os.unlink(path)


def _read(path: str, workdir: str) -> dict[str, Any]:
  try:
    with open(path) as file:
      return json.load(file)
  except (OSError, ValueError) as error:
    raise UserError(
      f"{path} cannot be read ({error}); is {workdir!r} a run directory? "
      "--overwrite starts anew"
    ) from None


def load_config(workdir: str) -> Any:
  """The validated config of an existing run.

  Raises:
    UserError: there is no run, or its config has unknown or wrong keys.
  """
  path = os.path.join(workdir, CONFIG)
  if not os.path.exists(path):
    raise UserError(f"{workdir!r} holds no run: {CONFIG} is missing")
  config = config_lib.from_json(_read(path, workdir)["config"])
  config_lib.validate(config)
  return config


def load_result(workdir: str) -> dict[str, Any] | None:
  """result.json of a finished run, None while it is unfinished."""
  path = os.path.join(workdir, RESULT)
  return _read(path, workdir) if os.path.exists(path) else None
