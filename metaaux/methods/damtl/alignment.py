"""Holding the hidden layers of a task near those of the auxiliary network.

Feng & Chen, eq. 3: the class-conditional MMD between the outputs of a dense
layer of both networks, summed over hidden layers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux.losses._cmmd import class_distances, cmmd
from metaaux.models import layered
from metaaux.models.layered import Staged

Array = jax.Array
Tree = Any


class Side(NamedTuple):
  """One of the two networks, on images and labels of its own.

  Attributes:
    params: of the network.
    inputs: O^0, O^1, ... of its dense layers, each [B, p].
    label_B: integer classes, in the numbering of both sides.
  """

  params: Tree
  inputs: Sequence[Array]
  label_B: Array


def auxiliary_side(
  net: Staged,
  auxiliary: Tree,
  task: Side,
  images: Array,
  big: Mapping[str, Array] | None,
  pairing: str,
) -> Side:
  """What a task is compared with.

  Args:
    net: sizes of both networks.
    auxiliary: parameters of the auxiliary network.
    task: the task's side.
    images: of the task.
    big: a batch of the big task, for "twosample".
    pairing: "crossfed": the auxiliary layers on the task's own inputs (eq. 3);
      "paired": the auxiliary network on the task's images; "twosample": on
      images of the big task.
  """
  if pairing == "crossfed":
    return Side(auxiliary, task.inputs, task.label_B)
  if pairing == "paired":
    return Side(auxiliary, _inputs(net, auxiliary, images), task.label_B)
  inputs = _inputs(net, auxiliary, big["image"])
  return Side(auxiliary, inputs, big["auxiliary"])


def discrepancy(
  net: Staged,
  auxiliary: Side,
  task: Side,
  num_classes: int,
  kernel: str,
  *,
  layer: str = "relu",
  axis_name: str | None = None,
) -> Array:
  """sum_h D_h over the hidden dense layers: a scalar.

  Args:
    net: sizes of both networks.
    auxiliary: of `auxiliary_side`.
    task: the task's side.
    num_classes: that the labels of both sides are below.
    kernel: "linear" or "rbf".
    layer: what is compared: "relu", the outputs; "affine", before the ReLU.
    axis_name: devices that hold equal parts of both batches.
  """
  return sum(
    cmmd(
      hidden(auxiliary, h, layer),
      auxiliary.label_B,
      hidden(task, h, layer),
      task.label_B,
      num_classes,
      kernel,
      axis_name=axis_name,
    )
    for h in range(net.num_dense - 1)
  )


def distances(
  net: Staged,
  auxiliary: Tree,
  params: Tree,
  images: Array,
  label_B: Array,
  num_classes: int,
  axis_name: str | None,
) -> Array:
  """How far both networks' last hidden features of the same images are apart.

  Returns:
    [C], the squared distance of the class means.
  """
  task = Side(params, _inputs(net, params, images), label_B)
  other = auxiliary_side(net, auxiliary, task, images, None, "paired")
  last = net.num_dense - 2
  return class_distances(
    hidden(other, last, "relu"),
    label_B,
    hidden(task, last, "relu"),
    label_B,
    num_classes,
    axis_name=axis_name,
  )


def without_gradient(side: Side) -> Side:
  """The side with constant inputs: only the dense layers feel the alignment."""
  return side._replace(inputs=jax.lax.stop_gradient(side.inputs))


def hidden(side: Side, h: int, layer: str) -> Array:
  """Output of hidden layer h of one side, [B, p]."""
  affine = layered.dense(side.params[f"dense_{h}"], side.inputs[h])
  return jax.nn.relu(affine) if layer == "relu" else affine


def _inputs(net: Staged, params: Tree, images: Array) -> Sequence[Array]:
  features = layered.features(net, params, jnp.asarray(images))
  return layered.classify(net, params, features)[1]
