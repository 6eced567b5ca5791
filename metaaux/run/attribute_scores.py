"""Scores of binary attributes: average precision and balanced accuracy.

Attributes are often rare, so that plain accuracy says little of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metaaux.run.opening import Run
from metaaux.stage import Stage

Array = jax.Array

METRICS = ("average_precision", "balanced_accuracy")
# Of a row: those of the primary task, and means over all attributes.
SUMMARISED = (*METRICS, *(f"mean_{name}" for name in METRICS))


def binary(score_N: np.ndarray, labels_N: np.ndarray) -> dict[str, float]:
  """Scores of one attribute: how well a logit tells with from without.

  Args:
    score_N: float [n], a logit: above 0 stands for "with".
    labels_N: int [n], 1 with, 0 without; an image with any other label does
      not count.

  Returns:
    `average_precision`, and `balanced_accuracy`: the mean of the shares of hits
    among the images with the attribute and among those without. Both are
    fractions, NaN where a score is; {} where either kind of image is absent.
  """
  from sklearn import metrics

  known = (labels_N == 0) | (labels_N == 1)
  score_N, labels_N = score_N[known], labels_N[known]
  if len(np.unique(labels_N)) < 2:
    return {}
  if not np.isfinite(score_N).all():
    return dict.fromkeys(METRICS, float("nan"))
  precision = metrics.average_precision_score(labels_N, score_N)
  balanced = metrics.balanced_accuracy_score(labels_N, score_N > 0)
  return {
    "average_precision": min(float(precision), 1.0),  # rounding
    "balanced_accuracy": float(balanced),
  }


def of_logits(logits_NxC: np.ndarray, labels_N: np.ndarray) -> dict[str, float]:
  """`binary` by logit 1 - logit 0 where a task has two classes; else {}."""
  if logits_NxC.shape[-1] != 2:
    return {}
  return binary(logits_NxC[:, 1] - logits_NxC[:, 0], labels_N)


def with_attributes(stage: Stage, run: Run) -> Stage:
  """The stage, with a `predict` that adds the logits of the attributes.

  One call gives both, so that the compiler shares the pass through the network.
  A stage without attributes, or in a problem without any, is returned as it is.
  """
  predict, attributes = stage.predict, stage.attributes
  if attributes is None or not run.problem.spec.attribute_names:
    return stage

  def both(state: Any, images: Array) -> Array:
    found = predict(state, images), attributes(state, images)
    return jnp.concatenate(found, axis=-1)

  return stage._replace(predict=both)


def row(
  primary: Mapping[str, float],
  name: str,
  logits_NxK: np.ndarray,
  labels_NxK: np.ndarray | None,
  names: Sequence[str],
) -> dict[str, float]:
  """Scores of all attributes.

  Args:
    primary: scores of the primary attribute.
    name: of the primary attribute.
    logits_NxK: of the other attributes; [n, 0] where nobody predicts them.
    labels_NxK: int [n, K], 1 with, 0 without, -1 unknown; None without others.
    names: of the other attributes.

  Returns:
    `METRIC/NAME` of each attribute that some images have and others do not,
    and `mean_METRIC` over these, the primary one included; {} without others.
  """
  if not logits_NxK.shape[-1]:
    return {}
  found = {name: {key: primary[key] for key in METRICS if key in primary}}
  for k, other in enumerate(names):
    found[other] = binary(logits_NxK[:, k], labels_NxK[:, k])
  found = {name: scores for name, scores in found.items() if scores}
  means = {
    f"mean_{key}": float(np.mean([scores[key] for scores in found.values()]))
    for key in METRICS
    if found
  }
  return means | {
    f"{key}/{name}": value
    for name, scores in found.items()
    for key, value in scores.items()
  }


def summary(
  keys: Iterable[str], values: Callable[[str], list[float]]
) -> dict[str, dict[str, list[float]]]:
  """Scores by attribute and metric, for result.json.

  Args:
    keys: the keys of a row; those of the form `METRIC/NAME` count.
    values: key -> one value for each seed.
  """
  found: dict[str, dict[str, list[float]]] = {}
  for key in keys:
    metric, slash, name = key.partition("/")
    if slash and metric in METRICS:
      found.setdefault(name, {})[metric] = values(key)
  return found
