"""The two networks of MAXL and the losses that train them.

Liu, Davison & Johns 2019. theta1 is the evaluator (`params`), theta2 the label
generator (`meta_params`); they share nothing.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux import losses, models, parallel
from metaaux.methods import optim, steps
from metaaux.methods.maxl import label_gradient
from metaaux.models import ModelOptions
from metaaux.stage import Array, Batch, Key, Metrics, Spec

Tree = Any


class Maxl(NamedTuple):
  """What does not change during training."""

  config: Any
  psi: tuple[int, ...]
  entropy_weight: float
  evaluator: models.Network
  generator: models.Network
  optimizer: optim.Optimizer
  meta_optimizer: optim.Optimizer
  axis_name: str | None


class MaxlState(NamedTuple):
  """Evaluator, generator and their optimisers.

  `meta_initial` is where the generator started, to log how far it has moved;
  `mean_label_K` is a running mean of the generated labels.
  """

  params: Tree
  stats: Tree
  optimizer: Tree
  meta_params: Tree
  meta_stats: Tree
  meta_optimizer: Tree
  meta_initial: Tree
  mean_label_K: Array


def label_generator(
  config: Any, spec: Spec, axis_name: str | None
) -> models.Network:
  """The generator's network; arguments as of `models.make`."""
  return models.make(
    ModelOptions.of(config.model),
    {"auxiliary": spec.num_auxiliary},
    kernel_init="glorot_normal",
    axis_name=axis_name,
  )


def initial_generator(
  generator: models.Network, key: Key, images: Array
) -> tuple[Tree, Tree]:
  """Its parameters and statistics; `key` is the one of the evaluator."""
  return generator.init(jax.random.fold_in(key, 1), images)


def labels(
  generator: models.Network,
  psi: tuple[int, ...],
  meta_params: Tree,
  meta_stats: Tree,
  batch: Batch,
) -> Array:
  """Soft auxiliary labels [B, K], zero outside the block of the primary class.

  The generator always normalises by the batch's statistics, as the official
  code does.
  """
  logits, _ = generator.apply(
    meta_params, meta_stats, batch["image"], train=True
  )
  mask_BxK = losses.class_mask(batch["primary"], psi)
  return losses.masked_softmax(logits["auxiliary"], mask_BxK)


def generate(
  maxl: Maxl, state: MaxlState, meta_params: Tree, batch: Batch
) -> Array:
  """The `labels` of a state's batch, as a function of theta2."""
  return labels(maxl.generator, maxl.psi, meta_params, state.meta_stats, batch)


def train_loss(
  maxl: Maxl, params: Tree, stats: Tree, batch: Batch, labels_BxK: Array
) -> tuple[Array, tuple[Tree, Metrics]]:
  """L_train (eq. 1), with the new running statistics and both terms."""
  return steps.joint_loss(
    maxl.evaluator,
    params,
    stats,
    batch,
    labels_BxK,
    gamma=maxl.config.gamma,
    weight=maxl.config.auxiliary_weight,
  )


def primary_loss(maxl: Maxl, params: Tree, stats: Tree, batch: Batch) -> Array:
  """The primary term alone; the auxiliary task is only a means to it."""
  value, _ = steps.primary_loss(
    maxl.evaluator, params, stats, batch, gamma=maxl.config.gamma
  )
  return value


def entropy_loss(maxl: Maxl, labels_BxK: Array, running_K: Array) -> Array:
  """lambda H (eq. 4): negative entropy of the mean label of all devices."""
  mean_K = parallel.pmean(labels_BxK.mean(0), maxl.axis_name)
  if maxl.config.maxl.entropy_mean == "batch":
    return maxl.entropy_weight * losses.negative_entropy(mean_K)
  # The running mean decides the slope, the batch carries the gradient.
  positive = running_K > 0
  log_K = jnp.where(positive, jnp.log(jnp.where(positive, running_K, 1)), 0)
  return maxl.entropy_weight * (jnp.sum((1 + log_K) * mean_K) - 1)


def through_labels(
  maxl: Maxl, state: MaxlState, batch: Batch
) -> label_gradient.Parts:
  """The parts of L_train that the closed form of its hypergradient needs."""

  def table(params: Tree) -> Array:
    logits, _ = maxl.evaluator.apply(
      params, state.stats, batch["image"], train=True
    )
    weight = maxl.config.auxiliary_weight
    return weight * losses.focal_table(logits["auxiliary"], maxl.config.gamma)

  return label_gradient.Parts(
    generate=lambda m: generate(maxl, state, m, batch),
    train_loss=lambda p, y: train_loss(maxl, p, state.stats, batch, y)[0],
    table=table,
  )
