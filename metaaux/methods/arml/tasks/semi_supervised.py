"""Few labels and many images: rotation, exemplar, and a task without use.

The semi-supervised experiment of Shi et al. 2020. A step takes B labelled
images and B of the whole pool or of its unlabelled rest, whose labels it does
not see, and all 2 B make the auxiliary losses. The useless task, random labels
drawn once for each image, is a control: a weighting that works leaves it alone.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux import losses, models, parallel
from metaaux.methods import example_keys, views
from metaaux.methods import teacher as teacher_lib
from metaaux.methods.task_set import Losses, TaskSet, predictor
from metaaux.models import ModelOptions
from metaaux.stage import Array, Batch, Batches, Key, Spec, StreamSpec

Tree = Any

_HIGHEST_DECAY = 0.95
# The code of ARML takes the labelled mean over both halves of a batch, and half
# of each auxiliary loss (docs/register.md, "loss scale and rates").
_LOSS_SCALE = 0.5


class Extra(NamedTuple):
  """What no gradient reaches.

  Attributes:
    teacher: moving average of the parameters, () without the exemplar task.
    labels: int32 [n], of the useless task, or () without it.
  """

  teacher: Any
  labels: Any


class Problem(NamedTuple):
  """What does not change while training."""

  config: Any
  spec: Spec
  network: models.Network
  axis_name: str | None

  @property
  def names(self) -> tuple[str, ...]:
    """Of the auxiliary tasks, in their order."""
    return self.config.semi_supervised.tasks


def make(config: Any, spec: Spec, *, axis_name: str | None = None) -> TaskSet:
  """The tasks that `config.semi_supervised.tasks` names.

  Args:
    config: `semi_supervised`, `model`, `gamma`, `sync_batch_norm`.
    spec: the problem.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: the images cannot be rotated.
  """
  names = config.semi_supervised.tasks
  heads = {"primary": spec.num_primary, "features": 0}
  if "rotation" in names:
    views.check_square(spec.image_shape)
    heads["rotation"] = 4
  if "useless" in names:
    heads["useless"] = config.semi_supervised.useless_classes
  network = models.make(
    ModelOptions.of(config.model),
    heads,
    axis_name=axis_name if config.sync_batch_norm else None,
  )
  problem = Problem(config, spec, network, axis_name)
  return TaskSet(
    names=tuple(names),
    # A cosine is negative.
    shifts=tuple(float(name == "exemplar") for name in names),
    loss_scale=_LOSS_SCALE,
    streams={
      "train": StreamSpec(split="train", augment=True),
      "pool": StreamSpec(split=config.semi_supervised.pool, augment=True),
    },
    init=partial(init, problem),
    losses=partial(all_losses, problem),
    advance=partial(advance, problem),
    predict=predictor(network),  # the student
  )


def init(problem: Problem, key: Key, batch: Batch) -> tuple[Tree, Tree, Extra]:
  """Random weights, a teacher that is a copy of them, random labels."""
  params, stats = problem.network.init(key, batch["image"])
  teacher = teacher_lib.start(params) if "exemplar" in problem.names else ()
  labels = ()
  if "useless" in problem.names:
    labels = jax.random.randint(
      jax.random.fold_in(key, 1),
      (problem.spec.num_examples,),
      0,
      problem.config.semi_supervised.useless_classes,
      jnp.int32,
    )
  return params, stats, Extra(teacher, labels)


def advance(problem: Problem, extra: Extra, params: Tree) -> Extra:
  """The teacher follows."""
  if "exemplar" not in problem.names:
    return extra
  followed = teacher_lib.follow(extra.teacher, params, _HIGHEST_DECAY)
  return extra._replace(teacher=followed)


def all_losses(
  problem: Problem,
  params: Tree,
  stats: Tree,
  extra: Extra,
  batches: Batches,
  key: Key,
) -> Losses:
  """The primary loss on the labelled half, the others on all images."""
  train, pool = batches["train"], batches["pool"]
  images = jnp.concatenate([train["image"], pool["image"]])
  keys = example_keys.keys_of_parts(key, (train, pool))
  logits, new_stats = problem.network.apply(
    params, stats, images, train=True, key=example_keys.fold_keys(keys, 0)
  )
  found = logits["primary"][: len(train["image"])]
  primary = losses.focal_loss(found, train["primary"], problem.config.gamma)
  metrics = {"accuracy": jnp.mean(found.argmax(-1) == train["primary"])}
  auxiliary = {}
  if "useless" in problem.names:
    label = extra.labels[jnp.concatenate([train["index"], pool["index"]])]
    auxiliary["useless"] = losses.softmax_cross_entropy(
      logits["useless"], label
    ).mean()
  if "rotation" in problem.names:
    auxiliary["rotation"], new_stats, hits = rotation_loss(
      problem, params, new_stats, images, keys
    )
    metrics["rotation_accuracy"] = hits
  if "exemplar" in problem.names:
    auxiliary["exemplar"] = exemplar_loss(
      problem, params, new_stats, extra.teacher.params, images, keys
    )
  in_order = jnp.stack([auxiliary[name] for name in problem.names])
  return Losses(primary.mean(), in_order, new_stats, metrics)


def rotation_loss(
  problem: Problem, params: Tree, stats: Tree, images: Array, keys: Array
) -> tuple[Array, Tree, Array]:
  """Cross-entropy of four angles, new statistics, and the accuracy.

  Images are mirrored, if at all, before they are turned. With
  `flip_after_rotation`, as the code of ARML has it, two of the angles of a
  symmetric set of images look the same: no better than 75%.
  """
  turned = views.rotations(images)
  keys = jnp.concatenate([example_keys.fold_keys(keys, k) for k in range(1, 5)])
  if problem.config.semi_supervised.flip_after_rotation:
    turned = views.mirror(turned, example_keys.fold_keys(keys, 5))
  angle = jnp.repeat(
    jnp.arange(4), len(images), total_repeat_length=len(turned)
  )
  logits, stats = problem.network.apply(
    params, stats, turned, train=True, key=keys
  )
  loss = losses.softmax_cross_entropy(logits["rotation"], angle).mean()
  return loss, stats, jnp.mean(logits["rotation"].argmax(-1) == angle)


def exemplar_loss(
  problem: Problem,
  params: Tree,
  stats: Tree,
  teacher: Tree,
  images: Array,
  keys: Array,
) -> Array:
  """Minus the mean cosine of the teacher's and the student's features.

  The student sees the images mirrored, with noise and with a hole. Statistics
  of the student's pass are dropped; the teacher normalises by its own batch.

  Note: the code of ARML adds to the noise a multiple of the batch's mean
  pixel, which is left out here.
  """
  options = problem.config.semi_supervised
  wanted, _ = problem.network.apply(teacher, stats, images, train=True)
  wanted = jax.lax.stop_gradient(wanted["features"])
  seen = (
    views.mirror(images, example_keys.fold_keys(keys, 6))
    if options.flip
    else images
  )
  deviation = options.exemplar_noise * _range(images, problem.axis_name) / 2
  seen = views.add_noise(seen, example_keys.fold_keys(keys, 7), deviation)
  hole = images.shape[1] // 2, images.shape[2] // 2
  seen = views.cut_out(seen, example_keys.fold_keys(keys, 8), hole)
  found, _ = problem.network.apply(
    params, stats, seen, train=True, key=example_keys.fold_keys(keys, 9)
  )
  return -cosines(wanted, found["features"]).mean()


def cosines(a_BxD: Array, b_BxD: Array) -> Array:
  """Cosine of each pair of rows, 0 where one of them is (nearly) zero: [B]."""
  squares_B = (a_BxD**2).sum(-1) * (b_BxD**2).sum(-1)
  tiny_B = squares_B < 1e-24
  # The inner `where` keeps the infinite derivative at 0 out of the gradient.
  length_B = jnp.sqrt(jnp.where(tiny_B, 1, squares_B))
  return jnp.where(tiny_B, 0, (a_BxD * b_BxD).sum(-1) / length_B)


def _range(images: Array, axis_name: str | None) -> Array:
  """Largest minus smallest pixel of the batch, over all devices."""
  high, low = images.max(), images.min()
  return parallel.pmax(high, axis_name) + parallel.pmax(-low, axis_name)
