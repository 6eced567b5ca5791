"""Shared layers with a decoder for the main task and for each auxiliary one.

The network of Gui et al. 2020: F is shared, D_0 is of the main task and
D_1 .. D_T are of the auxiliary tasks, alike in shape and stacked.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux import losses, models
from metaaux.errors import UserError
from metaaux.methods import example_keys
from metaaux.models import ModelOptions
from metaaux.stage import Array, Batch, Batches, Key, Spec

Tree = Any

# Without running statistics, and with heads that can be stacked.
_NETWORKS = ("convnet", "mlp")


class Params(NamedTuple):
  """theta_F, theta_D0 and theta_D1 .. theta_DT (leaves lead with T)."""

  shared: Tree
  main: Tree
  auxiliary: Tree


class Decoders(NamedTuple):
  """The network without its parameters.

  Attributes:
    network: with the heads "primary" and "auxiliary".
    num_tasks: T.
    gamma: focal exponent of all losses; 0 is cross-entropy.
    axis_name: devices that share a batch, or None.
  """

  network: models.Network
  num_tasks: int
  gamma: float
  axis_name: str | None


def make(
  config: Any,
  spec: Spec,
  *,
  num_tasks: int,
  num_classes: int,
  axis_name: str | None,
) -> Decoders:
  """The network of a config.

  Args:
    config: `model` and `gamma`.
    spec: the problem.
    num_tasks: T, at least 1.
    num_classes: of each auxiliary task.
    axis_name: devices that share a batch, or None.

  Raises:
    UserError: the network has batch norm, whose statistics would be of other
      parameters than those that are tested.
  """
  if config.model.name not in _NETWORKS or config.model.batch_norm:
    raise UserError(
      f"method={config.method!r} needs model.name='convnet' without batch norm "
      f"(Gui et al. 2020 use none) or 'mlp', not {config.model.name!r} with "
      f"model.batch_norm={config.model.batch_norm}"
    )
  heads = {"primary": spec.num_primary, "auxiliary": num_classes}
  network = models.make(ModelOptions.of(config.model), heads)
  return Decoders(network, num_tasks, config.gamma, axis_name)


def init(net: Decoders, key: Key, images_BxHxWxC: Array) -> Params:
  """Random parameters; F and D_0 are those of a single-task network."""
  params, _ = net.network.init(key, images_BxHxWxC)

  def decoder(t: Array) -> Tree:
    other, _ = net.network.init(jax.random.fold_in(key, t), images_BxHxWxC)
    return other["head_auxiliary"]

  auxiliary = jax.lax.map(decoder, jnp.arange(1, net.num_tasks + 1))
  return Params(models.trunk(params), params["head_primary"], auxiliary)


def logits(
  net: Decoders, params: Params, batch: Batch, key: Key | None
) -> tuple[Array, Array]:
  """Logits of the main task [B, C] and of the auxiliary ones [T', B, k].

  Args:
    net: the network.
    params: with any number T' of auxiliary decoders.
    batch: `image` and, with a key, `index`.
    key: of dropout; None: evaluation mode.
  """
  keys_B = example_keys.example_keys(key, batch)

  def apply(auxiliary: Tree) -> tuple[Array, Array]:
    tree = {
      **params.shared,
      "head_primary": params.main,
      "head_auxiliary": auxiliary,
    }
    found, _ = net.network.apply(
      tree, {}, batch["image"], train=key is not None, key=keys_B
    )
    return found["primary"], found["auxiliary"]

  # Only the decoders are mapped over; the shared layers run once.
  return jax.vmap(apply, out_axes=(None, 0))(params.auxiliary)


def task(params: Params, t: Array) -> Params:
  """The parameters with auxiliary decoder t - 1 alone, for t = 1 .. T."""
  one = jax.tree.map(
    lambda x: jax.lax.dynamic_slice_in_dim(x, t - 1, 1), params.auxiliary
  )
  return params._replace(auxiliary=one)


def main_loss(
  net: Decoders, params: Params, batch: Batch, key: Key | None
) -> tuple[Array, Array]:
  """L_0: mean loss of the main task (nats), and its accuracy.

  Args:
    net: the network.
    params: the auxiliary decoders have no effect.
    batch: `image` and `primary`.
    key: of dropout; None: evaluation mode.
  """
  only = jax.tree.map(lambda x: x[:1], params.auxiliary)
  found_BxC, _ = logits(net, params._replace(auxiliary=only), batch, key)
  hits = found_BxC.argmax(-1) == batch["primary"]
  loss = losses.focal_loss(found_BxC, batch["primary"], net.gamma).mean()
  return loss, jnp.mean(hits)


def task_loss(
  net: Decoders,
  shared: Tree,
  params: Params,
  t: Array,
  batches: Batches,
  labels_TxN: Array,
  key: Key | None,
) -> Array:
  """L_t, where t = 0 is the main task on its own batch.

  Args:
    net: the network.
    shared: F, in place of `params.shared`.
    params: decoders.
    t: which task, int32 scalar in 0 .. T.
    batches: `inner` (main task) and `pool` (auxiliary tasks).
    labels_TxN: auxiliary labels of all examples.
    key: of dropout.
  """
  params = task(params._replace(shared=shared), jnp.maximum(t, 1))
  main, pool = batches["inner"], batches["pool"]
  label_B = labels_TxN[jnp.maximum(t, 1) - 1, pool["index"]]
  batch = {
    name: jnp.where(t == 0, main[name], pool[name])
    for name in ("image", "index")
  }
  main_logits, found_1xBxK = logits(net, params, batch, key)
  of_main = losses.focal_loss(main_logits, main["primary"], net.gamma).mean()
  of_task = losses.focal_loss(found_1xBxK[0], label_B, net.gamma).mean()
  return jnp.where(t == 0, of_main, of_task)


def auxiliary_losses(
  net: Decoders,
  params: Params,
  batch: Batch,
  labels_TxB: Array,
  key: Key | None,
) -> tuple[Array, Array]:
  """L_1 .. L_T on one batch of images, and their accuracies: both [T].

  Args:
    net: the network.
    params: with as many auxiliary decoders as there are rows of labels.
    batch: `image` and, with a key, `index`.
    labels_TxB: class ids of each task; negative: no label, left out.
    key: of dropout; None: evaluation mode.
  """
  _, found_TxBxK = logits(net, params, batch, key)
  known_TxB = labels_TxB >= 0
  count_T = jnp.maximum(known_TxB.sum(1), 1)
  loss_TxB = jax.vmap(
    lambda one, label: losses.focal_loss(one, label, net.gamma)
  )(found_TxBxK, jnp.maximum(labels_TxB, 0))
  hits_TxB = known_TxB & (found_TxBxK.argmax(-1) == labels_TxB)
  mean_T = jnp.where(known_TxB, loss_TxB, 0).sum(1) / count_T
  return mean_T, hits_TxB.sum(1) / count_T


def predict(net: Decoders, params: Params, images: Array) -> Array:
  """Main-task logits [B, C] of D_0(F(x)), without dropout."""
  only = jax.tree.map(lambda x: x[:1], params.auxiliary)
  params = params._replace(auxiliary=only)
  return logits(net, params, {"image": images}, None)[0]
