"""Meta-MTL: auxiliary tasks displace the shared layers, the main task judges.

Gui et al. 2020, "Constructing Multiple Tasks for Augmentation". In each episode
one task t of {0 .. T} is drawn (0 is the main task). Its decoder takes a step;
the shared layers F take a virtual one,

  F* = F - alpha grad_F L_t(F, D_t),

and F moves by the gradient of the main loss after that step, L_0(F*, D_0),
which is (I - alpha H_t) grad L_0(F*) with the Hessian H_t of L_t. Variants of
this are in `episode`, those of the official code in `episode_official`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaaux import parallel
from metaaux.errors import UserError
from metaaux.methods import optim
from metaaux.methods.meta_mtl import cluster_tasks, decoders, episode_official
from metaaux.methods.meta_mtl.decoders import Decoders, Params
from metaaux.methods.meta_mtl.episode import (
  Episode,
  Rule,
  before_outer_step,
  episode,
)
from metaaux.methods.meta_mtl.episode_official import CodeState
from metaaux.methods.optim import OptimizerOptions
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

# Outer batches, and those of task 0 and of the others.
_STREAMS = ("train", "inner", "pool")


class MetaMTLState(NamedTuple):
  """The network, the outer optimiser of F, and the auxiliary labels [T, n].

  `code` has the other optimisers of the official code, None in other variants.
  """

  params: Params
  optimizer: Tree
  labels: Array
  code: CodeState | None


class Problem(NamedTuple):
  """What does not change while training."""

  config: Any
  net: Decoders
  optimizer: optim.Optimizer
  rule: Rule


def run_episode(
  problem: Problem, state: MetaMTLState, t: Array, batches: Batches, key: Key
) -> tuple[Episode, MetaMTLState]:
  """The episode of task t on batches `train` (outer), `inner` and `pool`.

  Returns:
    The episode, and the state with its decoders; F is that of before.
  """
  net, rule, params = problem.net, problem.rule, state.params
  inner_key, outer_key = jax.random.split(key)
  is_code = rule.variant in episode_official.VARIANTS

  def inner_loss(shared: Tree, at: Params) -> Array:
    return decoders.task_loss(
      net, shared, at, t, batches, state.labels, inner_key
    )

  def main_loss(shared: Tree, main: Tree) -> tuple[Array, Array]:
    at = params._replace(shared=shared, main=main)
    # The official code judges in evaluation mode.
    main_key = None if is_code else outer_key
    return decoders.main_loss(net, at, batches["train"], main_key)

  code = state.code
  if is_code:
    found, code = episode_official.episode(
      inner_loss, main_loss, params, t, code, rule
    )
  else:
    found = episode(inner_loss, main_loss, params, rule)
  return found, state._replace(params=found.params, code=code)


def update(
  problem: Problem,
  state: MetaMTLState,
  batches: Batches,
  key: Key,
  step: Array,
) -> tuple[MetaMTLState, Metrics]:
  """A batch of episodes (algorithm 1), then F by the mean of their gradients.

  `meta_mtl.tasks_per_step` tasks are drawn, each with batches of its own; with
  `always_main` one of task 0 goes before them, on those of the first. All start
  from the same F; decoders go from one episode to the next.
  """
  rule, episodes = problem.rule, []
  for t, own, one_key in _drawn(problem, batches, key):
    found, state = run_episode(problem, state, t, own, one_key)
    episodes.append((t, found))

  def mean(of: Callable[[Episode], Tree]) -> Tree:
    trees = [of(found) for _, found in episodes]
    return jax.tree.map(lambda *x: sum(x) / len(x), *trees)

  outer, inner = mean(lambda e: e.outer), mean(lambda e: e.inner)
  shared, code = state.params.shared, state.code
  if code is None:
    shared = before_outer_step(shared, inner, rule)
  else:
    shared, code = episode_official.first_outer_step(
      shared, inner, outer, code, rule
    )
  shared, optimizer = problem.optimizer.update(
    outer, state.optimizer, shared, step
  )
  metrics = {
    "loss": mean(lambda e: e.value),
    "accuracy": mean(lambda e: e.extra),
    "gradient_norm": optax.tree.norm(outer),
    "main_drawn": jnp.mean(jnp.stack([t == 0 for t, _ in episodes])),
  }
  params = state.params._replace(shared=shared)
  return MetaMTLState(params, optimizer, state.labels, code), metrics


def _drawn(
  problem: Problem, batches: Batches, key: Key
) -> list[tuple[Array, Batches, Key]]:
  """Task, batches and key of each episode of a step."""
  options = problem.config.meta_mtl
  number = options.tasks_per_step
  first = [jnp.int32(0)] if options.always_main else []
  task_key, *keys = jax.random.split(key, max(3, number + len(first) + 1))
  # Alternating trains D_0 in every step, so that drawing 0 would be idle.
  lowest = 1 if first or problem.rule.variant == "alternating" else 0
  drawn = jax.random.randint(
    task_key,
    () if number == 1 else (number,),
    lowest,
    problem.net.num_tasks + 1,
  )
  own = [
    {name: batches[_stream(name, i)] for name in _STREAMS}
    for i in range(number)
  ]
  tasks = [drawn] if number == 1 else list(drawn)
  return list(
    zip([*first, *tasks], [*own[: len(first)], *own], keys, strict=False)
  )


def _stream(name: str, i: int) -> str:
  """Name of a stream of the i-th task of a step."""
  return f"{name}/{i}" if i else name


def probe(
  problem: Problem, state: MetaMTLState, batches: Batches, step: Array
) -> Metrics:
  """What is worth knowing of a state but too dear for every step.

  Returns:
    `main_loss_at_theta` and `main_loss_at_theta_star` (nats; mean over the
    auxiliary tasks), `gradient_cosine` between grad L_t and grad L_0 (mean and
    smallest over t), `second_order_ratio` (norm of what H_t adds to the
    gradient, in terms of the first-order one) and `auxiliary_accuracy`.
  """
  del step
  net = problem.net
  rule = problem.rule._replace(num_steps=1)

  def of_task(t: Array) -> Metrics:
    def inner_loss(shared: Tree, at: Params) -> Array:
      return decoders.task_loss(net, shared, at, t, batches, state.labels, None)

    def main_loss(shared: Tree, main: Tree) -> tuple[Array, Array]:
      at = state.params._replace(shared=shared, main=main)
      return decoders.main_loss(net, at, batches["train"], None)

    first, second = (
      episode(
        inner_loss, main_loss, state.params, rule._replace(variant=variant)
      )
      for variant in ("first_order", "paper_second_order")
    )
    main, _ = jax.grad(main_loss, has_aux=True)(
      state.params.shared, state.params.main
    )
    main = parallel.pmean(main, net.axis_name)
    norm = optax.tree.norm(first.outer)
    added = optax.tree.norm(optax.tree.sub(second.outer, first.outer))
    return {
      "main_loss_at_theta_star": second.value,
      "gradient_cosine": _cosine(first.inner, main),
      "second_order_ratio": added / jnp.maximum(norm, 1e-30),
    }

  found = jax.lax.map(of_task, jnp.arange(1, net.num_tasks + 1))
  pool = batches["pool"]
  labels_TxB = state.labels[:, pool["index"]]
  _, accuracy_T = decoders.auxiliary_losses(
    net, state.params, pool, labels_TxB, None
  )
  here, _ = decoders.main_loss(net, state.params, batches["train"], None)
  here, accuracy_T = parallel.pmean((here, accuracy_T), net.axis_name)
  return {
    **{name: values.mean() for name, values in found.items()},
    "gradient_cosine_lowest": found["gradient_cosine"].min(),
    "main_loss_at_theta": here,
    "auxiliary_accuracy": accuracy_T.mean(),
  }


def _cosine(a: Tree, b: Tree) -> Array:
  norms = optax.tree.norm(a) * optax.tree.norm(b)
  return optax.tree.vdot(a, b) / jnp.maximum(norms, 1e-30)


def assemble(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> Problem:
  """Network and optimiser of a config; arguments as of `make`."""
  _check(config)
  net = cluster_tasks.network(config, spec, axis_name)
  optimizer = optim.make(
    OptimizerOptions.of(config.optimizer), config.num_steps
  )
  options = config.meta_mtl
  rule = Rule(
    variant=options.variant,
    alpha=config.inner.learning_rate,
    alpha_d=options.decoder_learning_rate or config.inner.learning_rate,
    num_steps=config.inner.num_steps,
    axis_name=axis_name,
    momentum=options.code_momentum,
    weight_decay=options.code_weight_decay,
    clip_norm=options.code_clip_norm,
  )
  return Problem(config, net, optimizer, rule)


def _check(config: Any) -> None:
  options = config.meta_mtl
  if options.always_main and options.variant == "alternating":
    raise UserError(
      "meta_mtl.always_main=True and variant='alternating' exclude each other: "
      "alternating trains the main decoder in every step already"
    )
  if options.tasks_per_step > 1 and options.variant == "alternating":
    raise UserError(
      f"meta_mtl.tasks_per_step={options.tasks_per_step} and variant="
      "'alternating' exclude each other: alternating is a step on one task, "
      "then one on the main task; set tasks_per_step to 1"
    )
  if config.inner.learning_rate <= 0:
    raise UserError(
      f"inner.learning_rate={config.inner.learning_rate}: method 'meta_mtl' "
      "needs a positive rate of the virtual step, such as 0.1"
    )
  for name in ("code_momentum", "code_weight_decay", "code_clip_norm"):
    if options[name] and options.variant not in episode_official.VARIANTS:
      raise UserError(
        f"meta_mtl.{name}={options[name]} has no effect with "
        f"meta_mtl.variant={options.variant!r}; set it to 0, or the variant to "
        f"{' or '.join(episode_official.VARIANTS)}"
      )


def init_state(
  problem: Problem, key: Key, batch: Batch, given: tuple[Any, Array]
) -> MetaMTLState:
  """Random weights; of what was prepared only the labels are used."""
  _, labels_TxN = given
  params, rule = decoders.init(problem.net, key, batch["image"]), problem.rule
  is_code = rule.variant in episode_official.VARIANTS
  return MetaMTLState(
    params,
    problem.optimizer.init(params.shared),
    labels_TxN,
    episode_official.init(params, rule) if is_code else None,
  )


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """The stages of Meta-MTL: train the embedding, then the network.

  Args:
    config: `embedding`, `partition`, `meta_mtl`, `inner`, `optimizer` (the
      outer step of F), `model`, `gamma`, `num_steps`.
    spec: the problem.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: options that exclude each other.
  """
  problem = assemble(config, spec, axis_name=axis_name)
  pool = "all" if config.partition.images == "all" else "train"
  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams={
      _stream(name, i): StreamSpec(
        split=pool if name == "pool" else "train", augment=True
      )
      for i in range(config.meta_mtl.tasks_per_step)
      for name in _STREAMS
    },
    init=partial(init_state, problem),
    updates={"update": partial(update, problem)},
    predict=lambda state, images: decoders.predict(
      problem.net, state.params, images
    ),
    prepare=cluster_tasks.prepare(config, spec),
    probe=partial(probe, problem),
  )
  return (*cluster_tasks.stages(config, spec, axis_name), stage)
