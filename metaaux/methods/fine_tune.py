"""Fine-tuning: the embedding's encoder learns the primary task.

A baseline of Gui et al. 2020, who leave the head open: here one linear layer on
the flattened latent, with dropout between the two if the config has any. All
weights are trained, on the labelled images alone.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux import losses, models
from metaaux.methods import embeddings, example_keys, optim, steps
from metaaux.methods.embeddings import encoders
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import layers
from metaaux.stage import (
  Array,
  Batch,
  Batches,
  Key,
  Metrics,
  Spec,
  Stage,
  State,
  StreamSpec,
)


class FineTuneState(NamedTuple):
  """`params` has the encoder and the head."""

  params: Any
  optimizer: Any


class Problem(NamedTuple):
  """What does not change while training."""

  encoder: encoders.Encoder
  optimizer: optim.Optimizer
  gamma: float
  dropout: float
  num_classes: int
  axis_name: str | None


def logits(
  problem: Problem, params: Any, images: Array, keys_B: Key | None = None
) -> Array:
  """Primary logits [B, C]; dropout of the features where there are keys."""
  features_BxD = problem.encoder.apply(params["encoder"], images)
  features_BxD = layers.dropout(features_BxD, problem.dropout, keys_B, 0)
  return features_BxD @ params["kernel"] + params["bias"][None, :]


def init_state(
  problem: Problem, key: Key, batch: Batch, previous: State
) -> FineTuneState:
  """The trained encoder and a random head, LeCun normal."""
  tree = problem.encoder.params_of(previous)
  features_BxD = problem.encoder.apply(tree, batch["image"])
  shape = features_BxD.shape[1], problem.num_classes
  params = {
    "encoder": tree,
    "kernel": jax.nn.initializers.lecun_normal()(key, shape),
    "bias": jnp.zeros(problem.num_classes),
  }
  return FineTuneState(params, problem.optimizer.init(params))


def update(
  problem: Problem,
  state: FineTuneState,
  batches: Batches,
  key: Key,
  step: Array,
) -> tuple[FineTuneState, Metrics]:
  """One step of encoder and head on the primary loss."""
  batch = batches["train"]
  keys_B = example_keys.example_keys(key, batch)

  def loss(params: Any, stats: Any) -> tuple[Array, tuple[Any, Metrics]]:
    found = logits(problem, params, batch["image"], keys_B)
    hits = found.argmax(-1) == batch["primary"]
    value = losses.focal_loss(found, batch["primary"], problem.gamma).mean()
    return value, (stats, {"accuracy": jnp.mean(hits)})

  params, _, optimizer, metrics = steps.descend(
    loss,
    problem.optimizer,
    state.params,
    {},
    state.optimizer,
    step,
    problem.axis_name,
  )
  return FineTuneState(params, optimizer), metrics


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """Stages that train the embedding, then the one that tunes it.

  Args:
    config: `embedding`, `partition.images`, `optimizer`, `gamma`,
      `model.dropout`, `num_steps`.
    spec: the problem.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: the embedding is not a trained network, or `model.block_dropout`
      is set, whose blocks the encoder lacks.
  """
  models.refuse_dropout(config, "block_dropout")
  problem = Problem(
    encoders.make(config, spec),
    optim.make(OptimizerOptions.of(config.optimizer), config.num_steps),
    config.gamma,
    config.model.dropout,
    spec.num_primary,
    axis_name,
  )
  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams={"train": StreamSpec(split="train", augment=True)},
    init=partial(init_state, problem),
    updates={"update": partial(update, problem)},
    predict=lambda state, images: logits(problem, state.params, images),
  )
  images = config.partition.images
  return (*embeddings.stages(config, spec, images, axis_name), stage)
