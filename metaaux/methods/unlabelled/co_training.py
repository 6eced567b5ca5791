"""Co-training: two networks label the pool for each other.

A baseline of Gui et al. 2020, who leave the views open: here each network sees
a random half of the labelled images and starts from weights of its own. Each
round trains both from scratch, on their half and on what the other labelled
with confidence. The mean of both probabilities predicts.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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


class CoTrainingState(NamedTuple):
  """The two networks."""

  first: Learner
  second: Learner


def label_pool(problem: Problem, pool: PoolView) -> tuple[Labelled, Labelled]:
  """For each network: its half of the true labels, and the other's guesses."""
  guesses = [np.full(len(pool.images), -1, np.int32)] * 2
  if pool.previous is not None:
    predict = steps.predictor(problem.network)
    probabilities = pool.map(
      lambda state, images: jnp.stack(
        [jax.nn.softmax(predict(learner, images)) for learner in state], axis=1
      )
    )
    threshold = problem.config.pseudo_labels.confidence
    guesses = [
      network_labels.confident(probabilities[:, other], threshold)
      for other in (1, 0)
    ]
  known = []
  for i, labels_N in enumerate(guesses):
    # The same half in each round.
    rng = np.random.default_rng((pool.seed, i))
    half = rng.permutation(pool.train)[: max(1, len(pool.train) // 2)]
    labels_N = labels_N.copy()
    labels_N[half] = pool.primary[half]
    known.append(network_labels.labelled(labels_N))
  return known[0], known[1]


def init_state(
  problem: Problem, key: Key, batch: Batch, given: tuple[Any, Any]
) -> CoTrainingState:
  """Weights of two draws, the first as of single-task training."""
  first, second = given[1]
  other_key = jax.random.fold_in(key, 1)
  return CoTrainingState(
    rounds.start(problem, key, batch, first),
    rounds.start(problem, other_key, batch, second),
  )


def update(
  problem: Problem,
  state: CoTrainingState,
  batches: Batches,
  key: Key,
  step: Array,
) -> tuple[CoTrainingState, Metrics]:
  """A step of each network; metrics are the means of both."""
  keys = jax.random.split(key)
  first, one = rounds.descend(
    problem, state.first, batches["train"], keys[0], step
  )
  second, two = rounds.descend(
    problem, state.second, batches["second"], keys[1], step
  )
  metrics = {name: (one[name] + two[name]) / 2 for name in one}
  return CoTrainingState(first, second), metrics


def predict(problem: Problem, state: CoTrainingState, images: Array) -> Array:
  """Logarithm of the two networks' mean probabilities, [B, C]."""
  logits_of = steps.predictor(problem.network)
  log_probs = jnp.stack(
    [jax.nn.log_softmax(logits_of(learner, images)) for learner in state]
  )
  return jax.nn.logsumexp(log_probs, axis=0) - jnp.log(2.0)


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
  one = network_labels.shapes(spec.num_examples)
  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams={
      "train": rounds.stream(lambda state: state.first.known),
      "second": rounds.stream(lambda state: state.second.known),
    },
    init=partial(init_state, problem),
    updates={"update": partial(update, problem)},
    predict=partial(predict, problem),
    needs_unlabelled=True,
    prepare=Prepare((one, one), partial(label_pool, problem)),
  )
  return rounds.stages(stage, config.pseudo_labels.rounds)
