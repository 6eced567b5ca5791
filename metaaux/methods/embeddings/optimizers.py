"""Optimisers with the constants of the embeddings' papers."""

import types

from metaaux.methods import optim


def adam(learning_rate: float) -> optim.Optimizer:
  """Adam of a constant rate, with the default moments."""
  return _make(name="adam", learning_rate=learning_rate)


def sgd(
  learning_rate: float, momentum: float, weight_decay: float
) -> optim.Optimizer:
  """SGD of a constant rate, with L2 decay added to the gradient."""
  return _make(
    name="sgd",
    learning_rate=learning_rate,
    momentum=momentum,
    weight_decay=weight_decay,
  )


def _make(**options: str | float) -> optim.Optimizer:
  others = {
    "momentum": 0.0,
    "weight_decay": 0.0,
    "l1": 0.0,
    "clip_norm": 0.0,
    "schedule": "constant",
  }
  # A constant rate does not look at the number of steps.
  return optim.make(types.SimpleNamespace(**{**others, **options}), 0)
