"""A table of finished runs: accuracy and paired differences over seeds.

  python -m experiments.table --workdir=runs/digits --baseline=single

Every sub-folder that holds a result.json is a row. Runs are paired by seed: a
seed fixes the labelled subset, the initial weights and the batches of all
methods alike, so a difference over the same seeds is free of what they share.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

from absl import app, flags

from metaaux import cli, metrics
from metaaux.errors import UserError

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of run directories.")
_BASELINE = flags.DEFINE_string(
  "baseline", "single", "Method that the others are compared with."
)


def load_results(folder: str) -> list[dict[str, Any]]:
  """Results of all finished runs directly below a folder, in order of name.

  Raises:
    UserError: the folder is missing or holds no finished run.
  """
  if not os.path.isdir(folder):
    raise UserError(
      f"no folder {folder!r}; give one that holds run directories"
    )
  results = []
  for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name, "result.json")
    if os.path.exists(path):
      with open(path) as file:
        results.append({**json.load(file), "workdir": os.path.dirname(path)})
  if not results:
    raise UserError(f"{folder!r} holds no finished run (no */result.json)")
  return results


def difference(
  result: dict[str, Any], baseline: dict[str, Any]
) -> tuple[float, float | None]:
  """Mean paired difference over the seeds that both runs have, and its CI.

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


def _mean_of(result: dict[str, Any], key: str) -> str:
  values = result["meta_split"].get(key)
  return "-" if values is None else metrics.format_ci(*metrics.mean_ci(values))


def rows(results: Sequence[dict[str, Any]], baseline: str) -> list[list[str]]:
  """Header and cells of the table.

  Args:
    results: of `load_results`.
    baseline: method of the run that the others are compared with; it comes
      first, the others follow by their name.

  Raises:
    UserError: no run, or more than one, is of that method.
  """
  base = [r for r in results if r["method"] == baseline]
  if len(base) != 1:
    methods = ", ".join(sorted({r["method"] for r in results}))
    raise UserError(
      f"{len(base)} runs are of method {baseline!r}, expected one; the folder "
      f"has {methods}"
    )
  table = [
    [
      "method",
      "accuracy (%)",
      f"minus {baseline}",
      "label usage (%)",
      "label information (%)",
      "seeds",
    ]
  ]
  for result in base + [r for r in results if r is not base[0]]:
    same = result is base[0]
    gap = "-" if same else metrics.format_ci(*difference(result, base[0]))
    table.append(
      [
        result["method"],
        metrics.format_ci(result["mean"], result["ci95"]),
        gap if same or gap.startswith("-") else f"+{gap}",
        _mean_of(result, "label_usage"),
        _mean_of(result, "information_fraction"),
        str(len(result["seeds"])),
      ]
    )
  return table


def markdown(table: Sequence[Sequence[str]]) -> str:
  """A table whose columns line up, also as plain text."""
  widths = [max(map(len, column)) for column in zip(*table, strict=True)]
  lines = [
    "| "
    + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True))
    + " |"
    for row in table
  ]
  lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
  return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
  """Prints the table and where its runs are."""
  del argv
  try:
    if not _WORKDIR.value:
      raise UserError("no --workdir; give a folder of run directories")
    results = load_results(_WORKDIR.value)
    print(markdown(rows(results, _BASELINE.value)))
  except UserError as error:
    return cli.fail(error)
  print(
    "± is half a 95% t-interval over seeds; differences are paired by seed."
  )
  for result in results:
    print(f"{result['method']}: {result['workdir']}")
  return 0


if __name__ == "__main__":
  app.run(main)
