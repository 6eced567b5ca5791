"""Runs in a folder, finished or not, as their files have them."""

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from metaaux import config as config_lib
from metaaux import data_record, rundir
from metaaux.config_rules import METHODS, WEIGHTINGS
from metaaux.errors import UserError

Result = dict[str, Any]

# Folders of a run that hold no runs.
_INSIDE = (
  rundir.CHECKPOINTS,
  rundir.CORRECT,
  rundir.CACHE,
  rundir.REPORTS,
  rundir.TENSORBOARD,
)


def load(folder: str) -> list[Result]:
  """Results of all finished runs in a folder, at any depth.

  Each is what its result.json holds, and `workdir`, `name` (the path below the
  folder), `config` (dotted key -> value) and `data` (an identity of its files,
  or None). Baselines and controls come before what is compared with them.

  Raises:
    UserError: the folder is missing or holds no finished run, or a file of a
      run cannot be read.
  """
  if not os.path.isdir(folder):
    raise UserError(
      f"no folder {folder!r}; give one that holds run directories"
    )
  found = [
    _read(path, os.path.relpath(path, folder))
    for path in _folders_with(rundir.RESULT, folder)
  ]
  if not found:
    raise UserError(f"{folder!r} holds no finished run (no */{rundir.RESULT})")
  return in_order(found)


def unfinished(folder: str) -> list[Result]:
  """Runs of a folder that have begun and have no result yet.

  Each has `method`, `seeds`, `workdir`, `name` and `config` as in `load`, and
  nothing that was measured.

  Raises:
    UserError: the config of a run cannot be read.
  """
  found = []
  for path in _folders_with(rundir.CONFIG, folder):
    if os.path.exists(os.path.join(path, rundir.RESULT)):
      continue
    stored = _read_object(os.path.join(path, rundir.CONFIG)).get("config")
    # A file of this name can be of something else.
    if not isinstance(stored, dict) or "method" not in stored:
      continue
    config = config_lib.flatten(stored)
    first = config.get("seed", 0)
    found.append(
      {
        "method": config_lib.label(
          {"weighting": {"name": ""}, "primary_weight": 1.0, **stored}
        ),
        "seeds": list(range(first, first + config.get("num_seeds", 1))),
        "workdir": path,
        "name": os.path.relpath(path, folder),
        "config": config,
      }
    )
  return in_order(found)


def in_order(found: Iterable[Result]) -> list[Result]:
  """Baselines and controls first, then by method, rule and name."""
  return sorted(
    found,
    key=lambda run: (
      _position(METHODS, run["config"].get("method", run["method"])),
      run["config"].get("primary_weight", 1.0),
      _position(WEIGHTINGS, run["config"].get("weighting.name")),
      natural(run["name"]),
    ),
  )


def _position(names: Sequence[str], name: str | None) -> int:
  """Place of a name; of one that is not among them, the last."""
  return names.index(name) if name in names else len(names)


def _folders_with(file: str, folder: str) -> Iterable[str]:
  """Folders at any depth that hold a file of this name."""
  seen = set()
  for path, folders, files in os.walk(folder, followlinks=True):
    real = os.path.realpath(path)
    if real in seen:  # a link that leads back
      folders.clear()
      continue
    seen.add(real)
    if file in files:
      folders[:] = [name for name in folders if name not in _INSIDE]
      yield path


def _read(path: str, name: str) -> Result:
  result = _read_object(os.path.join(path, rundir.RESULT))
  if not {"method", "mean", "per_seed", "seeds"} <= result.keys():
    raise UserError(f"{path}/{rundir.RESULT} is not the result of a run")
  file = os.path.join(path, rundir.CONFIG)
  stored = _read_object(file).get("config", {}) if os.path.exists(file) else {}
  config = config_lib.flatten(stored)
  if not config and "dataset" in result:
    config = {"dataset": result["dataset"]}
  sources = (data_record.read(path) or {}).get("sources", {})
  known = sources.get(config.get("dataset"), {})
  return {
    **result,
    "workdir": path,
    "name": name,
    "config": config,
    "data": known.get("content"),
  }


def _read_object(path: str) -> dict[str, Any]:
  return rundir.read_object(path, "remove it")


def natural(text: str) -> list[tuple[int, float, str]]:
  """A key that sorts T=4 before T=10."""
  parts = re.split(r"(\d+(?:\.\d+)?)", text)
  return [
    (0, float(part), "") if i % 2 else (1, 0.0, part)
    for i, part in enumerate(parts)
  ]
