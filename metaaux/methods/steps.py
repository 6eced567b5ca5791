"""Losses of a primary and an auxiliary head, and a step down a loss."""

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


def primary_loss(
  network: Network,
  params: Tree,
  stats: Tree,
  batch: Batch,
  *,
  gamma: float,
  key: Array | None = None,
  group_of_class: Sequence[int] = (),
) -> tuple[Array, tuple[Tree, Metrics]]:
  """Focal loss of the primary task, a mean over the batch.

  Args:
    network: with the head "primary".
    params: of the network.
    stats: running statistics of the network; batch normalisation uses those of
      the batch.
    batch: `image` [B, H, W, C] and `primary` int [B]; with a key, `index`.
    gamma: focal exponent.
    key: of dropout; None: no dropout.
    group_of_class: see `groups.restrict`.

  Returns:
    The loss in nats, then the new running statistics and the terms:
    `primary_loss` and the batch's `accuracy`.
  """
  logits, stats = _forward(network, params, stats, batch, key)
  value, terms = _primary_term(
    logits["primary"], batch["primary"], gamma, group_of_class
  )
  return value, (stats, terms)


def joint_loss(
  network: Network,
  params: Tree,
  stats: Tree,
  batch: Batch,
  labels_BxK: Array,
  *,
  gamma: float,
  weight: float,
  key: Array | None = None,
) -> tuple[Array, tuple[Tree, Metrics]]:
  """Focal loss of the primary task plus that of the auxiliary one.

  L_train of Liu, Davison & Johns 2019, eq. 1: both terms are means over the
  batch, and the auxiliary one is linear in the labels.

  Args:
    network: with the heads "primary" and "auxiliary".
    params: as for `primary_loss`.
    stats: likewise.
    batch: likewise.
    labels_BxK: soft auxiliary labels.
    gamma: focal exponent of both terms.
    weight: of the auxiliary term; the paper's is 1.
    key: of dropout; None: no dropout.

  Returns:
    As `primary_loss`, with the term `auxiliary_loss` too.
  """
  logits, stats = _forward(network, params, stats, batch, key)
  primary, terms = _primary_term(logits["primary"], batch["primary"], gamma, ())
  auxiliary = losses.focal_loss(logits["auxiliary"], labels_BxK, gamma).mean()
  terms["auxiliary_loss"] = auxiliary
  return primary + weight * auxiliary, (stats, terms)


def _forward(
  network: Network, params: Tree, stats: Tree, batch: Batch, key: Array | None
) -> tuple[Mapping[str, Array], Tree]:
  return network.apply(
    params, stats, batch["image"], train=True, key=example_keys(key, batch)
  )


def _primary_term(
  logits_BxC: Array,
  label_B: Array,
  gamma: float,
  group_of_class: Sequence[int],
) -> tuple[Array, dict[str, Array]]:
  found = groups.restrict(logits_BxC, label_B, group_of_class)
  value = losses.focal_loss(found, label_B, gamma).mean()
  accuracy = jnp.mean(found.argmax(-1) == label_B)
  return value, {"primary_loss": value, "accuracy": accuracy}


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
