"""Chooses the checkpoint that did best on images held out of training.

The choice is made on the meta split, a part of the training data, and never on
the test set, whose figure it would make too good. It is a function of
metrics.jsonl and of the checkpoints that there are, so that a resumed run and a
later evaluation choose the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metaaux.stage import Stage

_SIGN = {"accuracy": 1.0, "loss": -1.0}


def score(name: str, rows: Iterable[Mapping[str, Any]]) -> float:
  """Mean over seeds of a metric of the meta split; more is better.

  Args:
    name: "accuracy", or "loss", whose sign is then changed.
    rows: of one evaluation.
  """
  values = [row[name] for row in rows if row["split"] == "meta"]
  return _SIGN[name] * float(np.mean(values))


def scores(
  config: Any, rows: Iterable[Mapping[str, Any]], stages: Sequence[Stage]
) -> dict[int, float]:
  """Score of each evaluation of the last stage, by updates of all stages.

  Args:
    config: of the run; without `keep_best` there are no scores.
    rows: of metrics.jsonl.
    stages: of the method; the last one trains the primary task to its end.
  """
  if not config.keep_best:
    return {}
  before = sum(stage.num_steps for stage in stages[:-1])
  found: dict[int, list[Mapping[str, Any]]] = {}
  for row in rows:
    if row["split"] == "meta" and row["total_step"] > before:
      found.setdefault(row["total_step"], []).append(row)
  # A mean over fewer seeds than elsewhere is no score.
  most = max(map(len, found.values()), default=0)
  return {
    at: score(config.keep_best, of)
    for at, of in found.items()
    if len(of) == most
  }


def improves(
  scores: dict[int, float],
  at: int,
  name: str,
  rows: Iterable[Mapping[str, Any]],
) -> bool:
  """Adds the score of an evaluation; whether it is the best one.

  Args:
    scores: of all evaluations so far; grows.
    at: updates of all stages.
    name: as of `score`.
    rows: of the evaluation.
  """
  scores[at] = score(name, rows)
  return step(scores, scores) == at


def step(steps: Iterable[int], scores: Mapping[int, float]) -> int | None:
  """The step with the highest score, the first of equals; None: no score."""
  known = [each for each in steps if each in scores]
  return max(known, key=lambda each: (scores[each], -each), default=None)
