"""DeepCluster: a network learns the clusters of its own features, in turns.

Caron, Bojanowski, Joulin & Douze 2018, "Deep Clustering for Unsupervised
Learning of Visual Features" (arXiv:1807.05520). Each turn is a stage: before it
the features of all images are clustered, in it a new last layer and the network
learn the clusters. No label is used.

Note: the paper's Sobel filter and its crops are left out; images are augmented
as the config says.
"""

import types
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaaux import kmeans, losses, models
from metaaux.errors import UserError
from metaaux.methods import optim, steps
from metaaux.methods.embeddings import clusters as clusters_lib
from metaaux.methods.embeddings import pca
from metaaux.methods.embeddings.clusters import Clusters
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import ModelOptions
from metaaux.partitions import _report as partition_report
from metaaux.stage import (
  Array,
  Batch,
  Batches,
  Key,
  Metrics,
  PoolView,
  Prepare,
  Spec,
  Stage,
  StreamSpec,
)

Tree = Any

_LEARNING_RATE = 0.05
_MOMENTUM = 0.9
_WEIGHT_DECAY = 1e-5
_HEAD_DEVIATION = 0.01
_KMEANS_STEPS = 20
_DIM = 256
_HEAD = "features"


class ClusterState(NamedTuple):
  """The network, its new last layer, and the clusters that they learn.

  `params` and `optimizer` are pairs: of the network, of the last layer.
  """

  params: tuple[Tree, Tree]
  stats: Tree
  optimizer: tuple[Tree, Tree]
  clusters: Clusters


def make(config: Any, axis_name: str | None = None) -> models.Network:
  """The network; what its only head gives are the features, before a ReLU.

  Args:
    config: `model`, without dropout here, and `embedding.features`, the number
      of features.
    axis_name: devices over which batch statistics are averaged, or None.
  """
  options = ModelOptions.of(config.model)._replace(
    decoder="hidden", hidden=0, dropout=0.0, block_dropout=0.0
  )
  heads = {_HEAD: config.embedding.features}
  return models.make(options, heads, axis_name=axis_name)


def encode(network: models.Network, state: Any, images: Array) -> Array:
  """Features [B, f] of normalised images, in evaluation mode."""
  logits, _ = network.apply(state.params[0], state.stats, images, train=False)
  return logits[_HEAD]


def whitened(features_NxF: np.ndarray, dim: int) -> np.ndarray:
  """Features as they are clustered: whitened components, rows of length 1.

  Args:
    features_NxF: float [n, f].
    dim: components; 0: 256.

  Returns:
    float32 [n, min(dim, rank)].
  """
  return pca.unit_rows(pca.pca(features_NxF, dim or _DIM, whiten=True))


def num_clusters(config: Any, spec: Spec) -> int:
  """k; with `embedding.clusters` 0 one for 20 images, but at most 500."""
  default = max(2, min(500, spec.num_examples // 20))
  return config.embedding.clusters or default


def make_stages(
  config: Any, spec: Spec, images: str, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """One stage for each turn.

  Metrics: `loss`, `accuracy` on the clusters, `gradient_norm`. Reports: sizes
  of the clusters, their agreement with the labels and with the clusters of the
  turn before.

  Args:
    config: `embedding` (`epochs`: number of turns; `num_steps`: of all turns
      together, 0: one pass over the pool in each; `batch_size`,
      `learning_rate`, 0: 0.05; `clusters`, `features`, `dim`), `model`,
      `sync_batch_norm`.
    spec: the problem.
    images: that it learns from: "all" or "train", the labelled ones.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: there are fewer steps than turns.
  """
  options = config.embedding
  epoch = max(1, spec.num_examples // options.batch_size)
  total, turns = options.num_steps or epoch * options.epochs, options.epochs
  if total < turns:
    raise UserError(
      f"embedding.num_steps={total} is below embedding.epochs={turns}, the "
      "number of clusterings between which they are divided; raise it"
    )
  ends = [total * turn // turns for turn in range(turns + 1)]
  network = make(config, axis_name if config.sync_batch_norm else None)
  optimizer = _optimizer(options.learning_rate or _LEARNING_RATE, total)
  k = num_clusters(config, spec)
  # Otherwise large clusters would grow until they hold everything.
  stream = StreamSpec(
    images,
    augment=True,
    batch_size=options.batch_size,
    draw=_draw,
    size_key="embedding.batch_size",
  )
  streams = {"train": stream}
  updates = {"update": partial(_update, network, optimizer, axis_name)}
  return tuple(
    Stage(
      name=f"embed_{turn + 1}",
      num_steps=ends[turn + 1] - ends[turn],
      streams=streams,
      init=partial(_init, optimizer, options.features, k),
      updates=updates,
      predict=None,
      prepare=_prepare(config, spec, images, network, k, turn),
      program="embed",
    )
    for turn in range(turns)
  )


def _prepare(
  config: Any,
  spec: Spec,
  images: str,
  network: models.Network,
  k: int,
  turn: int,
) -> Prepare:
  """Clusters before a turn and, before the first, the network as well."""
  one = jax.ShapeDtypeStruct((1, *spec.image_shape), jnp.float32)
  start = None
  if turn == 0:
    start = jax.eval_shape(network.init, jax.random.key(0), one)

  def compute(pool: PoolView) -> Any:
    made, state = None, None
    if turn == 0:
      key = jax.random.fold_in(pool.key, 1)
      made = network.init(key, jnp.zeros(one.shape))
      state = types.SimpleNamespace(params=(made[0], None), stats=made[1])
      made = jax.tree.map(np.asarray, made)
    return made, _cluster(config, pool, images, network, state, k, turn)

  shapes = clusters_lib.shapes(spec.num_examples, k)
  return Prepare((start, shapes), compute)


def _cluster(
  config: Any,
  pool: PoolView,
  images: str,
  network: models.Network,
  state: Any,
  k: int,
  turn: int,
) -> Clusters:
  features = pool.map(
    lambda previous, batch: encode(network, state or previous, batch)
  )
  count = len(features)
  where = pool.train if images == "train" else np.arange(count)
  if k > len(where):
    which = "images" if len(where) == count else "labelled images"
    raise UserError(
      f"embedding.clusters: {k} clusters of {len(where)} {which} are too many; "
      f"set it to 2 to {len(where)}"
    )
  vectors = whitened(features[where], config.embedding.dim)
  result = kmeans.kmeans(
    jax.random.fold_in(pool.key, 2), vectors, k, num_iters=_KMEANS_STEPS
  )
  clusters = clusters_lib.arranged(
    np.asarray(result.assignments), where, count, k
  )
  rows = clusters.assignments[None, :]
  content = partition_report.report(
    rows, pool.primary, pool.train, num_classes=k
  )
  if turn:
    # As the paper follows its training: do the clusters settle?
    before = np.asarray(pool.previous.clusters.assignments)[None, :]
    pair = partition_report.report(np.concatenate([rows, before]))
    content["previous"] = pair["between"]
  pool.report(f"clusters_{turn + 1}", content)
  return clusters


def _init(
  optimizer: optim.Optimizer,
  num_features: int,
  k: int,
  key: Key,
  batch: Batch,
  given: tuple[ClusterState | None, tuple[Tree, Clusters]],
) -> ClusterState:
  """The network goes on; the last layer and its optimiser begin anew."""
  del batch
  previous, (start, clusters) = given
  kernel = _HEAD_DEVIATION * jax.random.normal(key, (num_features, k))
  head = {"kernel": kernel, "bias": jnp.zeros(k)}
  params, stats = start if previous is None else _network_of(previous)
  both = (params, head)
  momentum = optimizer.init(both)
  if previous is not None:
    momentum = (previous.optimizer[0], momentum[1])
  return ClusterState(both, stats, momentum, clusters)


def _network_of(state: ClusterState) -> tuple[Tree, Tree]:
  return state.params[0], state.stats


def _draw(state: ClusterState, key: Key, batch_size: int) -> Array:
  return clusters_lib.draw(state.clusters, key, batch_size)


def _update(
  network: models.Network,
  optimizer: optim.Optimizer,
  axis_name: str | None,
  state: ClusterState,
  batches: Batches,
  key: Key,
  step: Array,
) -> tuple[ClusterState, Metrics]:
  """One step on the clusters as labels."""
  del key
  batch = batches["train"]
  label_B = state.clusters.assignments[batch["index"]]

  def loss(params: tuple[Tree, Tree], stats: Tree) -> tuple[Array, Any]:
    trunk, head = params
    found, stats = network.apply(trunk, stats, batch["image"], train=True)
    active_BxF = jax.nn.relu(found[_HEAD])
    logits_BxK = active_BxF @ head["kernel"] + head["bias"][None, :]
    value = losses.softmax_cross_entropy(logits_BxK, label_B).mean()
    hits = jnp.mean(logits_BxK.argmax(axis=-1) == label_B)
    return value, (stats, {"accuracy": hits})

  *new, metrics = steps.descend(loss, optimizer, *state[:3], step, axis_name)
  return ClusterState(*new, state.clusters), metrics


def _optimizer(learning_rate: float, num_steps: int) -> optim.Optimizer:
  """SGD for pairs, with momentum for the first part alone (their code)."""
  options = OptimizerOptions("sgd", learning_rate, weight_decay=_WEIGHT_DECAY)
  return optim.pair(
    optim.make(options._replace(momentum=_MOMENTUM), num_steps),
    optim.make(options, num_steps),
  )
