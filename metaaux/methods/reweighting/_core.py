"""What a weighting is, and what all of them have in common."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Array = jax.Array
Key = jax.Array
Tree = Any
State = Any
Metrics = Mapping[str, Array]


class Tasks(NamedTuple):
  """The tasks at the current parameters, as functions that are not yet called.

  A weighting evaluates what it needs of them and no more. All functions take
  the shared parameters alone: whatever else they depend on (heads, batch,
  dropout key, running statistics) is closed over and constant, and the same for
  all of them, so that all gradients are of the same leaves at the same point.
  Not a value to pass through `jit`; make it inside.

  Attributes:
    params: shared parameters, any pytree of floating arrays. Heads of single
      tasks stay out; a weighting that is defined on one layer (GradNorm) gets
      that layer alone.
    primary_loss: params -> scalar, mean over the batch.
    auxiliary_losses: params -> [K], mean over the batch, not weighted.
    held_out_loss: params -> scalar, the primary loss on a second batch;
      None: `primary_loss`. Only Auto-Lambda looks at it.
    axis_name: axis of `pmap` or `shard_map` that batches are split over in
      equal shards; gradients are averaged over it before any product is
      formed. None on one device, and under `jit` with sharded arrays.
    forward_mode: whether the losses can be differentiated forwards. False for
      functions that have only a custom reverse rule; one forward pass is then
      replaced by K reverse ones, with the same result.
    all_losses: params -> (primary_loss, auxiliary_losses) by one evaluation;
      None: both functions one after the other. A compiler can share the
      forward passes of two calls, but not their reverse passes: the gradient
      of a sum of losses then takes two of them.
  """

  params: Tree
  primary_loss: Callable[[Tree], Array]
  auxiliary_losses: Callable[[Tree], Array]
  held_out_loss: Callable[[Tree], Array] | None = None
  axis_name: str | None = None
  forward_mode: bool = True
  all_losses: Callable[[Tree], tuple[Array, Array]] | None = None


class Weighting(NamedTuple):
  """A rule for the weights of K auxiliary tasks, in the manner of optax.

  The training loss is L_primary + sum_k weight_k L_k: the weight of the primary
  task is 1 always. A rule that is defined for all tasks alike takes the primary
  one as task 0 and divides its weights by that of task 0, which changes the
  length of the step and not its direction.

  Attributes:
    init: K -> state. Every state is a NamedTuple with `weight_K`, the weights
      in force: [K] in the default float type, which is float32, and float64
      under `jax_enable_x64`.
    update: (state, tasks, key) -> (weight_K, state, metrics). Pure; works under
      `jit`, `vmap`, `pmap`, `lax.scan`. The key is a typed one, the same on all
      devices; most rules do not use it. The weights are constants under
      differentiation. Metrics are scalars, equal on all devices, with
      `rejected` among them: 1 if the update was not finite, or the minimum
      that it is was not found, in which case the state stays as it was. How
      often to call it is up to the caller: ARML's code does so in every 20th
      step.
  """

  init: Callable[[int], State]
  update: Callable[[State, Tasks, Key], tuple[Array, State, Metrics]]


Step = Callable[[State, Tasks, Key], tuple[State, Metrics]]


def weighting(init: Callable[[int], State], step: Step) -> Weighting:
  """A weighting that keeps its state where a step is not finite.

  Args:
    init: K -> state with `weight_K`.
    step: (state, tasks, key) -> (state, metrics).
  """

  def checked_init(num_tasks: int) -> State:
    if not isinstance(num_tasks, int) or num_tasks < 1:
      raise ValueError(f"num_tasks={num_tasks!r} must be an integer >= 1.")
    return init(num_tasks)

  def update(
    state: State, tasks: Tasks, key: Key
  ) -> tuple[Array, State, Metrics]:
    tasks = _checked(tasks, len(state.weight_K))
    proposed, metrics = step(state, tasks, key)
    fine = jnp.all(
      jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(proposed)])
    )
    # Per state and not per entry: one NaN spoils what a projection returns.
    state = jax.tree.map(
      lambda new, old: jax.lax.stop_gradient(jnp.where(fine, new, old)),
      proposed,
      state,
    )
    rejected = 1 - widen(fine)
    return state.weight_K, state, {**metrics, "rejected": rejected}

  return Weighting(checked_init, update)


def _checked(tasks: Tasks, num_tasks: int) -> Tasks:
  """The tasks, whose losses complain if they are not `num_tasks` many."""

  def check(loss_K: ArrayLike) -> Array:
    loss_K = jnp.asarray(loss_K)
    if loss_K.shape != (num_tasks,):
      raise ValueError(
        f"auxiliary_losses returned {loss_K.dtype}{list(loss_K.shape)}, but "
        f"the state was made by init({num_tasks}); expected [{num_tasks}]."
      )
    return loss_K

  def auxiliary_losses(params: Tree) -> Array:
    return check(tasks.auxiliary_losses(params))

  def all_losses(params: Tree) -> tuple[Array, Array]:
    primary, loss_K = tasks.all_losses(params)
    return primary, check(loss_K)

  return tasks._replace(
    auxiliary_losses=auxiliary_losses,
    all_losses=tasks.all_losses and all_losses,
  )


class Weights(NamedTuple):
  """State of a weighting that remembers nothing but its weights."""

  weight_K: Array


def equal_weights(num_tasks: int) -> Weights:
  """All ones, where every weighting starts but Auto-Lambda."""
  return Weights(ones(num_tasks))


def ones(num_tasks: int) -> Array:
  """[K] in the default float type."""
  return jnp.ones(num_tasks, jnp.result_type(float))


def widen(x: ArrayLike) -> Array:
  """In the default float type, in which all sums and products are formed."""
  return jnp.asarray(x, jnp.result_type(float))


def per_task(x: ArrayLike, num_tasks: int) -> Array:
  """An option that is one number, or one for each task, as [K]."""
  return jnp.broadcast_to(widen(x), (num_tasks,))


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
  """Raises ValueError unless an option is one of those known."""
  if value not in known:
    raise ValueError(f"{name}={value!r}; known: {', '.join(known)}.")
