"""DAMTL: each task draws on an auxiliary network through soft masks.

Feng & Chen, "Learning Multi-Tasks with Inconsistent Labels by using Auxiliary
Big Task", algorithm 1 and eq. 1 to 5:

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
import optax

from metaaux import parallel
from metaaux.errors import UserError
from metaaux.methods import optim
from metaaux.methods.damtl import alignment, big_task
from metaaux.methods.damtl import masks as masks_lib
from metaaux.methods.damtl import small_tasks as several
from metaaux.methods.damtl.big_task import BigTaskState
from metaaux.methods.damtl.losses import Options, Problem, effective, objective
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import ModelOptions, layered
from metaaux.stage import Array, Batch, Batches, Key, Metrics, Spec, Stage

Tree = Any


class DamtlState(NamedTuple):
  """Of each task a network and a mask ({}: none); the auxiliary network."""

  params: tuple[Tree, ...]
  masks: tuple[Tree, ...]
  optimizer: Tree
  mask_optimizer: Tree
  auxiliary: Tree
  auxiliary_optimizer: Tree  # {} while the network is frozen


def update(
  problem: Problem, state: DamtlState, batches: Batches, key: Key, step: Array
) -> tuple[DamtlState, Metrics]:
  """One step of all tasks: networks and masks together, then the projection."""
  del key
  learned = (0, 1, 2) if problem.trains_auxiliary else (0, 1)
  gradient = jax.value_and_grad(
    partial(objective, problem), learned, has_aux=True
  )
  (value, terms), (grads, mask_grads, *rest) = parallel.pmean(
    gradient(state.params, state.masks, state.auxiliary, batches),
    problem.axis_name,
  )
  if problem.options.source == "shared":
    grads = layered.tied(grads)
  params, optimizer = problem.optimizer.update(
    grads, state.optimizer, state.params, step
  )
  if problem.options.source == "frozen":
    params = tuple(map(layered.with_kernels_of, params, state.params))
  if problem.options.source == "shared":
    # The same but for rounding, which may differ between compiled copies.
    params = layered.with_common_kernels(params)
  mask, mask_optimizer = problem.mask_optimizer.update(
    mask_grads, state.mask_optimizer, state.masks, step
  )
  mask = masks_lib.project(mask)
  mask_optimizer = masks_lib.without_outward(mask_optimizer, mask)
  auxiliary, auxiliary_optimizer = state.auxiliary, state.auxiliary_optimizer
  if rest:
    auxiliary, auxiliary_optimizer = problem.optimizer.update(
      rest[0], auxiliary_optimizer, auxiliary, step
    )
  metrics = terms | {"loss": value, "gradient_norm": optax.tree.norm(grads)}
  state = DamtlState(
    params, mask, optimizer, mask_optimizer, auxiliary, auxiliary_optimizer
  )
  return state, metrics | _near_zero(mask)


def _near_zero(mask: tuple[Tree, ...]) -> Metrics:
  """Of each layer, the tasks' mean share of mask entries that are almost 0."""
  shares = [list(masks_lib.share_near_zero(one).values()) for one in mask]
  return {
    f"mask_near_zero_{i}": sum(layer) / len(layer)
    for i, layer in enumerate(zip(*shares, strict=True))
  }


def predict(problem: Problem, state: DamtlState, images: Array) -> Array:
  """Logits of all tasks side by side, each by its own network."""
  trees = list(map(effective, state.params, state.masks))
  return several.side_by_side(
    lambda j: layered.apply(problem.net, trees[j], images), problem.tasks
  )


def probe(
  problem: Problem, state: DamtlState, batches: Batches, step: Array
) -> Metrics:
  """How far each class's features are from the auxiliary network's."""
  del step
  found = {}
  named = zip(problem.tasks.names, problem.tasks.offsets, strict=True)
  for j, (name, first) in enumerate(named):
    batch = batches[name]
    distance_C = alignment.distances(
      problem.net,
      state.auxiliary,
      effective(state.params[j], state.masks[j]),
      batch["image"],
      several.local_labels(problem.tasks, batch, j),
      problem.tasks.sizes[j],
      problem.axis_name,
    )
    found |= {f"distance_{first + q}": d for q, d in enumerate(distance_C)}
  return found


def init_state(
  problem: Problem, key: Key, batch: Batch, previous: BigTaskState | None
) -> DamtlState:
  """Networks that start from the auxiliary one but for their logits."""
  options, spread = problem.options, problem.config.damtl.mask_spread
  auxiliary = previous.params if previous is not None else {}
  params = several.networks(
    problem.net, key, batch, problem.tasks.sizes, auxiliary, options.start
  )
  if options.source == "shared":
    params = layered.with_common_kernels(params)
  keys = [
    jax.random.fold_in(several.task_key(key, j), 1) for j in range(len(params))
  ]
  mask = tuple(
    {}
    if options.mask == "none"
    else masks_lib.init(own_key, one, options.mask, spread=spread)
    for own_key, one in zip(keys, params, strict=True)
  )
  return DamtlState(
    params,
    mask,
    problem.optimizer.init(params),
    problem.mask_optimizer.init(mask),
    jax.tree.map(jnp.copy, auxiliary),
    problem.optimizer.init(auxiliary) if problem.trains_auxiliary else {},
  )


def assemble(
  config: Any, spec: Spec, options: Options, axis_name: str | None
) -> Problem:
  """Network and optimisers of a config; masks have no decay.

  Raises:
    UserError: the data has no tasks, or options exclude each other.
  """
  tasks = several.find(config, spec)
  of_networks = OptimizerOptions.of(config.optimizer)
  of_masks = of_networks._replace(weight_decay=0.0, l1=0.0)
  problem = Problem(
    config,
    spec,
    tasks,
    layered.make(ModelOptions.of(config.model)),
    options,
    optim.make(of_networks, config.num_steps),
    optim.make(of_masks, config.num_steps),
    axis_name,
  )
  _check(problem)
  return problem


def _check(problem: Problem) -> None:
  options = problem.options
  if options.source == "frozen" and options.mask == "none":
    raise UserError(
      "damtl.source='frozen' without masks would train no convolution; set "
      "damtl.mask to weight or filter"
    )
  if problem.trains_auxiliary and (
    options.align == "none" or options.source == "frozen"
  ):
    raise UserError(
      f"damtl.auxiliary_weight={problem.config.damtl.auxiliary_weight} goes on "
      f"training the auxiliary network, but with damtl.align={options.align!r} "
      f"and damtl.source={options.source!r} nothing reads what it learns; set "
      "it to 0, or align to linear or rbf and source to per_task or shared"
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
  problem = assemble(config, spec, options, axis_name)
  alone = options.start == "random" and options.align == "none"
  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams=several.streams(problem.tasks, big=problem.needs_big),
    init=partial(init_state, problem),
    updates={"update": partial(update, problem)},
    predict=partial(predict, problem),
    probe=None if alone else partial(probe, problem),
  )
  if alone:
    return (stage,)
  return big_task.stage(config, spec, problem.net, axis_name), stage
