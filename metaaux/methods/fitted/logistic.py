"""Logistic regression with the penalty that cross-validation chooses."""

import math
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np

from metaaux.methods import fitted
from metaaux.stage import Array, PoolView, Spec, Stage

# Inverse strengths of the penalty, the strongest first.
STRENGTHS = tuple(10.0**k for k in range(-4, 3))
_FOLDS = 5
_MAX_STEPS = 1000
_TOLERANCE = 1e-7
# The logit of a class without a labelled row.
_NEVER = -1e9


class Linear(NamedTuple):
  """Logits x @ kernel + bias; `strength` is the chosen 1 / penalty."""

  kernel: Array
  bias: Array
  strength: Array


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """L2-penalised logistic regression on the labelled rows alone.

  The penalty is the one of best accuracy in a stratified cross-validation on
  these rows, of equals the strongest; no other label takes part.

  Args:
    config: nothing is read.
    spec: the problem.
    axis_name: without effect, every device holds the whole.
  """
  del config, axis_name
  dim, classes = math.prod(spec.input_shape), spec.num_primary
  shapes = Linear(
    *(
      jax.ShapeDtypeStruct(shape, np.float32)
      for shape in ((dim, classes), (classes,), ())
    )
  )

  def fit(pool: PoolView, rows_NxD: np.ndarray) -> Linear:
    rows = rows_NxD[pool.train].astype(np.float64)
    labels = pool.primary[pool.train]
    strength = choose(rows, labels, pool.seed)
    found = fit_linear(rows, labels, strength, classes)
    pool.report("logistic", {"C": strength})
    return found

  return fitted.stage(shapes, fit, predict)


def predict(state: Linear, rows_BxD: Array) -> Array:
  """Logits [B, C]."""
  return rows_BxD @ state.kernel + state.bias[None]


def choose(rows_MxD: np.ndarray, labels_M: np.ndarray, seed: int) -> float:
  """C of best cross-validated accuracy; 1 where a class has one row alone.

  Args:
    rows_MxD: labelled rows.
    labels_M: their classes.
    seed: of the folds.
  """
  from sklearn import linear_model, model_selection

  _, counts = np.unique(labels_M, return_counts=True)
  if counts.min() < 2:
    return 1.0
  folds = model_selection.StratifiedKFold(
    min(_FOLDS, int(counts.min())), shuffle=True, random_state=seed
  )
  accuracies = []
  for strength in STRENGTHS:
    model = linear_model.LogisticRegression(C=strength, max_iter=_MAX_STEPS)
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # of fits that need more steps
      found = model_selection.cross_val_score(
        model, rows_MxD, labels_M, cv=folds, scoring="accuracy"
      )
    accuracies.append(found.mean())
  return STRENGTHS[int(np.argmax(accuracies))]


def fit_linear(
  rows_MxD: np.ndarray, labels_M: np.ndarray, strength: float, classes: int
) -> Linear:
  """The classifier of one penalty, with a column for every class.

  Args:
    rows_MxD: labelled rows, of two classes or more; float64.
    labels_M: their classes, of 0 .. classes - 1.
    strength: C.
    classes: of the problem; those without a row are never predicted.
  """
  from sklearn import linear_model

  # To the optimum, so that the last bits of rows do not say where it stops.
  model = linear_model.LogisticRegression(
    C=strength, max_iter=_MAX_STEPS, tol=_TOLERANCE
  )
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    model.fit(rows_MxD, labels_M)
  coefficients, intercepts = model.coef_, model.intercept_
  if len(model.classes_) == 2:  # one logit, that of the second class
    coefficients = np.concatenate([0 * coefficients, coefficients])
    intercepts = np.concatenate([0 * intercepts, intercepts])
  kernel = np.zeros((rows_MxD.shape[1], classes), np.float32)
  bias = np.full(classes, _NEVER, np.float32)
  kernel[:, model.classes_] = coefficients.T
  bias[model.classes_] = intercepts
  return Linear(kernel, bias, np.float32(strength))
