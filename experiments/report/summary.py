"""The answer of a report: which method is best, and is it more than noise?"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scipy.special import stdtr, stdtrit

from metaaux.errors import UserError

from .. import compare, table
from .. import results as results_lib
from ..compare import Comparison, Row
from ..results import Result
from . import forest
from .forest import Bar, percent, verdict
from .parts import NBSP, Table, count, interval


class Answer(NamedTuple):
  """What is found in one setting.

  Attributes:
    setting: of the runs; "" where there is only one.
    headline: the answer in a sentence.
    sentences: what else belongs to it.
    baseline: label of the run that others are compared with, or "".
    bars: the forest plot.
    ticks: (position, text) of its axis.
    zero: position of no difference.
  """

  setting: str
  headline: str
  sentences: Sequence[str]
  baseline: str
  bars: Sequence[Bar]
  ticks: Sequence[tuple[float, str]]
  zero: float


class Summary(NamedTuple):
  """All answers and the table that they are taken from.

  Attributes:
    answers: one a setting.
    table: of the accuracies.
    notes: to the table.
    bases: workdir -> that of the run that it is compared with.
  """

  answers: Sequence[Answer]
  table: Table | None
  notes: Sequence[str]
  bases: Mapping[str, str]


def summarise(
  results: Sequence[Result], names: Mapping[str, str], baseline: str
) -> Summary:
  """Compares the finished runs.

  Args:
    results: of `results.load`, at least one.
    names: label of each workdir.
    baseline: method or folder; "": single-task training, or what comes first.

  Raises:
    UserError: a baseline is given that cannot be compared with.
  """
  chosen = baseline or results_lib.default_baseline(results)
  try:
    compared = compare.compare(results, chosen)
  except UserError as error:
    if baseline:
      raise
    return _without_comparison(results, names, error)
  compared = compared._replace(
    rows=tuple(
      row._replace(label=names[row.result["workdir"]]) for row in compared.rows
    )
  )
  header, *rows = table.cells(compared, chosen)
  return Summary(
    [_answer(compared, setting, chosen) for setting in compared.settings],
    Table(
      "Test accuracy of the finished runs", header, [_typeset(r) for r in rows]
    ),
    table.notes(compared, chosen),
    _bases(compared.rows),
  )


def _bases(rows: Sequence[Row]) -> dict[str, str]:
  of = {row.setting: row for row in rows if row.is_baseline}
  return {
    row.result["workdir"]: of[row.setting].result["workdir"]
    for row in rows
    if row.gap is not None
  }


def _typeset(cells: Sequence[str]) -> list[str]:
  """Cells of a text table with a true minus, and a dash where nothing is."""
  name, *others = cells
  return [name, *("–" if c == "-" else c.replace("-", "−") for c in others)]


def _without_comparison(
  results: Sequence[Result], names: Mapping[str, str], error: UserError
) -> Summary:
  rows = [
    [
      names[result["workdir"]],
      interval(100 * result["mean"], percent(result.get("ci95"))),
      str(len(result["seeds"])),
    ]
    for result in results
  ]
  answer = Answer(
    "",
    "These runs are not compared.",
    [f"Why: {error}."],
    "",
    (),
    (),
    0,
  )
  header = ["method", "accuracy (%)", "seeds"]
  return Summary([answer], Table("Test accuracy", header, rows), (), {})


def _answer(compared: Comparison, setting: str, chosen: str) -> Answer:
  rows = [row for row in compared.rows if row.setting == setting]
  base = next((row for row in rows if row.is_baseline), None)
  others = [row for row in rows if row.gap is not None]
  label = base.label if base else ""
  if not others:
    return Answer(setting, *_alone(rows, chosen), label, (), (), 0)
  headline, sentences = _in_words(rows, base, others)
  if unlike := results_lib.unlike([row.result for row in (base, *others)]):
    sentences.append(
      f"Not the method alone differs between these runs, but also {unlike}; "
      "see the config below."
    )
  bars, ticks, zero = forest.rows(others)
  return Answer(setting, headline, sentences, label, bars, ticks, zero)


def _alone(rows: Sequence[Row], chosen: str) -> tuple[str, Sequence[str]]:
  """The answer where no run is compared with another."""
  best = max(rows, key=lambda row: row.accuracy[0])
  figure = interval(100 * best.accuracy[0], percent(best.accuracy[1]))
  seeds = count(best.seeds, "seed")
  if len(rows) == 1:
    return (
      f"{best.label} reaches {figure}{NBSP}% over {seeds}.",
      [
        "There is no second run of this setting to compare it with: train a "
        "baseline with the same seeds beside it, such as method=single."
      ],
    )
  return (
    f"{best.label} is the highest of {len(rows)} runs: {figure}{NBSP}% over "
    f"{seeds}.",
    [
      f"None of them is the baseline, {chosen}, so that nothing is said of "
      "noise: train it with the same seeds beside them, or name another run "
      "with --baseline."
    ],
  )


def p_value(mean: float, half: float, pairs: int) -> float:
  """Of the two-sided t-test that a 95% interval belongs to."""
  if half == 0:
    return 0.0 if mean else 1.0
  t = abs(mean) / half * stdtrit(pairs - 1, 0.975)
  return float(2 * stdtr(pairs - 1, -t))


def surviving(rows: Sequence[Row]) -> list[Row]:
  """Rows whose difference is significant at 5% after Holm's correction."""
  tested = [row for row in rows if row.gap[1] is not None]
  by_p = sorted(tested, key=lambda row: p_value(*row.gap, row.pairs))
  kept = []
  for i, row in enumerate(by_p):
    if p_value(*row.gap, row.pairs) * (len(by_p) - i) >= 0.05:
      break
    kept.append(row)
  return kept


def _in_words(
  rows: Sequence[Row], base: Row, others: Sequence[Row]
) -> tuple[str, list[str]]:
  """The headline and the sentences below it."""
  best = max(rows, key=lambda row: row.accuracy[0])
  figure = interval(100 * best.accuracy[0], percent(best.accuracy[1]))
  better = [row for row in others if verdict(row) == "better"]
  worse = [row for row in others if verdict(row) == "worse"]
  sentences = []
  if any(row.gap[1] is None for row in others):
    headline = f"{best.label} is highest, but one seed says nothing of noise."
    sentences.append(f"It reaches {figure}{NBSP}%.{_beside(best, base)}")
  elif best in better:
    headline = (
      f"{best.label} is best: {_points(best)} over {base.label}, more than "
      "seed noise."
    )
    sentences += [f"It reaches {figure}{NBSP}%.", *_runner_up(best, rows)]
  elif better:
    names = _listed(better)
    headline = f"{names} {_beat(better)} {base.label} by more than seed noise."
    sentences.append(
      f"The highest mean is that of {best.label}, {figure}{NBSP}%, which is "
      f"within noise of {base.label}.{_beside(best, base)}"
    )
  else:
    headline = _no_better(others, base)
    sentences.append(
      f"{base.label} itself has the highest mean, {figure}{NBSP}%."
      if best is base
      else f"The highest mean is that of {best.label}, {figure}{NBSP}%."
      f"{_beside(best, base)}"
    )
  rest = [row for row in better if row is not best]
  if best in better and rest:
    sentences.append(f"{_listed(rest)} {_beat(rest)} {base.label}, too.")
  if worse and len(others) > 1:
    verb = "is" if len(worse) == 1 else "are"
    sentences.append(
      f"{_listed(worse)} {verb} worse than {base.label} by more than noise."
    )
  found = better + worse
  return headline, sentences + _corrected(others, found) + _of_images(found)


def _of_images(found: Sequence[Row]) -> list[str]:
  """What is left of findings when the test images, too, are a sample."""
  known = [row for row in found if row.gap_half is not None]
  if not known:
    return []
  images = count(known[0].result["test_images"], "test image")
  lost = [row for row in known if abs(row.gap[0]) <= row.gap_half]
  if not lost:
    return [f"That stands where the choice of the {images} is noise, too."]
  told = " and ".join(
    f"{row.label} ({interval(100 * row.gap[0], 100 * row.gap_half, sign=True)})"
    for row in lost
  )
  verb = "is" if len(lost) == 1 else "are"
  return [
    f"Where the choice of the {images} is noise, too, {told} {verb} within it."
  ]


def _points(row: Row) -> str:
  mean, half = row.gap
  return f"{interval(100 * mean, percent(half), sign=True)} points"


def _no_better(others: Sequence[Row], base: Row) -> str:
  if len(others) > 1:
    return f"No method beats {base.label} by more than seed noise."
  (only,) = others
  if verdict(only) == "worse":
    return f"{only.label} is worse than {base.label} by more than seed noise."
  return f"{only.label} does not beat {base.label} by more than seed noise."


def _beside(row: Row, base: Row) -> str:
  if row is base:
    return ""
  return (
    f" Over {base.label} that is {_points(row)} "
    f"({count(row.pairs, 'paired seed')})."
  )


def _listed(rows: Sequence[Row]) -> str:
  *first, last = [row.label for row in rows]
  return f"{', '.join(first)} and {last}" if first else last


def _beat(rows: Sequence[Row]) -> str:
  return "beats" if len(rows) == 1 else "beat"


def _runner_up(best: Row, rows: Sequence[Row]) -> list[str]:
  """How the best compares with the next one, if that is no baseline."""
  following = sorted(rows, key=lambda row: -row.accuracy[0])[1:]
  if not following or following[0].is_baseline:
    return []
  second = following[0]
  try:
    mean, half, pairs = results_lib.difference(best.result, second.result)
  except UserError:
    return []
  if half is None:
    return []
  noise = "more than" if mean > half else "within"
  return [
    f"Over the next best, {second.label}, it is "
    f"{interval(100 * mean, 100 * half, sign=True)} points "
    f"({count(pairs, 'paired seed')}), {noise} noise."
  ]


def _corrected(others: Sequence[Row], found: Sequence[Row]) -> list[str]:
  """What is left of several findings when all comparisons are counted."""
  number = sum(row.gap[1] is not None for row in others)
  if number < 2 or not found:
    return []
  kept = [row for row in surviving(others) if row in found]
  if len(kept) == len(found):
    left = "that stands"
  elif kept:
    left = f"that stands for {_listed(kept)} alone"
  else:
    left = "none of that stands"
  return [
    f"After Holm's correction for {number} comparisons, {left} (5% level)."
  ]
