"""Training in rounds: each learns from what networks of the last one labelled.

What self-training and co-training share: a network that trains from scratch on
the images that have a label, true or guessed, and the stages of the rounds.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from metaaux import models
from metaaux.methods import optim, steps
from metaaux.methods.optim import OptimizerOptions
from metaaux.methods.unlabelled import network_labels
from metaaux.methods.unlabelled.network_labels import Labelled
from metaaux.models import ModelOptions
from metaaux.stage import (
  Array,
  Batch,
  Key,
  Metrics,
  Spec,
  Stage,
  State,
  StreamSpec,
)


class Learner(NamedTuple):
  """One network, its optimiser, and what it trains on."""

  params: Any
  stats: Any
  optimizer: Any
  known: Labelled


class Problem(NamedTuple):
  """What does not change while training."""

  config: Any
  network: models.Network
  optimizer: optim.Optimizer
  axis_name: str | None


def assemble(config: Any, spec: Spec, axis_name: str | None) -> Problem:
  """Network and optimiser of a config.

  Args:
    config: `model`, `optimizer`, `gamma`, `num_steps`, `sync_batch_norm`.
    spec: the problem.
    axis_name: devices to average over, None on one device.
  """
  network = models.make(
    ModelOptions.of(config.model),
    {"primary": spec.num_primary},
    axis_name=axis_name if config.sync_batch_norm else None,
  )
  optimizer = optim.make(
    OptimizerOptions.of(config.optimizer), config.num_steps
  )
  return Problem(config, network, optimizer, axis_name)


def start(problem: Problem, key: Key, batch: Batch, known: Labelled) -> Learner:
  """A learner with random weights, the same in each round."""
  params, stats = problem.network.init(key, batch["image"])
  return Learner(params, stats, problem.optimizer.init(params), known)


def descend(
  problem: Problem, learner: Learner, batch: Batch, key: Key, step: Array
) -> tuple[Learner, Metrics]:
  """One step on images with true and with guessed labels alike."""
  batch = {**batch, "primary": learner.known.labels[batch["index"]]}
  *learned, known = learner
  *learned, metrics = steps.descend(
    partial(
      steps.primary_loss,
      problem.network,
      batch=batch,
      gamma=problem.config.gamma,
      key=key,
    ),
    problem.optimizer,
    *learned,
    step,
    problem.axis_name,
  )
  share = known.count / known.labels.shape[0]
  return Learner(*learned, known), {**metrics, "labelled": share}


def stream(known_of: Callable[[State], Labelled]) -> StreamSpec:
  """Batches of the images that have a label."""
  return StreamSpec(
    split="all",
    augment=True,
    draw=lambda state, key, size: network_labels.draw(
      known_of(state), key, size
    ),
  )


def stages(last: Stage, rounds: int) -> tuple[Stage, ...]:
  """The stage of the last round, and before it the same for each other one."""
  return (*(last._replace(name=f"round_{i}") for i in range(rounds)), last)
