"""A primary task and K auxiliary ones, as pure loss functions of one network.

What a setting (`settings/`) gives and a method trains on: methods know losses
by their place and name alone, never what they are made of.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from metaaux import models, parallel
from metaaux.methods import optim
from metaaux.stage import Array, Batch, Batches, Key, Metrics, StreamSpec

Tree = Any


class Losses(NamedTuple):
  """All losses at one point, on one batch of every stream.

  Attributes:
    primary: L_m, a scalar: mean over the examples that have its label.
    auxiliary: L_1 .. L_K, [K], not weighted.
    stats: running statistics after this evaluation.
    metrics: scalars worth logging.
    other: scalar that training adds as it is and no weighting looks at, such
      as an adversarial term.
  """

  primary: Array
  auxiliary: Array
  stats: Tree
  metrics: Metrics
  other: Array | float = 0.0


class TaskSet(NamedTuple):
  """The tasks without their parameters.

  Attributes:
    names: of the K auxiliary tasks.
    shifts: what keeps each loss positive if it is added, () for zeros; 1 for a
      cosine in [-1, 1].
    loss_scale: factor of all losses, the primary one's too, in the published
      code of the setting; what that code adds to a loss, it adds after it.
    streams: the batches that `losses` receives. The labelled images of the
      primary task are in "train".
    init: (key, batch of the first stream) -> (params, stats, extra). Heads have
      their parameters under "head_NAME" (`models.is_head`), the rest is shared.
      `extra` is what no gradient reaches, such as a teacher; () if nothing.
    losses: (params, stats, extra, batches, key) -> Losses, on this device's
      part of the batches.
    advance: (extra, params) -> extra, after every step of the parameters.
    predict: (params, stats, images [B, H, W, C]) -> primary logits [B, C].
    attributes: (params, stats, images) -> logits [B, K] of binary auxiliary
      tasks; None where they are not binary attributes.
  """

  names: tuple[str, ...]
  streams: Mapping[str, StreamSpec]
  init: Callable[[Key, Batch], tuple[Tree, Tree, Tree]]
  losses: Callable[[Tree, Tree, Tree, Batches, Key], Losses]
  predict: Callable[[Tree, Tree, Array], Array]
  advance: Callable[[Tree, Tree], Tree] = lambda extra, params: extra
  attributes: Callable[[Tree, Tree, Array], Array] | None = None
  shifts: tuple[float, ...] = ()
  loss_scale: float = 1.0


def predictor(
  network: models.Network,
) -> Callable[[Tree, Tree, Array], Array]:
  """`TaskSet.predict` of a network with the head "primary"."""

  def predict(params: Tree, stats: Tree, images: Array) -> Array:
    logits, _ = network.apply(params, stats, images, train=False)
    return logits["primary"]

  return predict


def split(params: Tree) -> tuple[Tree, Tree]:
  """Shared parameters and those of the heads; `{**a, **b}` is the whole."""
  shared = models.trunk(params)
  heads = {name: x for name, x in params.items() if name not in shared}
  return shared, heads


def gradient(
  tasks: TaskSet,
  state: Any,
  batches: Batches,
  key: Key,
  weight_K: Array,
  *,
  primary_weight: float = 1.0,
  axis_name: str | None,
) -> tuple[Tree, Tree, Metrics]:
  """Gradient of the training loss, averaged over devices.

  U = primary_weight L_m + sum_k weight_k L_k + other.

  Args:
    tasks: the tasks.
    state: a NamedTuple with `params`, where the gradient is taken, `stats` and
      `extra`.
    batches: one of each stream.
    key: of dropout and of random augmentation inside the losses.
    weight_K: constant [K].
    primary_weight: 1, or 0 to train on the auxiliary tasks alone.
    axis_name: devices, or None.

  Returns:
    Gradient like the parameters, new statistics, and metrics with `loss`,
    `primary_loss`, `loss_NAME` of each task and `gradient_norm`.
  """
  weight_K = jax.lax.stop_gradient(weight_K)

  def total(params: Tree) -> tuple[Array, Losses]:
    found = tasks.losses(params, state.stats, state.extra, batches, key)
    weighted = (weight_K.astype(found.auxiliary.dtype) * found.auxiliary).sum()
    return primary_weight * found.primary + weighted + found.other, found

  (value, found), grads = jax.value_and_grad(total, has_aux=True)(state.params)
  grads, value, found = parallel.pmean((grads, value, found), axis_name)
  metrics = {
    **found.metrics,
    "loss": value,
    "primary_loss": found.primary,
    **{
      f"loss_{name}": found.auxiliary[k] for k, name in enumerate(tasks.names)
    },
    "gradient_norm": optax.tree.norm(grads),
  }
  return grads, found.stats, metrics


def descend(
  tasks: TaskSet,
  optimizer: optim.Optimizer,
  state: Any,
  batches: Batches,
  key: Key,
  step: Array,
  weight_K: Array,
  *,
  primary_weight: float = 1.0,
  axis_name: str | None,
) -> tuple[Any, Metrics]:
  """One step of all parameters on the training loss, see `gradient`.

  Args:
    tasks: the tasks.
    optimizer: of all parameters.
    state: as of `gradient`, with `optimizer` too.
    batches: one of each stream.
    key: as of `gradient`.
    step: int32 scalar that the learning rate is read at.
    weight_K: constant [K].
    primary_weight: as of `gradient`.
    axis_name: devices, or None.

  Returns:
    The state after the step, its `extra` advanced, and the metrics.
  """
  grads, stats, metrics = gradient(
    tasks,
    state,
    batches,
    key,
    weight_K,
    primary_weight=primary_weight,
    axis_name=axis_name,
  )
  params, optimizer_state = optimizer.update(
    grads, state.optimizer, state.params, step
  )
  state = state._replace(
    params=params,
    stats=stats,
    optimizer=optimizer_state,
    extra=tasks.advance(state.extra, params),
  )
  return state, metrics
