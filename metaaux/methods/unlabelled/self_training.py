"""Self-training: the network labels the pool, and learns from its own labels.

A baseline of Gui et al. 2020, who leave rounds and threshold open: each round
trains from scratch on the labelled images and on those that the round before
labelled with confidence.
"""

from functools import partial
from typing import Any

import jax
import numpy as np

from metaaux.methods import steps
from metaaux.methods.unlabelled import network_labels, rounds
from metaaux.methods.unlabelled.network_labels import Labelled
from metaaux.methods.unlabelled.rounds import Learner, Problem
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
)


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
) -> Learner:
  """A new network, and the labels that were prepared."""
  return rounds.start(problem, key, batch, given[1])


def update(
  problem: Problem, state: Learner, batches: Batches, key: Key, step: Array
) -> tuple[Learner, Metrics]:
  """One step of the network."""
  return rounds.descend(problem, state, batches["train"], key, step)


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
  problem = rounds.assemble(config, spec, axis_name)
  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams={"train": rounds.stream(lambda state: state.known)},
    init=partial(init_state, problem),
    updates={"update": partial(update, problem)},
    predict=steps.predictor(problem.network),
    needs_unlabelled=True,
    prepare=Prepare(
      network_labels.shapes(spec.num_examples), partial(label_pool, problem)
    ),
  )
  return rounds.stages(stage, config.pseudo_labels.rounds)
