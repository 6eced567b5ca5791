"""A table of finished runs: accuracy and paired differences over seeds.

  python -m experiments.table --workdir=runs/digits --baseline=single

Every sub-folder that holds a result.json is a row.
"""

import sys
from collections.abc import Sequence

from experiments import results as results_lib
from experiments.results import Result, difference
from metaaux import cli, metrics
from metaaux.errors import UserError


def _mean_of(result: Result, key: str) -> str:
  values = result["meta_split"].get(key)
  return "-" if values is None else metrics.format_ci(*metrics.mean_ci(values))


def rows(results: Sequence[Result], baseline: str) -> list[list[str]]:
  """Header and cells of the table.

  Args:
    results: of `results.load`.
    baseline: method of the run that the others are compared with; it comes
      first.

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
  others = [r for r in results if r is not base[0]]
  for result in base + others:
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


def _run(argv: Sequence[str]) -> None:
  parser = cli.parser("experiments.table", __doc__)
  parser.add_argument(
    "--workdir", required=True, metavar="DIR", help="folder of run directories"
  )
  parser.add_argument(
    "--baseline",
    default="single",
    metavar="METHOD",
    help="method that the others are compared with (%(default)s)",
  )
  flags = parser.parse_args(argv)
  found = results_lib.load(flags.workdir)
  print(markdown(rows(found, flags.baseline)))
  print(
    "± is half a 95% t-interval over seeds; differences are paired by seed."
  )
  for result in found:
    print(f"{result['method']}: {result['workdir']}")


def main(argv: Sequence[str]) -> int:
  """Prints the table and where its runs are; returns the exit status."""
  return cli.status_of(lambda: _run(argv), {})


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
