"""ARML: train on weighted auxiliary tasks, whose weights are learned.

Shi et al. 2020, "Auxiliary Task Reweighting for Minimum-data Learning"
(arXiv:2010.08244). With U = L_m + sum_k a_k L_k over shared parameters theta
and heads phi:

  Algorithm 2 (merged, the default)        Algorithm 1 (two stages)
    at steps M - 1, 2 M - 1 ...:             stage "weights", a quarter:
      a <- weighting of the gradients          a at the same steps, as there
          at theta, this batch                 theta <- theta - e dU + noise
    theta, phi <- optimiser step on U          phi <- phi - e dU
                                             stage "train": a stays, its mean
                                               over the last tenth; theta and
                                               phi go on from where they are

Any rule of `methods/reweighting` can take the place of ARML's own, and any set
of tasks given as pure functions that of the settings.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux.methods import optim, task_set
from metaaux.methods.arml import langevin
from metaaux.methods.arml import rules as weight_rules
from metaaux.methods.arml import tasks as tasks_lib
from metaaux.methods.arml.rules import Rule
from metaaux.methods.optim import OptimizerOptions
from metaaux.methods.task_set import TaskSet
from metaaux.stage import (
  Array,
  Batch,
  Batches,
  Key,
  Metrics,
  Spec,
  Stage,
  State,
  StreamSpec,
)

Tree = Any


class ArmlState(NamedTuple):
  """Everything that a resume needs.

  Attributes:
    params: theta and phi.
    stats: running statistics.
    optimizer: state of the optimiser.
    extra: of the tasks.
    weighting: state of the rule, with `weight_K`.
    total_K: sum of the weights that stage "train" will average (algorithm 1).
    count: float32, how many they are.
  """

  params: Tree
  stats: Tree
  optimizer: Tree
  extra: Tree
  weighting: Any
  total_K: Array
  count: Array


class Problem(NamedTuple):
  """What does not change while training."""

  config: Any
  tasks: TaskSet
  rule: Rule
  optimizer: optim.Optimizer
  axis_name: str | None
  num_examples: int


def reweigh(
  problem: Problem, state: ArmlState, batches: Batches, key: Key
) -> tuple[ArmlState, Metrics]:
  """a <- the rule's weights at theta, on this batch."""
  tasks = weight_rules.tasks_at(
    problem.rule, problem.tasks, state, batches, key, problem.axis_name
  )
  weight_key = jax.random.fold_in(key, 1)
  _, weighting, metrics = problem.rule.weighting.update(
    state.weighting, tasks, weight_key
  )
  return state._replace(weighting=weighting), metrics


def update(
  problem: Problem,
  state: ArmlState,
  batches: Batches,
  key: Key,
  step: Array,
  *,
  due: bool,
  skipped: bool | None = None,
) -> tuple[ArmlState, Metrics]:
  """One step of algorithm 2.

  A skipped step moves no parameter. As in the code of ARML the running
  statistics are those after its pass, and the teacher averages the parameters
  once more.

  Args:
    problem: what does not change.
    state: before the step.
    batches: of the streams.
    key: of this step.
    step: int32 scalar.
    due: whether weights move.
    skipped: whether the step is; None: if they do and `weighting.skip_step`.
  """
  about = {}
  if due:
    state, about = reweigh(problem, state, batches, key)
  new, metrics = task_set.descend(
    problem.tasks,
    problem.optimizer,
    state,
    batches,
    key,
    step,
    state.weighting.weight_K,
    primary_weight=problem.config.primary_weight,
    axis_name=problem.axis_name,
  )
  if skipped is None:
    skipped = due and problem.config.weighting.skip_step
  if skipped:
    extra = problem.tasks.advance(state.extra, state.params)
    new = state._replace(stats=new.stats, extra=extra)
  return new, {**metrics, **about, **weight_metrics(problem, state)}


def langevin_update(
  problem: Problem,
  state: ArmlState,
  batches: Batches,
  key: Key,
  step: Array,
  *,
  due: bool,
) -> tuple[ArmlState, Metrics]:
  """One step of algorithm 1's first stage, whose optimiser is plain SGD.

  a     <- the rule's weights, if they are due
  theta <- theta - e dU/dtheta + N(0, 2 e T)
  phi   <- phi - e dU/dphi
  """
  rate = problem.config.optimizer.learning_rate
  temperature = problem.config.weighting.temperature or 1 / problem.num_examples
  about = {}
  if due:
    state, about = reweigh(problem, state, batches, key)
  weight_K = state.weighting.weight_K
  grads, stats, metrics = task_set.gradient(
    problem.tasks,
    state,
    batches,
    key,
    weight_K,
    primary_weight=problem.config.primary_weight,
    axis_name=problem.axis_name,
  )
  theta, phi = task_set.split(state.params)
  theta_grads, phi_grads = task_set.split(grads)
  noise_key = jax.random.fold_in(key, 2)
  theta = langevin.step(theta, theta_grads, rate, temperature, noise_key)
  phi = jax.tree.map(lambda x, g: x - rate * g, phi, phi_grads)
  params = {**theta, **phi}
  late = step >= int(0.9 * num_weight_steps(problem.config))
  new = state._replace(
    params=params,
    stats=stats,
    extra=problem.tasks.advance(state.extra, params),
    total_K=state.total_K + jnp.where(late, weight_K, 0),
    count=state.count + late,
  )
  return new, {**metrics, **about, **weight_metrics(problem, state)}


def weight_metrics(problem: Problem, state: ArmlState) -> Metrics:
  """`weight_NAME` of each task."""
  weight_K = state.weighting.weight_K
  return {
    f"weight_{name}": weight_K[k] for k, name in enumerate(problem.tasks.names)
  }


def init_state(
  problem: Problem, key: Key, batch: Batch, previous: State | None
) -> ArmlState:
  """Random parameters and the rule's first weights."""
  del previous
  params, stats, extra = problem.tasks.init(key, batch)
  weighting = problem.rule.weighting.init(len(problem.tasks.names))
  return ArmlState(
    params,
    stats,
    problem.optimizer.init(params),
    extra,
    weighting,
    0 * weighting.weight_K,
    jnp.float32(0),
  )


def frozen_state(
  problem: Problem, key: Key, batch: Batch, previous: ArmlState
) -> ArmlState:
  """Algorithm 1's second stage: mean weights, theta and phi as they are."""
  del key, batch
  weight_K = previous.total_K / jnp.maximum(previous.count, 1)
  return previous._replace(
    optimizer=problem.optimizer.init(previous.params),
    weighting=previous.weighting._replace(weight_K=weight_K),
  )


def num_weight_steps(config: Any) -> int:
  """Steps of algorithm 1's first stage; the second has the rest."""
  return max(1, round(config.weighting.share * config.num_steps))


def assemble(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> Problem:
  """Tasks, rule and optimiser of a config; arguments as of `make`."""
  tasks = tasks_lib.make(config, spec, axis_name=axis_name)
  return Problem(
    config,
    tasks,
    weight_rules.from_config(config, tasks),
    optim.make(OptimizerOptions.of(config.optimizer), config.num_steps),
    axis_name,
    spec.num_examples,
  )


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """The stage of algorithm 2, or both of algorithm 1.

  With M = `weighting.every` weights move first at step M - 1, after as many
  steps on those that the rule starts from, then at 2 M - 1 and so on: the
  iterations M, 2 M ... of the published code, which counts from 1.

  Args:
    config: `setting` and what it reads; `weighting`, `primary_weight`,
      `optimizer`, `num_steps`.
    spec: the problem.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: options that do not fit the data or exclude each other.
  """
  problem = assemble(config, spec, axis_name=axis_name)
  if config.weighting.algorithm == "merged":
    until = round(config.weighting.until * config.num_steps)
    if config.weighting.until == 1:
      until += 1  # the last step counts
    return (_stage(problem, "train", update, init_state, until),)
  steps = num_weight_steps(config)
  first = _stage(problem, "weights", langevin_update, init_state, steps + 1)
  second = _stage(problem, "train", update, frozen_state, 0)
  rest = config.num_steps - steps
  return first._replace(num_steps=steps), second._replace(num_steps=rest)


def _stage(
  problem: Problem,
  name: str,
  update: Callable[..., tuple[ArmlState, Metrics]],
  init: Callable[..., ArmlState],
  until: int,
) -> Stage:
  """A stage whose weights move at each M-th iteration before `until`.

  Iterations count from 1, as in the code: it is at iteration step + 1.
  """
  tasks, every = problem.tasks, problem.rule.every
  # The code has one stage.
  skip_every = problem.rule.skip_every if name == "train" else 0

  def phase(step: int) -> str:
    iteration = step + 1
    due = every > 0 and iteration < until and iteration % every == 0
    skipped = skip_every > 0 and iteration % skip_every == 0
    return ("reweigh" if due else "update") + ("_skipped" if skipped else "")

  updates = {
    "update": partial(update, problem, due=False),
    "reweigh": partial(update, problem, due=True),
  }
  if skip_every:
    updates = {phase: partial(f, skipped=False) for phase, f in updates.items()}
    updates |= {
      f"{phase}_skipped": partial(f, skipped=True)
      for phase, f in updates.items()
    }

  streams = dict(tasks.streams)
  if problem.rule.held_out:
    streams["held_out"] = StreamSpec(split="train", augment=True)
  attributes = tasks.attributes
  return Stage(
    name=name,
    num_steps=problem.config.num_steps,
    streams=streams,
    init=partial(init, problem),
    updates=updates,
    predict=lambda state, images: tasks.predict(
      state.params, state.stats, images
    ),
    phase=phase,
    attributes=attributes
    and (lambda state, images: attributes(state.params, state.stats, images)),
  )
