"""What runs measure besides their accuracy, each beside the same baseline."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from metaaux.errors import UserError
from metaaux.run import attribute_scores

from .. import results as results_lib
from ..results import Result
from .forest import percent
from .parts import Section, Table, count, interval

_NONE, _FOUND = "–", "*"
_LEAD = (
  "Percentages on test images, means over seeds with 95% intervals; the "
  "differences are paired by seed."
)
_KINDS = {
  "metrics": "Scores of binary tasks",
  "groups": "Accuracy within each task or group of classes",
  "extra_tests": "Accuracy on further test sets",
}


class Cell(NamedTuple):
  """One measure of a run in text, and its difference to the baseline's.

  Attributes:
    value: `83.66 ± 3.84`.
    gap: `+1.13 ± 0.90*`; a dash where there is no baseline.
    found: whether the interval of the difference leaves out zero, None where
      there is no interval.
  """

  value: str
  gap: str
  found: bool | None


def section(
  results: Sequence[Result],
  names: Mapping[str, str],
  bases: Mapping[str, str],
) -> Section | None:
  """What a report says of other measures; None where runs have none.

  Args:
    results: finished runs, of `results.load`.
    names: label of each workdir.
    bases: workdir -> the workdir of the run that it is compared with.
  """
  tables, found = [], []
  for caption, measures in _tables(results):
    cells = {name: _cells(results, bases, name) for name in measures}
    shown = {name: _said(name) for name in measures}
    if caption in attribute_scores.METRICS:
      shown = {name: name.removeprefix(f"{caption}/") for name in measures}
      caption = f"{_said(caption).capitalize()} of each attribute"
    # What there is less of makes the columns.
    runs = {workdir for column in cells.values() for workdir in column}
    make = _by_run if len(measures) <= len(runs) else _by_measure
    tables.append(make(caption, cells, shown, names, bases))
    found += [c.found for column in cells.values() for c in column.values()]
  if not tables:
    return None
  return Section("Other measures", _LEAD, tables=tables, notes=_notes(found))


def _notes(found: Sequence[bool | None]) -> list[str]:
  tested = [each for each in found if each is not None]
  if not tested:
    return []
  differences = count(len(tested), "difference")
  if not any(tested):
    return [f"No interval leaves out zero, of {differences}."]
  return [
    f"{_FOUND} The interval leaves out zero: {sum(tested)} of {differences}. "
    "Nothing is corrected for their number, and of differences that are all "
    "noise one in twenty is marked."
  ]


def _tables(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
  """Caption and measures of each table, in the order of the runs' files."""
  found = []
  for key, caption in _KINDS.items():
    measures = dict.fromkeys(m for r in results for m in r.get(key, {}))
    found.append((caption, list(measures)))
  for metric in attribute_scores.METRICS:
    measures = dict.fromkeys(
      results_lib.of_attribute(metric, attribute)
      for result in results
      for attribute, scores in result.get("attributes", {}).items()
      if metric in scores
    )
    found.append((metric, list(measures)))
  return [(caption, measures) for caption, measures in found if measures]


def _said(measure: str) -> str:
  """A measure in words: `average precision, mean of all attributes`."""
  if measure not in attribute_scores.SUMMARISED:
    return measure
  metric = measure.removeprefix("mean_")
  of = "" if metric == measure else ", mean of all attributes"
  return metric.replace("_", " ") + of


def _cells(
  results: Sequence[Result], bases: Mapping[str, str], measure: str
) -> dict[str, Cell]:
  """workdir -> cell of every run that has the measure."""
  having = {
    result["workdir"]: results_lib.measured([result], measure)[0]
    for result in results
    if measure in results_lib.measures(result)
  }
  cells = {}
  for workdir, result in having.items():
    value = interval(100 * result["mean"], percent(result["ci95"]))
    base = having.get(bases.get(workdir, ""))
    cells[workdir] = Cell(value, *_gap(result, base))
  return cells


def _gap(result: Result, base: Result | None) -> tuple[str, bool | None]:
  if base is None or base is result:
    return _NONE, None
  try:
    mean, half, _ = results_lib.difference(result, base)
  except UserError:  # they share no seed
    return _NONE, None
  text = interval(100 * mean, percent(half), sign=True)
  if half is None:
    return text, None
  found = abs(mean) > half
  return text + (_FOUND if found else ""), found


def _by_run(
  caption: str,
  cells: Mapping[str, Mapping[str, Cell]],
  shown: Mapping[str, str],
  names: Mapping[str, str],
  bases: Mapping[str, str],
) -> Table:
  """A row for each run."""
  workdirs = [w for w in names if any(w in c for c in cells.values())]
  header, columns = ["run"], [[names[w] for w in workdirs]]
  for measure, column in cells.items():
    header.append(f"{shown[measure]} (%)")
    columns.append(
      [column[w].value if w in column else _NONE for w in workdirs]
    )
    gaps = [column[w].gap if w in column else _NONE for w in workdirs]
    if any(gap != _NONE for gap in gaps):
      header.append(f"minus {_baseline(workdirs, names, bases)}")
      columns.append(gaps)
  return Table(caption, header, list(zip(*columns, strict=True)))


def _by_measure(
  caption: str,
  cells: Mapping[str, Mapping[str, Cell]],
  shown: Mapping[str, str],
  names: Mapping[str, str],
  bases: Mapping[str, str],
) -> Table:
  """A row for each measure."""
  header, columns = ["(%)"], [[shown[measure] for measure in cells]]
  for workdir, name in names.items():
    column = [cells[measure].get(workdir) for measure in cells]
    if not any(column):
      continue
    header.append(name)
    columns.append([cell.value if cell else _NONE for cell in column])
    gaps = [cell.gap if cell else _NONE for cell in column]
    if any(gap != _NONE for gap in gaps):
      header.append(f"{name} minus {_baseline([workdir], names, bases)}")
      columns.append(gaps)
  return Table(caption, header, list(zip(*columns, strict=True)))


def _baseline(
  workdirs: Sequence[str], names: Mapping[str, str], bases: Mapping[str, str]
) -> str:
  """What to call the run that others are compared with, or the runs."""
  found = {names[bases[w]] for w in workdirs if w in bases}
  return found.pop() if len(found) == 1 else "baseline"
