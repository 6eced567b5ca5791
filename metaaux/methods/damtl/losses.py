"""The objective of DAMTL: cross-entropies, sparsity of masks, alignment.

Feng & Chen, eq. 1 to 5.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux import losses
from metaaux.methods import optim
from metaaux.methods.damtl import alignment, masks
from metaaux.methods.damtl import small_tasks as several
from metaaux.methods.damtl.alignment import Side
from metaaux.methods.damtl.small_tasks import Tasks
from metaaux.models import layered
from metaaux.models.layered import Staged
from metaaux.stage import Array, Batch, Batches, Metrics, Spec

Tree = Any


class Options(NamedTuple):
  """What of DAMTL is in use; see `config.damtl`."""

  mask: str  # weight | filter | none
  align: str  # linear | rbf | none
  source: str  # per_task | frozen | shared
  start: str  # auxiliary | convolutions | random


class Problem(NamedTuple):
  """What does not change while training."""

  config: Any
  spec: Spec
  tasks: Tasks
  net: Staged
  options: Options
  optimizer: optim.Optimizer
  mask_optimizer: optim.Optimizer
  axis_name: str | None

  @property
  def trains_auxiliary(self) -> bool:
    """Whether the auxiliary network goes on learning."""
    return self.config.damtl.auxiliary_weight > 0

  @property
  def needs_big(self) -> bool:
    """Whether an update reads images of the big task."""
    twosample = self.config.damtl.pairing == "twosample"
    aligned = self.options.align != "none"
    return self.trains_auxiliary or (twosample and aligned)


def effective(params: Tree, mask: Tree) -> Tree:
  """S_j and the rest of a task's parameters."""
  return masks.effective(params, mask) if mask else params


def task_loss(
  problem: Problem,
  params: Tree,
  mask: Tree,
  auxiliary: Tree,
  batch: Batch,
  task: int,
  big: Batch | None = None,
) -> tuple[Array, Metrics]:
  """CE_j + lambda1 R + lambda2 D, and its terms.

  Args:
    problem: the fixed parts.
    params: of task j, as are the mask and the batch.
    mask: {} for none.
    auxiliary: parameters of the auxiliary network; constant but where it goes
      on learning.
    batch: `image` and `primary`.
    task: j.
    big: a batch of the big task, where `problem.needs_big`.
  """
  config, net = problem.config.damtl, problem.net
  label_B = several.local_labels(problem.tasks, batch, task)
  tree = effective(params, mask)
  logits, inputs = layered.classify(
    net, tree, layered.features(net, tree, batch["image"])
  )
  total, terms = several.cross_entropy(problem.config, logits, label_B)
  if mask:
    terms["sparsity"] = masks.penalty(mask, config.penalty)
    total += config.sparsity * terms["sparsity"]
  if problem.options.align != "none":
    if not problem.trains_auxiliary:
      auxiliary = jax.lax.stop_gradient(auxiliary)
    terms["discrepancy"] = _discrepancy(
      problem, Side(tree, inputs, label_B), auxiliary, batch, task, big
    )
    total += config.alignment * terms["discrepancy"]
  return total, terms


def _discrepancy(
  problem: Problem,
  own: Side,
  auxiliary: Tree,
  batch: Batch,
  task: int,
  big: Batch | None,
) -> Array:
  """sum_h D_h(aux, j), Feng & Chen, eq. 3."""
  config, count = problem.config.damtl, problem.tasks.sizes[task]
  if config.align_classes == "random":
    own = own._replace(label_B=several.random_labels(batch, count))
  if config.stop_inputs:
    own = alignment.without_gradient(own)
  if config.pairing == "twosample":
    # Both sides by the classes of the big task, which the task has some of.
    names = jnp.asarray(problem.tasks.origins[task])
    own, count = own._replace(label_B=names[own.label_B]), problem.spec.num_big
  other = alignment.auxiliary_side(
    problem.net, auxiliary, own, batch["image"], big, config.pairing
  )
  return alignment.discrepancy(
    problem.net,
    other,
    own,
    count,
    problem.options.align,
    layer=config.align_layer,
    axis_name=problem.axis_name,
  )


def objective(
  problem: Problem,
  params: tuple[Tree, ...],
  mask: tuple[Tree, ...],
  auxiliary: Tree,
  batches: Batches,
) -> tuple[Array, Metrics]:
  """L of all tasks, and the big task's cross-entropy where it is learned."""
  big = batches.get("big")
  total, terms = several.weighted_sum(
    problem.config,
    [
      task_loss(problem, params[j], mask[j], auxiliary, batches[name], j, big)
      for j, name in enumerate(problem.tasks.names)
    ],
  )
  if problem.trains_auxiliary:
    logits = layered.apply(problem.net, auxiliary, big["image"])
    loss = losses.softmax_cross_entropy(logits, big["auxiliary"]).mean()
    terms = terms | {"auxiliary_loss": loss}
    total += problem.config.damtl.auxiliary_weight * loss
  return total, terms
