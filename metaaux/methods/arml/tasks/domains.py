"""A few labels of a target domain, and whole source domains as the tasks.

The PACS experiment of Shi et al. 2020. All domains share one head, so that the
weights look at the layers below it alone. Target and sources pass the network
together: batch norm sees all domains in one batch. Where the target is not
trained on (`primary_weight=0`), it passes alone and leaves no trace in the
running statistics, so that with fixed weights the target changes nothing.

With method "fada" a pair discriminator makes the domains alike (Motiian et al.
2017, "Few-Shot Adversarial Domain Adaptation"): it tells four groups of pairs
apart, same or different class within the sources or across to the target, and
the features are trained to pass pairs across for pairs within.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux import losses, models
from metaaux.errors import UserError
from metaaux.methods import example_keys
from metaaux.methods.task_set import Losses, TaskSet, predictor
from metaaux.models import ModelOptions
from metaaux.stage import Array, Batch, Batches, Key, Spec, StreamSpec

Tree = Any

_PAIRS = "head_pairs"  # a head, since no weighting looks at it
# Of a pair: same class within the sources, same across, different within,
# different across.
_GROUPS = 4


class Problem(NamedTuple):
  """What does not change while training."""

  config: Any
  spec: Spec
  network: models.Network
  adversarial: bool

  @property
  def streams(self) -> tuple[str, ...]:
    """Of the source domains, in the order of their names."""
    return tuple(f"domain_{k}" for k in range(len(self.spec.domain_names)))


def make(config: Any, spec: Spec, *, axis_name: str | None = None) -> TaskSet:
  """A classification loss of each source domain.

  Args:
    config: `domains`, `method`, `model`, `gamma`, `sync_batch_norm`.
    spec: the problem, with `domain_names`.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: the data has no target domain; or, with `fada`, one source, or
      batches of two sizes, whose images cannot be paired.
  """
  if not spec.domain_names:
    raise UserError(
      "setting='domains' needs a target domain; set config.target_domain to a "
      "domain of the data"
    )
  adversarial, size = config.method == "fada", config.domains.batch_size
  if adversarial and len(spec.domain_names) < 2:
    raise UserError(
      "method='fada' pairs images of two source domains, and the data has "
      f"{spec.domain_names[0]} alone; use method='arml'"
    )
  if adversarial and size not in (0, config.batch_size):
    raise UserError(
      f"domains.batch_size={size}: method='fada' pairs the target's and the "
      f"sources' images, so that it must be "
      f"batch_size={config.batch_size}, or 0"
    )
  network = models.make(
    ModelOptions.of(config.model),
    {"primary": spec.num_primary, "features": 0},
    axis_name=axis_name if config.sync_batch_norm else None,
  )
  problem = Problem(config, spec, network, adversarial)
  return TaskSet(
    names=spec.domain_names,
    streams={
      "train": StreamSpec(split="train", augment=True),
      **{
        name: StreamSpec(
          split=name,
          augment=True,
          batch_size=size,
          size_key="domains.batch_size",
        )
        for name in problem.streams
      },
    },
    init=partial(init, problem),
    losses=partial(all_losses, problem),
    predict=predictor(network),
  )


def init(problem: Problem, key: Key, batch: Batch) -> tuple[Tree, Tree, Tree]:
  """Random weights, of the discriminator too."""
  params, stats = problem.network.init(key, batch["image"])
  if not problem.adversarial:
    return params, stats, ()
  found = jax.eval_shape(
    lambda: problem.network.apply(params, stats, batch["image"], train=False)
  )
  width = found[0]["features"].shape[-1]
  hidden = problem.config.domains.hidden
  draw = jax.nn.initializers.glorot_uniform()
  first, second = (jax.random.fold_in(key, i) for i in (1, 2))
  pairs = {
    "first": draw(first, (2 * width, hidden)),
    "first_bias": jnp.zeros(hidden),
    "second": draw(second, (hidden, _GROUPS)),
    "second_bias": jnp.zeros(_GROUPS),
  }
  return {**params, _PAIRS: pairs}, stats, ()


def all_losses(
  problem: Problem,
  params: Tree,
  stats: Tree,
  extra: Tree,
  batches: Batches,
  key: Key,
) -> Losses:
  """The loss on the target's few labels and on each source."""
  del extra
  parts = [batches[name] for name in ("train", *problem.streams)]
  outputs, stats = _apply(problem, params, stats, parts, key)
  labels = [part["primary"] for part in parts]
  target, *sources = (
    losses.focal_loss(logits_BxC, label, problem.config.gamma).mean()
    for logits_BxC, label in zip(outputs["primary"], labels, strict=True)
  )
  hits = outputs["primary"][0].argmax(-1) == labels[0]
  metrics, other = {"accuracy": jnp.mean(hits)}, 0.0
  if problem.adversarial:
    told, confused = pair_losses(
      params[_PAIRS], outputs["features"], labels, problem.spec.num_primary
    )
    weight = problem.config.domains.adversarial_weight
    # Without its weight, the features' gradient is that of joint training.
    other = told + weight * confused if weight else told
    metrics |= {"pair_loss": told, "confusion_loss": confused}
  return Losses(target, jnp.stack(sources), stats, metrics, other)


def _apply(
  problem: Problem,
  params: Tree,
  stats: Tree,
  parts: list[Batch],
  key: Key,
) -> tuple[dict[str, list[Array]], Tree]:
  """Logits and features of each part, the target first, and new statistics."""
  own = {name: x for name, x in params.items() if name != _PAIRS}

  def together(parts: list[Batch]) -> tuple[dict[str, list[Array]], Tree]:
    keys = jnp.concatenate(
      [example_keys.example_keys(key, part) for part in parts]
    )
    images = jnp.concatenate([part["image"] for part in parts])
    found, new = problem.network.apply(own, stats, images, train=True, key=keys)
    sizes = [len(part["primary"]) for part in parts]
    ends = [sum(sizes[:i]) for i in range(1, len(sizes))]
    return {name: jnp.split(x, ends) for name, x in found.items()}, new

  if problem.config.primary_weight:
    return together(parts)
  target, _ = together(parts[:1])
  sources, new = together(parts[1:])
  return {name: [*target[name], *sources[name]] for name in target}, new


def pair_losses(
  pairs: Tree, features: list[Array], labels: list[Array], num_classes: int
) -> tuple[Array, Array]:
  """What the discriminator descends on, and what the features do.

  The i-th image of a source is paired with the i-th of the next source and with
  the i-th of the target, so that pairs do not depend on the device. Pairs of
  one class are rarer by C - 1 and count as much more.

  Args:
    pairs: the discriminator.
    features: [B, D] of the target and of each source.
    labels: int [B] likewise.
    num_classes: C.

  Returns:
    Cross-entropy of the four groups, which reaches the discriminator alone; and
    that of pairs across taken for pairs within, which reaches the features
    alone.
  """
  target, *sources = zip(features, labels, strict=True)
  firsts, seconds, groups, weights = [], [], [], []
  for k, (source, label) in enumerate(sources):
    following = sources[(k + 1) % len(sources)]
    for across, (other, other_label) in enumerate((following, target)):
      same = label == other_label
      firsts.append(source)
      seconds.append(other)
      groups.append(jnp.where(same, 0, 2) + across)
      weights.append(jnp.where(same, num_classes - 1.0, 1.0))
  both = jnp.concatenate(
    [jnp.concatenate(firsts), jnp.concatenate(seconds)], axis=1
  )
  group, weight = jnp.concatenate(groups), jnp.concatenate(weights)
  stop = jax.lax.stop_gradient
  told = losses.softmax_cross_entropy(discriminate(pairs, stop(both)), group)
  across = group % 2
  confused = losses.softmax_cross_entropy(
    discriminate(jax.tree.map(stop, pairs), both), group - across
  )
  # Twice, since half of all pairs are across.
  return (weight * told).mean(), 2 * (weight * across * confused).mean()


def discriminate(pairs: Tree, both_Bx2D: Array) -> Array:
  """Logits of the four groups, [B, 4]: two dense layers."""
  hidden = both_Bx2D @ pairs["first"] + pairs["first_bias"][None]
  hidden = jax.nn.relu(hidden)
  return hidden @ pairs["second"] + pairs["second_bias"][None]
