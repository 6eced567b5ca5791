"""One binary attribute with few labels, the others known of all images.

The CelebA experiment of Shi et al. 2020. A step takes B images whose primary
label is known and B of the whole pool, and passes all 2 B through the network
once; every other attribute is an auxiliary task on all of them. All tasks are
sigmoid cross-entropies of one linear logit each, so that the heads of the K
auxiliary ones are the columns of one layer.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux import losses, models, parallel
from metaaux.errors import UserError
from metaaux.methods import example_keys
from metaaux.methods.task_set import Losses, TaskSet
from metaaux.models import ModelOptions
from metaaux.stage import Array, Batch, Batches, Key, Spec, StreamSpec

Tree = Any

# What the key of a step is folded with, apart from what methods fold it with.
_FIRST_KEY = 11


class Problem(NamedTuple):
  """What does not change while training."""

  config: Any
  network: models.Network
  axis_name: str | None


def make(config: Any, spec: Spec, *, axis_name: str | None = None) -> TaskSet:
  """A task for each attribute beside the primary one.

  Args:
    config: `model`, `gamma` (of the primary loss; 0 is sigmoid cross-entropy),
      `sync_batch_norm`.
    spec: the problem.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: the problem has no attributes, or no binary primary task.
  """
  count = len(spec.attribute_names)
  if not count or spec.num_primary != 2:
    raise UserError(
      f"setting='attributes' needs a primary attribute and others; the primary "
      f"task has {spec.num_primary} classes and there are {count} other "
      "attributes: set config.attributes to label levels, config.primary to "
      "one of their attributes"
    )
  network = models.make(
    ModelOptions.of(config.model),
    {"primary": 1, "attributes": count},
    axis_name=axis_name if config.sync_batch_norm else None,
  )
  problem = Problem(config, network, axis_name)
  return TaskSet(
    names=spec.attribute_names,
    streams={
      "train": StreamSpec(split="train", augment=True),
      "pool": StreamSpec(split="all", augment=True),
    },
    init=partial(init, problem),
    losses=partial(all_losses, problem),
    predict=partial(predict, problem),
    attributes=partial(attributes, problem),
  )


def init(problem: Problem, key: Key, batch: Batch) -> tuple[Tree, Tree, tuple]:
  """Random weights; nothing is without a gradient."""
  return *problem.network.init(key, batch["image"]), ()


def predict(
  problem: Problem, params: Tree, stats: Tree, images: Array
) -> Array:
  """Logits 0 and z of "without" and "with": [B, 2]."""
  logits, _ = problem.network.apply(params, stats, images, train=False)
  return two_logits(logits["primary"])


def attributes(
  problem: Problem, params: Tree, stats: Tree, images: Array
) -> Array:
  """Logits of the other attributes, [B, K]."""
  logits, _ = problem.network.apply(params, stats, images, train=False)
  return logits["attributes"]


def two_logits(logit_Bx1: Array) -> Array:
  """[0, z], whose softmax is the sigmoid of z: [B, 2]."""
  return jnp.concatenate([jnp.zeros_like(logit_Bx1), logit_Bx1], axis=-1)


def all_losses(
  problem: Problem,
  params: Tree,
  stats: Tree,
  extra: tuple,
  batches: Batches,
  key: Key,
) -> Losses:
  """The primary loss on the labelled half, the others on all images."""
  del extra
  halves = batches["train"], batches["pool"]
  images, labels = (
    jnp.concatenate([half[name] for half in halves])
    for name in ("image", "attributes")
  )
  keys = example_keys.keys_of_parts(key, halves, _FIRST_KEY)
  logits, stats = problem.network.apply(
    params, stats, images, train=True, key=keys
  )
  primary = batches["train"]["primary"]
  found = two_logits(logits["primary"][: len(primary)])
  loss = losses.focal_loss(found, primary, problem.config.gamma).mean()
  auxiliary = attribute_losses(logits["attributes"], labels, problem.axis_name)
  metrics = {"accuracy": jnp.mean(found.argmax(-1) == primary)}
  return Losses(loss, auxiliary, stats, metrics)


def attribute_losses(
  logits_BxK: Array, labels_BxK: Array, axis_name: str | None
) -> Array:
  """Sigmoid cross-entropy of each attribute, on this device's images.

  Args:
    logits_BxK: floats.
    labels_BxK: int, 1 with, 0 without, any other unknown.
    axis_name: devices that share the batch, or None.

  Returns:
    [K] in nats, whose average over devices is the mean over all images that
    carry the label; 0 where none does.
  """
  known_BxK = (labels_BxK == 0) | (labels_BxK == 1)
  present_BxK = (labels_BxK == 1).astype(logits_BxK.dtype)
  each_BxK = jax.nn.softplus(logits_BxK) - present_BxK * logits_BxK
  total_K = jnp.sum(jnp.where(known_BxK, each_BxK, 0), axis=0)
  count_K = jnp.sum(known_BxK, axis=0).astype(logits_BxK.dtype)
  # Devices may hold different numbers of them.
  count_K = parallel.pmean(count_K, axis_name)
  some_K = count_K > 0
  return jnp.where(some_K, total_K / jnp.where(some_K, count_K, 1), 0)
