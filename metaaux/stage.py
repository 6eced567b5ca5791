"""The contract between a method and the training loop.

A method is a tuple of stages; a stage is a handful of pure functions over
pytrees. The loop (`train.py`) draws the batches, runs the updates on whatever
devices there are, evaluates, logs and saves; it never knows which method runs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

Array = jax.Array
Key = jax.Array  # a typed key, from jax.random.key
State = Any  # a pytree that holds everything a resume needs
Batch = Mapping[str, Array]
Batches = Mapping[str, Batch]  # one batch a stream
Metrics = Mapping[str, Array]  # scalars, averaged over devices


class Spec(NamedTuple):
  """What a method needs to know of the problem, and nothing of its data.

  Attributes:
    image_shape: height, width, channels of one image.
    psi: number of auxiliary classes of each primary class (maxl, section 2);
      its length is the number of primary classes, its sum the number of
      auxiliary ones.
    num_examples: size of the training pool that `index` of a batch points to.
    has_auxiliary: whether batches hold a human auxiliary label; without one
      the array is there and is -1 everywhere.
  """

  image_shape: tuple[int, int, int]
  psi: tuple[int, ...]
  num_examples: int
  has_auxiliary: bool

  @property
  def num_primary(self) -> int:
    """Number of primary classes."""
    return len(self.psi)

  @property
  def num_auxiliary(self) -> int:
    """Number of auxiliary classes, all blocks together."""
    return sum(self.psi)


class StreamSpec(NamedTuple):
  """One stream of batches.

  A batch has `image` float32 [B, H, W, C] (normalised, augmented), `primary`
  int32 [B], `auxiliary` int32 [B] (block column, or -1) and `index` int32 [B]
  (position in the training pool).
  """

  split: str  # "train" or "meta"
  augment: bool


Update = Callable[[State, Batches, Key, Array], tuple[State, Metrics]]


def _one_phase(step: int) -> str:
  del step
  return "update"


def _no_alarms(metrics: Mapping[str, float]) -> tuple[str, ...]:
  del metrics
  return ()


class Stage(NamedTuple):
  """One phase of training that the loop runs to its end.

  Attributes:
    name: as it stands in metrics.jsonl and in `config.NAME.num_steps`.
    num_steps: how many updates the stage takes.
    streams: the batches that every update receives, by name.
    init: (key, batch, state of the stage before or None) -> state.
    updates: by phase, (state, batches, key, step) -> (state, metrics); `step`
      is an int32 scalar counted from 0 within the stage.
    predict: (state, images [B, H, W, C]) -> primary logits [B, C], evaluation
      mode.
    phase: which of `updates` the step runs; known on the host, so that an
      update which is not due costs nothing.
    targets: (state, batch) -> soft auxiliary labels [B, K], or None where the
      method learns no labels; the loop collects them over a split and logs
      what `losses.label_statistics` says of them.
    probe: (state, batches, step) -> metrics that are too dear for every step,
      or None; logged at every evaluation.
    alarms: metrics of an evaluation -> warnings for the user, one line each.
  """

  name: str
  num_steps: int
  streams: Mapping[str, StreamSpec]
  init: Callable[[Key, Batch, State | None], State]
  updates: Mapping[str, Update]
  predict: Callable[[State, Array], Array]
  phase: Callable[[int], str] = _one_phase
  targets: Callable[[State, Batch], Array] | None = None
  probe: Callable[[State, Batches, Array], Metrics] | None = None
  alarms: Callable[[Mapping[str, float]], tuple[str, ...]] = _no_alarms
