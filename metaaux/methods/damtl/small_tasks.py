"""Several tasks with images and classes of their own: what methods share.

Each task has a stream task_j, a network of the same shape but for its logits,
and the loss alpha_j CE_j (Feng & Chen, eq. 5).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaaux import losses, models
from metaaux.errors import UserError
from metaaux.models import layered
from metaaux.models.layered import Staged
from metaaux.stage import Array, Batch, Batches, Key, Metrics, Spec, StreamSpec

Tree = Any


class Tasks(NamedTuple):
  """Classes of the tasks, which follow one another in the primary labels.

  Attributes:
    sizes: number of classes of each.
    offsets: first class of each.
    origins: of each task, the big task's classes that its own are.
  """

  sizes: tuple[int, ...]
  offsets: tuple[int, ...]
  origins: tuple[tuple[int, ...], ...]

  @property
  def names(self) -> tuple[str, ...]:
    """Of the splits and streams."""
    return tuple(f"task_{j}" for j in range(len(self.sizes)))


def find(config: Any, spec: Spec) -> Tasks:
  """The tasks of a problem.

  Args:
    config: `method`, for messages, and `model`.
    spec: the problem.

  Raises:
    UserError: the data has no tasks, or dropout is asked for.
  """
  models.refuse_dropout(config, "dropout", "block_dropout")
  if not spec.num_big:
    raise UserError(
      f"method={config.method!r} needs several tasks; set config.task_classes, "
      "such as 0-4,5-9"
    )
  sizes = tuple(np.bincount(spec.groups).tolist())
  offsets = tuple(np.cumsum((0, *sizes))[:-1].tolist())
  origins = tuple(
    spec.origins[first : first + size]
    for first, size in zip(offsets, sizes, strict=True)
  )
  return Tasks(sizes, offsets, origins)


def streams(tasks: Tasks, *, big: bool = False) -> Mapping[str, StreamSpec]:
  """A stream of each task, and of the big task too where it is wanted."""
  names = (*tasks.names, "big") if big else tasks.names
  return {name: StreamSpec(split=name, augment=True) for name in names}


def local_labels(tasks: Tasks, batch: Batch, task: int) -> Array:
  """Classes of a batch, counted within its task: [B]."""
  return batch["primary"] - tasks.offsets[task]


def random_labels(batch: Batch, num_classes: int) -> Array:
  """A class for each image that says nothing of it, the same whenever drawn."""
  key = jax.random.key(0)

  def draw(index: Array) -> Array:
    own = jax.random.fold_in(key, index)
    return jax.random.randint(own, (), 0, num_classes)

  return jax.vmap(draw)(batch["index"])


def cross_entropy(
  config: Any, logits: Array, label_B: Array
) -> tuple[Array, dict[str, Array]]:
  """CE_j as the objective has it, and what is logged of it.

  Args:
    config: `batch_size`, `damtl.reduction`.
    logits: [B, c_j] of this device's part of a batch.
    label_B: within the task.
  """
  mean = losses.softmax_cross_entropy(logits, label_B).mean()
  terms = {
    "primary_loss": mean,
    "accuracy": jnp.mean(logits.argmax(-1) == label_B),
  }
  # A sum over the whole batch, whatever part of it is on this device.
  scale = config.batch_size if config.damtl.reduction == "sum" else 1
  return scale * mean, terms


def weighted_sum(
  config: Any, found: Sequence[tuple[Array, Metrics]]
) -> tuple[Array, Metrics]:
  """alpha sum_j L_j, and the tasks' mean of what is logged."""
  values, terms = zip(*found, strict=True)
  means = jax.tree.map(lambda *x: sum(x) / len(x), *terms)
  return config.damtl.task_weight * sum(values), means


def total_loss(
  config: Any,
  tasks: Tasks,
  logits: Sequence[Array],
  batches: Batches,
) -> tuple[Array, Metrics]:
  """sum_j alpha CE_j, and what is logged of it.

  Args:
    config: see `cross_entropy`.
    tasks: of the problem.
    logits: of each task for its own batch, [B, c_j].
    batches: task_0, task_1 ...
  """
  found = [
    cross_entropy(config, logits[j], local_labels(tasks, batches[name], j))
    for j, name in enumerate(tasks.names)
  ]
  return weighted_sum(config, found)


def networks(
  net: Staged,
  key: Key,
  batch: Batch,
  sizes: Sequence[int],
  auxiliary: Tree,
  start: str,
) -> tuple[Tree, ...]:
  """A network for each task; its logits are always random.

  Args:
    net: sizes.
    key: of the run; tasks draw from keys of their own.
    batch: of any task, for the shape of its images.
    sizes: classes of each task.
    auxiliary: parameters of the auxiliary network; {} with start="random".
    start: "auxiliary": copies of it; "convolutions": its convolutions, and
      random dense layers (Algorithm 1 as it stands); "random".
  """
  own = [
    layered.init(net, task_key(key, j), batch["image"], count)
    for j, count in enumerate(sizes)
  ]
  if start == "random":
    return tuple(own)
  logits = f"dense_{net.num_dense - 1}"
  kept = [
    name
    for name in auxiliary
    if name != logits and (start == "auxiliary" or name.startswith("conv_"))
  ]
  return tuple(
    {**params, **{name: _copied(auxiliary[name]) for name in kept}}
    for params in own
  )


def _copied(tree: Tree) -> Tree:
  # Buffers of their own, since an update may reuse the memory of a state.
  return jax.tree.map(jnp.copy, tree)


def task_key(key: Key, task: int) -> Key:
  """The key that a task's network is drawn from."""
  return jax.random.fold_in(key, 1000 + task)


def side_by_side(logits_of: Callable[[int], Array], tasks: Tasks) -> Array:
  """Logits of all tasks as one array, [B, sum of c_j]."""
  found = [logits_of(j) for j in range(len(tasks.sizes))]
  return jnp.concatenate(found, axis=-1)
