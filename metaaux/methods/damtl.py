"""DAMTL: each task draws on an auxiliary network through soft masks.

Feng & Chen, "Learning Multi-Tasks with Inconsistent Labels by using Auxiliary
Big Task" (damtl, sections 2 to 5):

  stage "auxiliary": (W_aux, b_aux, f_aux) <- cross-entropy on the big task
  stage "train":     W_j, b_j, f_j <- the auxiliary ones, logits at random
    S_j = Psi_j * W_j                    masks of each convolution, Psi_j >= 0
    L = sum_j alpha [ CE_j + lambda1 sum_l R(Psi_j^l) + lambda2 sum_h D_h ]
    all descend at the same point; Psi_j <- max(Psi_j, 0)

R is the L1 norm; D_h the class-conditional MMD between f_aux^h and f_j^h on the
same input. With all masks 1 and no penalties it is fine-tuning ("transfer"),
from random weights one network a task ("separate").
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaaux import big_task, losses, masks, models, optim, parallel
from metaaux.big_task import BigTaskState
from metaaux.cmmd import cmmd
from metaaux.errors import UserError
from metaaux.models import staged
from metaaux.models.staged import Staged
from metaaux.stage import (
  Array,
  Batch,
  Batches,
  Key,
  Metrics,
  Spec,
  Stage,
  StreamSpec,
)

Tree = Any


class DamtlState(NamedTuple):
  """Of each task a network and a mask ({}: none); the auxiliary network."""

  params: tuple[Tree, ...]
  masks: tuple[Tree, ...]
  optimizer: Tree
  mask_optimizer: Tree
  auxiliary: Tree


class Options(NamedTuple):
  """What of DAMTL is in use; see `config.damtl`."""

  mask: str  # weight | filter | none
  align: str  # linear | rbf | none
  source: str  # per_task | frozen
  start: str  # auxiliary | random


class Problem(NamedTuple):
  """What does not change while training."""

  config: Any
  spec: Spec
  net: Staged
  options: Options
  optimizer: optim.Optimizer
  mask_optimizer: optim.Optimizer
  axis_name: str | None

  @property
  def sizes(self) -> tuple[int, ...]:
    """Classes of each task."""
    return tuple(np.bincount(self.spec.groups).tolist())

  @property
  def offsets(self) -> tuple[int, ...]:
    """First class of each task."""
    return tuple(np.cumsum((0, *self.sizes))[:-1].tolist())


def effective(problem: Problem, params: Tree, mask: Tree) -> Tree:
  """S_j and the rest of a task's parameters."""
  return masks.effective(params, mask) if mask else params


def task_loss(
  problem: Problem,
  params: Tree,
  mask: Tree,
  auxiliary: Tree,
  batch: Batch,
  task: int,
) -> tuple[Array, Metrics]:
  """CE_j + lambda1 R + lambda2 D, and its terms.

  Args:
    problem: the fixed parts.
    params: of task j, as are the mask and the batch.
    mask: {} for none.
    auxiliary: parameters of the auxiliary network, constant.
    batch: `image` and `primary`.
    task: j.
  """
  config, net, options = problem.config.damtl, problem.net, problem.options
  count = problem.sizes[task]
  label_B = batch["primary"] - problem.offsets[task]
  tree = effective(problem, params, mask)
  logits, inputs = staged.classify(
    net, tree, staged.features(net, tree, batch["image"])
  )
  mean = losses.softmax_cross_entropy(logits, label_B).mean()
  # A sum over the whole batch, whatever part of it is on this device.
  scale = problem.config.batch_size if config.reduction == "sum" else 1
  terms = {
    "primary_loss": mean,
    "accuracy": jnp.mean(logits.argmax(-1) == label_B),
  }
  total = scale * mean
  if mask:
    terms["sparsity"] = masks.penalty(mask, config.penalty)
    total += config.sparsity * terms["sparsity"]
  if options.align != "none":
    auxiliary = jax.lax.stop_gradient(auxiliary)
    # Crossfed: both read the same input (damtl, section 3).
    terms["discrepancy"] = sum(
      cmmd(
        jax.nn.relu(staged.dense(auxiliary[f"dense_{h}"], inputs[h])),
        label_B,
        inputs[h + 1],
        label_B,
        count,
        options.align,
        axis_name=problem.axis_name,
      )
      for h in range(net.num_dense - 1)
    )
    total += config.alignment * terms["discrepancy"]
  return total, terms


def update(
  problem: Problem, state: DamtlState, batches: Batches, key: Key, step: Array
) -> tuple[DamtlState, Metrics]:
  """One step of all tasks: networks and masks together, then the projection."""
  del key
  config = problem.config.damtl

  def total(params: Any, mask: Any) -> tuple[Array, Metrics]:
    found = [
      task_loss(problem, *pair, state.auxiliary, batches[f"task_{j}"], j)
      for j, pair in enumerate(zip(params, mask, strict=True))
    ]
    values, terms = zip(*found, strict=True)
    means = jax.tree.map(lambda *x: sum(x) / len(x), *terms)
    return config.task_weight * sum(values), means

  (value, terms), (grads, mask_grads) = parallel.pmean(
    jax.value_and_grad(total, (0, 1), has_aux=True)(state.params, state.masks),
    problem.axis_name,
  )
  params, optimizer = problem.optimizer.update(
    grads, state.optimizer, state.params, step
  )
  if problem.options.source == "frozen":
    params = tuple(map(staged.with_kernels_of, params, state.params))
  mask, mask_optimizer = problem.mask_optimizer.update(
    mask_grads, state.mask_optimizer, state.masks, step
  )
  mask = masks.project(mask)
  metrics = terms | {"loss": value, "gradient_norm": optax.tree.norm(grads)}
  if mask[0]:
    near = [masks.share_near_zero(one) for one in mask]
    for i, name in enumerate(near[0]):
      share = sum(one[name] for one in near) / len(near)
      metrics[f"mask_near_zero_{i}"] = share
  state = DamtlState(params, mask, optimizer, mask_optimizer, state.auxiliary)
  return state, metrics


def predict(problem: Problem, state: DamtlState, images: Array) -> Array:
  """Logits of all tasks side by side, each by its own network."""
  return jnp.concatenate(
    [
      staged.apply(problem.net, effective(problem, *pair), images)
      for pair in zip(state.params, state.masks, strict=True)
    ],
    axis=-1,
  )


def init_state(
  problem: Problem, key: Key, batch: Batch, previous: BigTaskState | None
) -> DamtlState:
  """Networks that start from the auxiliary one but for their logits."""
  options, net = problem.options, problem.net
  auxiliary = previous.params if previous is not None else {}
  params, mask = [], []
  for j, count in enumerate(problem.sizes):
    own_key = jax.random.fold_in(key, 1000 + j)
    own = staged.init(net, own_key, batch["image"], count)
    if options.start == "auxiliary":
      logits = f"dense_{net.num_dense - 1}"
      own = {**jax.tree.map(jnp.copy, auxiliary), logits: own[logits]}
    params.append(own)
    mask.append(
      {}
      if options.mask == "none"
      else masks.init(
        jax.random.fold_in(own_key, 1),
        own,
        options.mask,
        spread=problem.config.damtl.mask_spread,
      )
    )
  params, mask = tuple(params), tuple(mask)
  return DamtlState(
    params,
    mask,
    problem.optimizer.init(params),
    problem.mask_optimizer.init(mask),
    jax.tree.map(jnp.copy, auxiliary),
  )


def assemble(
  config: Any, spec: Spec, options: Options, axis_name: str | None
) -> Problem:
  """Network and optimisers of a config; masks have no decay.

  Raises:
    UserError: the data has no tasks, or dropout is asked for.
  """
  models.refuse_dropout(config, "dropout", "block_dropout")
  if not spec.num_big:
    raise UserError(
      f"method={config.method!r} needs several tasks; set config.task_classes, "
      "such as 0-4,5-9"
    )
  plain = config.optimizer.copy_and_resolve_references()
  with plain.unlocked():
    plain.weight_decay = plain.l1 = 0.0
  return Problem(
    config,
    spec,
    staged.make(config.model),
    options,
    optim.make(config.optimizer, config.num_steps),
    optim.make(plain, config.num_steps),
    axis_name,
  )


def make(
  config: Any,
  spec: Spec,
  *,
  axis_name: str | None = None,
  **changes: str,
) -> tuple[Stage, ...]:
  """The stages of DAMTL; without the first where nothing reads its network.

  Args:
    config: `damtl`, `model`, `optimizer`, `batch_size` (a task), `num_steps`.
    spec: the problem, with `groups` and `num_big`.
    axis_name: devices to average over, None on one device.
    **changes: fields of `Options`, in place of the config's.

  Raises:
    UserError: the data has no tasks, or options exclude each other.
  """
  options = Options(
    **{name: config.damtl[name] for name in Options._fields} | changes
  )
  if options.source == "frozen" and options.mask == "none":
    raise UserError(
      "damtl.source='frozen' without masks would train no convolution; set "
      "damtl.mask to weight or filter"
    )
  problem = assemble(config, spec, options, axis_name)
  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams={
      f"task_{j}": StreamSpec(split=f"task_{j}", augment=True)
      for j in range(len(problem.sizes))
    },
    init=partial(init_state, problem),
    updates={"update": partial(update, problem)},
    predict=partial(predict, problem),
  )
  if options.start == "random" and options.align == "none":
    return (stage,)
  return big_task.stage(config, spec, problem.net, axis_name), stage
