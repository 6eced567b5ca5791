"""Joint training of a primary and an auxiliary head on soft labels."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metaaux import losses, parallel
from metaaux.losses import groups
from metaaux.methods import optim
from metaaux.methods.example_keys import example_keys
from metaaux.models import Network

Array = jax.Array
Tree = Any
Batch = Mapping[str, Array]
Metrics = Mapping[str, Array]


def joint_loss(
  network: Network,
  params: Tree,
  stats: Tree,
  batch: Batch,
  labels_BxK: Array | None,
  *,
  gamma: float,
  weight: float,
  key: Array | None = None,
  group_of_class: Sequence[int] = (),
) -> tuple[Array, tuple[Tree, Metrics]]:
  """Focal loss of the primary task plus that of the auxiliary one.

  L_train of Liu, Davison & Johns 2019, eq. 1: both terms are means over the
  batch, and the auxiliary one is linear in the labels. Batch normalisation uses
  the batch's statistics.

  Args:
    network: with the head "primary" and, if there are labels, "auxiliary".
    params: of the network.
    stats: running statistics of the network.
    batch: `image` [B, H, W, C] and `primary` int [B].
    labels_BxK: soft auxiliary labels, or None for the primary term alone.
    gamma: focal exponent.
    weight: of the auxiliary term; the papers' is 1.
    key: of dropout; None: no dropout.
    group_of_class: see `groups.restrict`, of the primary head.

  Returns:
    The loss in nats, then the new running statistics and the terms:
    `primary_loss`, `auxiliary_loss` and the batch's `accuracy`.
  """
  logits, stats = network.apply(
    params,
    stats,
    batch["image"],
    train=True,
    key=example_keys(key, batch),
  )
  found = groups.restrict(logits["primary"], batch["primary"], group_of_class)
  primary = losses.focal_loss(found, batch["primary"], gamma).mean()
  hits = found.argmax(-1) == batch["primary"]
  metrics = {"primary_loss": primary, "accuracy": jnp.mean(hits)}
  if labels_BxK is None:
    return primary, (stats, metrics)
  auxiliary = losses.focal_loss(logits["auxiliary"], labels_BxK, gamma).mean()
  metrics["auxiliary_loss"] = auxiliary
  return primary + weight * auxiliary, (stats, metrics)


def descend(
  loss: Callable[[Tree, Tree], tuple[Array, tuple[Tree, Metrics]]],
  optimizer: optim.Optimizer,
  params: Tree,
  stats: Tree,
  optimizer_state: Tree,
  step: Array,
  axis_name: str | None,
) -> tuple[Tree, Tree, Tree, Metrics]:
  """One optimiser step on a loss with running statistics.

  Args:
    loss: (params, stats) -> (loss, (new stats, metrics)), on this device.
    optimizer: of the parameters.
    params: parameters.
    stats: running statistics.
    optimizer_state: of `optimizer`.
    step: int32 scalar that the learning rate is read at.
    axis_name: devices to average gradients, statistics and metrics over.

  Returns:
    New params, stats and optimiser state, and the metrics with `loss` and
    `gradient_norm`.
  """
  gradient = jax.value_and_grad(loss, has_aux=True)
  (value, (stats, metrics)), grads = gradient(params, stats)
  # Without synchronised batch normalisation the devices' statistics differ.
  grads, stats, metrics, value = parallel.pmean(
    (grads, stats, metrics, value), axis_name
  )
  params, optimizer_state = optimizer.update(
    grads, optimizer_state, params, step
  )
  norm = optax.tree.norm(grads)
  metrics = {**metrics, "loss": value, "gradient_norm": norm}
  return params, stats, optimizer_state, metrics


def predictor(network: Network) -> Callable[[Any, Array], Array]:
  """Primary logits by the running statistics of a state.

  Args:
    network: with the head "primary".

  Returns:
    (state with `params` and `stats`, images [B, H, W, C]) -> logits [B, C].
  """

  def predict(state: Any, images: Array) -> Array:
    logits, _ = network.apply(state.params, state.stats, images, train=False)
    return logits["primary"]

  return predict
