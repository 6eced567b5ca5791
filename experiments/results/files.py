"""Runs in a folder, finished or not, as their files have them."""

import os
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metaaux import config as config_lib
from metaaux.config import earlier
from metaaux.config.keys import METHODS, WEIGHTINGS
from metaaux.data import levels as levels_lib
from metaaux.data.sources import digits
from metaaux.errors import UserError
from metaaux.run import data_record
from metaaux.run import directory as run_directory

Result = dict[str, Any]

# Folders of a run that hold no runs.
_INSIDE = (
  run_directory.CHECKPOINTS,
  run_directory.CORRECT,
  run_directory.CACHE,
  run_directory.REPORTS,
  run_directory.TENSORBOARD,
)


def load(folder: str) -> list[Result]:
  """Results of all finished runs in a folder, at any depth.

  Each is what its result.json holds, and `workdir`, `name` (the path below the
  folder), `config` (dotted key -> value; keys that are younger than the run
  have their defaults, and an empty `primary` or `aux` the level that was
  trained) and `data` (an identity of its files, or None). Baselines and
  controls come before what is compared with them.

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
    for path in _folders_with(run_directory.RESULT, folder)
  ]
  if not found:
    raise UserError(
      f"{folder!r} holds no finished run (no */{run_directory.RESULT})"
    )
  return in_order(found)


def unfinished(folder: str) -> list[Result]:
  """Runs of a folder that have begun and have no result yet.

  Each has `method`, `seeds`, `workdir`, `name` and `config` as in `load`, and
  nothing that was measured.

  Raises:
    UserError: the config of a run cannot be read.
  """
  found = []
  for path in _folders_with(run_directory.CONFIG, folder):
    if os.path.exists(os.path.join(path, run_directory.RESULT)):
      continue
    stored = _read_object(os.path.join(path, run_directory.CONFIG)).get(
      "config"
    )
    # A file of this name can be of something else.
    if not isinstance(stored, dict) or "method" not in stored:
      continue
    config = config_lib.flatten(earlier.with_pixels(stored))
    first = config.get("seed", 0)
    found.append(
      {
        "method": config_lib.label(
          {"weighting": {"name": ""}, "primary_weight": 1.0, **stored}
        ),
        "seeds": list(range(first, first + config.get("num_seeds", 1))),
        "workdir": path,
        "name": os.path.relpath(path, folder),
        "config": _resolved(config, ()),
        "given": _given(config),
      }
    )
  return in_order(found)


def in_order(found: Iterable[Result]) -> list[Result]:
  """Baselines and controls first, then by method, rule and name."""
  return sorted(
    _with_levels(list(found)),
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
  result = _read_object(os.path.join(path, run_directory.RESULT))
  if not {"method", "mean", "per_seed", "seeds"} <= result.keys():
    raise UserError(f"{path}/{run_directory.RESULT} is not the result of a run")
  file = os.path.join(path, run_directory.CONFIG)
  stored = _read_object(file).get("config", {}) if os.path.exists(file) else {}
  config = config_lib.flatten(earlier.with_pixels(stored))
  if not config and "dataset" in result:
    config = {"dataset": result["dataset"]}
  sources = (data_record.read(path) or {}).get("sources", {})
  known = sources.get(config.get("dataset"), {})
  return {
    **result,
    "workdir": path,
    "name": name,
    "config": _resolved(config, result.get("levels", ())),
    "given": _given(config),
    "data": known.get("content"),
  }


# What the levels of a run depend on.
_LEVELS = ("primary", "aux")
_LEVELS_BY = ("dataset", "hierarchy", "select", *_LEVELS, "psi", "attributes")


def _given(config: Mapping[str, Any]) -> list[Any]:
  """What of a stored config says which levels are trained."""
  return [config.get(key) for key in _LEVELS_BY]


def _with_levels(found: Sequence[Result]) -> list[Result]:
  """Runs that have no result yet are of the levels of their like."""
  known = [run for run in found if run.get("levels")]
  filled = []
  for run in found:
    given = run.get("given")
    like = [other for other in known if given and other["given"] == given]
    if like and not run.get("levels"):
      levels = {key: like[0]["config"][key] for key in _LEVELS}
      run = {**run, "config": run["config"] | levels}
    filled.append(run)
  return filled


def _resolved(
  config: Mapping[str, Any], levels: Sequence[str]
) -> dict[str, Any]:
  """A flat config as it was understood.

  Args:
    config: as stored; of a run of long ago, or of somebody else, perhaps with
      few keys.
    levels: primary and auxiliary one, of result.json; () where that is older.
      Those of the embedded data are known all the same.
  """
  if "method" not in config:
    return dict(config)
  defaults = config_lib.flatten(config_lib.to_json(config_lib.base()))
  found = {**defaults, **config}
  if not levels and found["dataset"] == "digits" and not found["task_classes"]:
    try:
      levels = levels_lib.choose(types.SimpleNamespace(**found), digits.NAMES)
    except UserError:
      levels = ()
  return found | dict(zip(_LEVELS, levels, strict=False))


def _read_object(path: str) -> dict[str, Any]:
  return run_directory.read_object(path, "remove it")


def natural(text: str) -> list[tuple[int, float, str]]:
  """A key that sorts T=4 before T=10."""
  parts = re.split(r"(\d+(?:\.\d+)?)", text)
  return [
    (0, float(part), "") if i % 2 else (1, 0.0, part)
    for i, part in enumerate(parts)
  ]
