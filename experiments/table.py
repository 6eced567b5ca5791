"""A table of finished runs: accuracy and paired differences over seeds.

  metaaux table --workdir=runs/digits --baseline=single
  metaaux table --workdir=runs --by=partition.num_tasks
  metaaux table --workdir=runs --format=csv --output=runs.csv

Every folder with a result.json, at any depth, is a run. A row is a method with
the keys of its config that set it apart; the columns are repeated for every
setting: data set, label level, number of labels and the keys of --by, where
they differ. --mean_over joins runs that differ in one key, such as the alphabet
of Omniglot, to a row. --best_of keeps, of runs that differ in one key such as
weighting.values, the one that did best on images held out of training. "paper"
is what the paper of the method prints for the
same data, labels and method; lines below say where, and what the run does
otherwise. CSV has a line a run, in plain numbers.
"""

import argparse
import csv
import io
import sys
from collections.abc import Callable, Sequence
from typing import Any

from metaaux import messages
from metaaux.run import cli, confidence_intervals

from . import compare, output
from . import results as results_lib
from .compare import Comparison, Interval, Row
from .papers import meta_mtl as paper_tables
from .results import Result, picked, pooled

_NONE = "-"


def _interval(value: Interval | None, half: float | None = None) -> str:
  """`71.30 ± 0.40 (± 1.10)`; the second one covers the test images, too."""
  if value is None:
    return _NONE
  more = "" if half is None else f" (± {100 * half:.2f})"
  return confidence_intervals.format_ci(*value) + more


def _gap(row: Row) -> str:
  text = _interval(row.gap, row.gap_half)
  return text if text.startswith("-") else f"+{text}"


def rows(
  results: Sequence[Result], baseline: str, by: Sequence[str] = ()
) -> list[list[str]]:
  """Header and cells of the table, method x setting.

  Args:
    results: of `results.load`.
    baseline: method or folder of the run that the others are compared with; it
      comes first.
    by: keys of the config that make settings.

  Raises:
    UserError: see `compare.compare`.
  """
  return cells(compare.compare(results, baseline, by), baseline)


def cells(compared: Comparison, baseline: str) -> list[list[str]]:
  """Header and cells; columns that no run fills are left out."""
  metric = compared.rows[0].result.get("metric", "accuracy")
  columns: list[tuple[str, Callable[[Row], str]]] = [
    (f"{metric} (%)", lambda row: _interval(row.accuracy, row.half)),
    (f"minus {baseline}", _gap),
    ("paper (%)", _paper),
    ("label usage (%)", lambda row: _interval(row.usage)),
    ("label information (%)", lambda row: _interval(row.information)),
    ("seeds", lambda row: str(row.seeds)),
  ]
  labels = list(dict.fromkeys(row.label for row in compared.rows))
  table = [["method", *labels]]
  for setting in compared.settings:
    of = {row.label: row for row in compared.rows if row.setting == setting}
    for head, cell in columns:
      column = [cell(of[each]) if each in of else _NONE for each in labels]
      if any(text != _NONE for text in column):
        table.append([f"{setting}: {head}" if setting else head, *column])
  return [list(line) for line in zip(*table, strict=True)]


def _paper(row: Row) -> str:
  return _NONE if row.paper is None else f"{row.paper.value:.2f}"


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


def notes(compared: Comparison, baseline: str) -> list[str]:
  """What a reader of the table has to know, a line each."""
  lines = [
    "± is half a 95% t-interval over seeds; differences are paired by seed."
  ]
  tested = {
    row.result["test_images"]
    for row in compared.rows
    if row.half is not None or row.gap_half is not None
  }
  if tested:
    span = " to ".join(map(str, sorted({min(tested), max(tested)})))
    lines.append(
      f"In brackets it also covers the choice of the {span} test images."
    )
  averaged = {
    row.result.get("averaged_evaluations", 1) for row in compared.rows
  }
  if max(averaged) > 1:
    span = " to ".join(map(str, sorted({min(averaged), max(averaged)})))
    lines.append(f"A seed's figure is the mean of its last {span} evaluations.")
  if compared.unsaid:
    lines.append(
      f"The runs also differ in {compared.unsaid}, which their names leave "
      "out; experiments.report lists all."
    )
  lines += _other_data(compared)
  papers = []
  for row in compared.rows:
    if row.pairs and row.pairs < row.seeds:
      lines.append(
        f"{row.label}: minus {baseline} over the "
        f"{messages.count(row.pairs, 'seed')} of both."
      )
    if row.paper is not None:
      papers.append(
        f"paper {row.paper.value:.2f}: {paper_tables.source(row.paper)}"
      )
  lines += dict.fromkeys(papers)
  for row in compared.rows:
    name = " ".join(filter(None, (row.label, row.setting)))
    unlike = " ".join(row.departures)
    note = f" (unlike the paper: {unlike})" if unlike else ""
    lines.append(f"{name}: {row.result['workdir']}{note}")
    if "picked" in row.result:
      lines.append(f"{name}: {picked.sentence(row.result['picked'])}.")
  if any(_is_unpicked(row) for row in compared.rows):
    lines.append(
      f"{picked.FIXED}: only the best of a grid by held-out images stands "
      "beside a paper's grid search."
    )
  return lines


def _is_unpicked(row: Row) -> bool:
  return row.result["method"] == picked.FIXED and "picked" not in row.result


def _other_data(compared: Comparison) -> list[str]:
  """Lines on runs whose data is called as their baseline's, and is other."""
  lines = []
  for base in compared.rows:
    keys = ("dataset", "train_split", "test_split")
    for row in compared.rows if base.is_baseline else ():
      one, other = base.result, row.result
      if (
        row.setting == base.setting
        and None not in (one.get("data"), other.get("data"))
        and one["data"] != other["data"]
        and all(one["config"].get(k) == other["config"].get(k) for k in keys)
      ):
        lines.append(
          f"{row.label}: {other['config']['dataset']} had other content than "
          f"for {base.label}; train both again."
        )
  return lines


def comma_separated(compared: Comparison) -> str:
  """A line a run with its setting; accuracies and shares in percent."""
  records = [_record(row, compared.keys) for row in compared.rows]
  file = io.StringIO()
  writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
  writer.writeheader()
  writer.writerows(records)
  return file.getvalue()


def _record(row: Row, keys: Sequence[str]) -> dict[str, Any]:
  intervals = {
    row.result.get("metric", "accuracy"): row.accuracy,
    "difference": row.gap,
    "label_usage": row.usage,
    "label_information": row.information,
  }
  record = {
    "label": row.label,
    "method": row.result["method"],
    **dict(zip(keys, map(results_lib.shown, row.values), strict=True)),
    "seeds": row.seeds,
    "pairs": row.pairs,
  }
  for name, value in intervals.items():
    mean, half = value or (None, None)
    record[name] = _percent(mean)
    record[f"{name}_ci95"] = _percent(half)
  return {
    **record,
    "ci95_with_images": _percent(row.half),
    "difference_ci95_with_images": _percent(row.gap_half),
    "test_images": row.result.get("test_images", ""),
    "paper": "" if row.paper is None else f"{row.paper.value:.2f}",
    "paper_source": "" if row.paper is None else paper_tables.source(row.paper),
    "unlike_paper": " ".join(row.departures),
    "workdir": row.result["workdir"],
  }


def _percent(value: float | None) -> str:
  return "" if value is None else f"{100 * value:.4f}"


def _left_out(folder: str) -> list[str]:
  """A line if runs of the folder are not finished."""
  names = [run["workdir"] for run in results_lib.unfinished(folder)]
  return [f"not finished, left out: {', '.join(names)}"] if names else []


def _parser() -> argparse.ArgumentParser:
  parser = cli.parser("metaaux table", __doc__)
  parser.add_argument(
    "--workdir",
    type=cli.path,
    required=True,
    metavar="DIR",
    help="folder of run directories, at any depth",
  )
  parser.add_argument(
    "--baseline",
    default="single",
    metavar="METHOD",
    help="method that the others are compared with, or the folder of a run "
    "(%(default)s)",
  )
  parser.add_argument(
    "--by",
    default="",
    metavar="KEY,KEY",
    help="keys of the config whose values make columns, such as "
    "partition.num_tasks",
  )
  parser.add_argument(
    "--mean_over",
    default="",
    metavar="KEY",
    help="key of the config over whose values runs are averaged, such as "
    "select",
  )
  parser.add_argument(
    "--best_of",
    default="",
    metavar="KEY",
    help="key of the config of whose values held-out images choose the best, "
    "such as weighting.values",
  )
  parser.add_argument(
    "--metric",
    default="accuracy",
    metavar="NAME",
    help="what is compared: accuracy, average_precision, balanced_accuracy, "
    "one of these of an attribute, such as average_precision/Smiling, or the "
    "accuracy within a group or task, such as task_0, or on a further test set "
    "(%(default)s)",
  )
  parser.add_argument(
    "--format",
    default="markdown",
    choices=("markdown", "csv"),
    help="%(choices)s (%(default)s)",
  )
  parser.add_argument(
    "--output",
    type=cli.path,
    default="",
    metavar="FILE",
    help="file to write; without it the table is printed",
  )
  return parser


def _run(argv: Sequence[str]) -> None:
  flags = _parser().parse_args(argv)
  by = [key.strip() for key in flags.by.split(",") if key.strip()]
  found = results_lib.load(flags.workdir)
  if flags.best_of:
    found = picked.pick(found, flags.best_of)
  found = results_lib.measured(found, flags.metric)
  if flags.mean_over:
    found = pooled.pool(found, flags.mean_over)
  compared = compare.compare(found, flags.baseline, by)
  if flags.format == "csv":
    text = comma_separated(compared)
  else:
    table = markdown(cells(compared, flags.baseline))
    below = [*notes(compared, flags.baseline), *_left_out(flags.workdir)]
    # In a file it has to be markdown; on a terminal plain lines read better.
    listed = [f"- {line}" for line in below] if flags.output else below
    gap = ["", *listed] if flags.output else listed
    text = "\n".join([table, *gap]) + "\n"
  if flags.output:
    output.text(flags.output, text)
    print(flags.output)
  else:
    sys.stdout.write(text)


def main(argv: Sequence[str]) -> int:
  """Prints or writes the table; returns the exit status."""
  return cli.status_of(lambda: _run(argv), {})


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
