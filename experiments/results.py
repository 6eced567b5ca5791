"""Finished runs in a folder, and how two of them compare."""

import json
import os
from typing import Any

from metaaux import metrics, rundir
from metaaux.config_rules import METHODS
from metaaux.errors import UserError

Result = dict[str, Any]


def load(folder: str) -> list[Result]:
  """Results of all finished runs directly below a folder.

  Each is what its result.json holds, and `workdir`. Baselines and controls come
  before what is compared with them.

  Raises:
    UserError: the folder is missing or holds no finished run.
  """
  if not os.path.isdir(folder):
    raise UserError(
      f"no folder {folder!r}; give one that holds run directories"
    )
  found = []
  for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name, rundir.RESULT)
    if os.path.exists(path):
      with open(path) as file:
        found.append({**json.load(file), "workdir": os.path.dirname(path)})
  if not found:
    raise UserError(f"{folder!r} holds no finished run (no */{rundir.RESULT})")
  return sorted(found, key=lambda run: METHODS.index(run["method"]))


def difference(result: Result, baseline: Result) -> tuple[float, float | None]:
  """Mean difference over the seeds that both runs have, and its interval.

  A seed fixes the labelled subset, the initial weights and the batches of all
  methods alike, so a paired difference is free of what they share.

  Raises:
    UserError: they share no seed.
  """
  ours = dict(zip(result["seeds"], result["per_seed"], strict=True))
  theirs = dict(zip(baseline["seeds"], baseline["per_seed"], strict=True))
  common = sorted(ours.keys() & theirs.keys())
  if not common:
    raise UserError(
      f"{result['workdir']} and {baseline['workdir']} share no seed"
    )
  return metrics.paired([ours[s] for s in common], [theirs[s] for s in common])
