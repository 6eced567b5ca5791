"""What users would pick instead: classifiers that scikit-learn fits at once.

Each is a stage of one step that changes nothing: all is fitted before it, on
the labelled rows or on all of them, as the network of other methods sees them,
and its state is the classifier. So it has the seeds, rows, figures and files of
every method, and stands in the same table.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from metaaux.stage import (
  Array,
  Batch,
  Batches,
  Key,
  Metrics,
  PoolView,
  Prepare,
  Stage,
  State,
  StreamSpec,
)


def stage(
  shapes: State,
  fit: Callable[[PoolView, np.ndarray], State],
  predict: Callable[[State, Array], Array],
) -> tuple[Stage]:
  """The stage of a classifier.

  Args:
    shapes: `jax.ShapeDtypeStruct`s of the classifier.
    fit: (view of the pool, its rows float32 [n, d]) -> classifier.
    predict: (classifier, rows [B, d]) -> logits [B, C].
  """

  def compute(pool: PoolView) -> State:
    return fit(pool, pool.map(lambda _, inputs: _rows(inputs)))

  def init(key: Key, batch: Batch, given: tuple[Any, State]) -> State:
    del key, batch
    return given[1]

  def update(
    state: State, batches: Batches, key: Key, step: Array
  ) -> tuple[State, Metrics]:
    del batches, key, step
    return state, {}

  return (
    Stage(
      name="fit",
      num_steps=1,
      streams={"train": StreamSpec(split="train", augment=False)},
      init=init,
      updates={"update": update},
      predict=lambda state, inputs: predict(state, _rows(inputs)),
      prepare=Prepare(shapes, compute),
    ),
  )


def _rows(inputs: Array) -> Array:
  return inputs.reshape(inputs.shape[0], -1)
