"""Self-training: the network labels the pool, and learns from its own labels.

A baseline of Gui et al. 2020, who leave rounds and threshold open: each round
trains from scratch on the labelled images and on those that the round before
labelled with confidence.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from metaaux import models
from metaaux.methods import optim, steps
from metaaux.methods.optim import OptimizerOptions
from metaaux.methods.unlabelled import network_labels
from metaaux.methods.unlabelled.network_labels import Labelled
from metaaux.models import ModelOptions
from metaaux.stage import (
  Array,
  Batch,
  Batches,
  Key,
  Metrics,
  PoolView,
  Prepare,
  Spec,
  Stage,
  StreamSpec,
)


class SelfTrainingState(NamedTuple):
  """The network, its optimiser, and what it trains on."""

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


def label_pool(problem: Problem, pool: PoolView) -> Labelled:
  """True labels at `pool.train`; elsewhere those of the round before."""
  labels_N = np.full(len(pool.images), -1, np.int32)
  if pool.previous is not None:
    predict = steps.predictor(problem.network)
    probabilities = pool.map(
      lambda state, images: jax.nn.softmax(predict(state, images))
    )
    threshold = problem.config.pseudo_labels.confidence
    labels_N = network_labels.confident(probabilities, threshold)
  labels_N[pool.train] = pool.primary[pool.train]
  return network_labels.labelled(labels_N)


def init_state(
  problem: Problem, key: Key, batch: Batch, given: tuple[Any, Labelled]
) -> SelfTrainingState:
  """Random weights, the same in each round."""
  params, stats = problem.network.init(key, batch["image"])
  optimizer = problem.optimizer.init(params)
  return SelfTrainingState(params, stats, optimizer, given[1])


def update(
  problem: Problem,
  state: SelfTrainingState,
  batches: Batches,
  key: Key,
  step: Array,
) -> tuple[SelfTrainingState, Metrics]:
  """One step on labelled and pseudo-labelled images alike."""
  batch = batches["train"]
  batch = {**batch, "primary": state.known.labels[batch["index"]]}

  def loss(params: Any, stats: Any) -> tuple[Array, Any]:
    return steps.primary_loss(
      problem.network, params, stats, batch, gamma=problem.config.gamma, key=key
    )

  *learned, known = state
  *learned, metrics = steps.descend(
    loss, problem.optimizer, *learned, step, problem.axis_name
  )
  share = known.count / known.labels.shape[0]
  return SelfTrainingState(*learned, known), {**metrics, "labelled": share}


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """A stage for the first training and for each round, of `num_steps` each.

  Args:
    config: `pseudo_labels`, `model`, `optimizer`, `gamma`, `num_steps`,
      `sync_batch_norm`.
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
  problem = Problem(config, network, optimizer, axis_name)
  stream = StreamSpec(
    split="all",
    augment=True,
    draw=lambda state, key, size: network_labels.draw(state.known, key, size),
  )
  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams={"train": stream},
    init=partial(init_state, problem),
    updates={"update": partial(update, problem)},
    predict=steps.predictor(network),
    needs_unlabelled=True,
    prepare=Prepare(
      network_labels.shapes(spec.num_examples), partial(label_pool, problem)
    ),
  )
  rounds = range(config.pseudo_labels.rounds)
  return (*(stage._replace(name=f"round_{i}") for i in rounds), stage)
