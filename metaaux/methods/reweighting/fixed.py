"""Given weights that stay, such as one point of a grid search."""

import math
from collections.abc import Sequence

from metaaux.methods.reweighting._core import (
  Key,
  Metrics,
  Tasks,
  Weighting,
  Weights,
  weighting,
  widen,
)


def make(values: Sequence[float]) -> Weighting:
  """Weights that are what they are.

  Args:
    values: K finite numbers >= 0.

  Returns:
    The weighting; the sum is that of `values`.

  Raises:
    ValueError: a value is negative or not finite, or `init` is called with
      another number of tasks.
  """
  values = tuple(map(float, values))
  if not all(0 <= value < math.inf for value in values):
    raise ValueError(f"values={values} must be finite and >= 0.")

  def init(num_tasks: int) -> Weights:
    if num_tasks != len(values):
      raise ValueError(f"values={values} for {num_tasks} tasks; give one each.")
    return Weights(widen(values))

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    del tasks, key
    return state, {}

  return weighting(init, step)
