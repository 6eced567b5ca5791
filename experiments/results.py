"""Finished runs in a folder: what they found, and what tells them apart."""

import json
import os
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from metaaux import config as config_lib
from metaaux import metrics, rundir
from metaaux.config_rules import METHODS, WEIGHTINGS, did_you_mean
from metaaux.errors import UserError

Result = dict[str, Any]

# Folders of a run that hold no runs.
_INSIDE = (rundir.CHECKPOINTS, "cache", "reports")
# Keys whose values do not change what is measured.
NOT_MEASURED = (
  "method",
  "seed",
  "num_seeds",
  "log_every",
  "eval_every",
  "eval_examples",
  "checkpoint_every",
  "keep_checkpoints",
  "parallel",
  "seeds",
  "extra_test",
  "cache",
  "model.lowering",
  "weighting.name",  # the method's name has it
)
# The data of a run: differences between runs mean nothing across these.
_DATA = (
  "dataset",
  "hierarchy",
  "select",
  "primary",
  "target_domain",
  "task_classes",
  "attributes",
  "label_fraction",
  "train_split",
  "test_split",
  "labels_per_class",
)
# What single-task training does not read.
_AUXILIARY = re.compile(
  r"(aux|psi|auxiliary_weight)$|(generator|inner|embedding|partition|pseudo_labels)\.|"
  r"(weighting|semi_supervised|consistency)\.|setting$|primary_weight$|"
  rf"({'|'.join(METHODS)})\."
)


def load(folder: str) -> list[Result]:
  """Results of all finished runs in a folder, at any depth.

  Each is what its result.json holds, and `workdir`, `name` (the path below the
  folder) and `config` (dotted key -> value). Baselines and controls come before
  what is compared with them.

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
    stored = _read_json(os.path.join(path, rundir.CONFIG)).get("config")
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
  result = _read_json(os.path.join(path, rundir.RESULT))
  if not {"method", "mean", "per_seed", "seeds"} <= result.keys():
    raise UserError(f"{path}/{rundir.RESULT} is not the result of a run")
  file = os.path.join(path, rundir.CONFIG)
  stored = _read_json(file).get("config", {}) if os.path.exists(file) else {}
  config = config_lib.flatten(stored)
  if not config and "dataset" in result:
    config = {"dataset": result["dataset"]}
  return {**result, "workdir": path, "name": name, "config": config}


def _read_json(path: str) -> dict[str, Any]:
  try:
    with open(path, encoding="utf-8") as file:
      content = json.load(file)
  except (OSError, ValueError) as error:
    raise UserError(f"{path} cannot be read ({error}); remove it") from None
  if not isinstance(content, dict):
    raise UserError(f"{path} is not of a run; remove it")
  return content


def natural(text: str) -> list[tuple[int, float, str]]:
  """A key that sorts T=4 before T=10."""
  parts = re.split(r"(\d+(?:\.\d+)?)", text)
  return [
    (0, float(part), "") if i % 2 else (1, 0.0, part)
    for i, part in enumerate(parts)
  ]


def shown(value: Any) -> str:
  """A value of a config as a label has it."""
  if isinstance(value, (list, tuple)):
    return "+".join(map(shown, value)) or "()"
  return str(value) if value != "" else "''"


def _values(results: Sequence[Result], key: str) -> set[str]:
  return {shown(r["config"][key]) for r in results if key in r["config"]}


def setting_keys(
  results: Sequence[Result], chosen: Sequence[str] = ()
) -> tuple[str, ...]:
  """Keys whose values make the columns of a table.

  Args:
    results: of `load`.
    chosen: by the user; keys of the data that differ between runs join them.

  Raises:
    UserError: no run has such a key.
  """
  known = {key for result in results for key in result["config"]}
  for key in chosen:
    if key not in known:
      raise UserError(
        f"no run has the key {key!r}{did_you_mean(key, known)}; use keys of "
        f"{rundir.CONFIG}, dotted"
      )
  differ = [key for key in _DATA if len(_values(results, key)) > 1]
  return tuple(dict.fromkeys((*chosen, *differ)))


def setting(result: Result, keys: Sequence[str]) -> str:
  """`key=value key=value` of one run; "" without keys."""
  config = result["config"]
  return " ".join(
    f"{key}={shown(config[key]) if key in config else '-'}" for key in keys
  )


def labels(results: Sequence[Result], keys: Sequence[str] = ()) -> list[str]:
  """What to call each run: its method, and what sets it apart.

  Named are the keys that differ between the runs of its method, and those that
  differ between any runs where this one leaves the default; of these none that
  is empty. Runs that still have one name in one setting get that of their
  folder, too.

  Args:
    results: of `load`.
    keys: of the setting, which labels leave out.
  """
  defaults = config_lib.flatten(config_lib.base())
  every = dict.fromkeys(key for result in results for key in result["config"])
  differ = [
    key
    for key in every
    if key not in NOT_MEASURED
    and key not in keys
    and len(_values(results, key)) > 1
  ]
  names = []
  for result in results:
    alike = [r for r in results if r["method"] == result["method"]]
    own, told = result["method"] + ".", []
    for key in sorted(differ, key=lambda k: (not k.startswith(own), k)):
      value = result["config"].get(key, "")
      if value != "" and (
        len(_values(alike, key)) > 1 or _is_unusual(result, key, defaults)
      ):
        told.append(f"{key.removeprefix(own)}={shown(value)}")
    names.append(" ".join([result["method"], *told]))
  cells = [
    (name, setting(r, keys)) for name, r in zip(names, results, strict=True)
  ]
  return [
    f"{cell[0]} ({result['name']})" if cells.count(cell) > 1 else cell[0]
    for cell, result in zip(cells, results, strict=True)
  ]


def _is_unusual(result: Result, key: str, defaults: dict[str, Any]) -> bool:
  if result["method"] == "single" and _AUXILIARY.match(key):
    return False
  default = shown(defaults[key]) if key in defaults else None
  return shown(result["config"][key]) != default


def difference(
  result: Result, baseline: Result
) -> tuple[float, float | None, int]:
  """Mean difference over the seeds that both runs have, and its interval.

  A seed fixes the labelled subset, the initial weights and the batches of all
  methods alike, so a paired difference is free of what they share.

  Returns:
    Mean, half-width of its 95% interval (None for one seed), number of seeds.

  Raises:
    UserError: they share no seed.
  """
  ours = dict(zip(result["seeds"], result["per_seed"], strict=True))
  theirs = dict(zip(baseline["seeds"], baseline["per_seed"], strict=True))
  common: Collection[int] = sorted(ours.keys() & theirs.keys())
  if not common:
    raise UserError(
      f"{result['workdir']} and {baseline['workdir']} share no seed"
    )
  pair = metrics.paired([ours[s] for s in common], [theirs[s] for s in common])
  return (*pair, len(common))
