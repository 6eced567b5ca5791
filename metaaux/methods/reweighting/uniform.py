"""Every auxiliary task weighs 1: the control for all other weightings."""

from metaaux.methods.reweighting._core import (
  Key,
  Metrics,
  Tasks,
  Weighting,
  Weights,
  equal_weights,
  weighting,
)


def make() -> Weighting:
  """Ones, always; evaluates nothing."""

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    del tasks, key
    return state, {}

  return weighting(equal_weights, step)
