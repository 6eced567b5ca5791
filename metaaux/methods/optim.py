"""Optimisers from options: optax transformations, a schedule in steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaaux.errors import UserError

Params = Any


class OptimizerOptions(NamedTuple):
  """What an optimiser is made of: the keys of a config's section `optimizer`.

  Attributes:
    name: "sgd", "adam" or "adamw".
    learning_rate: at step 0.
    momentum: of sgd.
    weight_decay: L2, added to the gradient; of adamw, decoupled.
    l1: times sign(params), added to the gradient.
    clip_norm: of the gradient; 0: no clipping.
    schedule: "constant", "step" or "cosine".
    decay_every: of "step", in steps.
    decay_factor: of "step".
    warmup_steps: first steps, in which the rate grows linearly to what the
      schedule says.
  """

  name: str
  learning_rate: float
  momentum: float = 0.0
  weight_decay: float = 0.0
  l1: float = 0.0
  clip_norm: float = 0.0
  schedule: str = "constant"
  decay_every: int = 1000
  decay_factor: float = 0.5
  warmup_steps: int = 0

  @classmethod
  def of(cls, section: Any) -> "OptimizerOptions":
    """The options in a section such as `config.optimizer`."""
    return cls(**{name: section[name] for name in cls._fields})


class Optimizer(NamedTuple):
  """An optax transformation whose learning rate is read at an explicit step.

  Attributes:
    init: params -> optimiser state.
    update: (gradients, state, params, step) -> (new params, new state).
    learning_rate: step -> learning rate, a float32 scalar.
  """

  init: Callable[[Params], Any]
  update: Callable[[Params, Any, Params, jax.Array], tuple[Params, Any]]
  learning_rate: Callable[[jax.Array], jax.Array]


def _l1_decay(strength: float) -> optax.GradientTransformation:
  """Adds `strength * sign(params)`, the gradient of an L1 penalty."""

  def add_sign(updates: Params, params: Params) -> Params:
    return jax.tree.map(
      lambda g, p: g + strength * jnp.sign(p), updates, params
    )

  return optax.stateless(add_sign)


def schedule(
  options: OptimizerOptions, num_steps: int
) -> Callable[[jax.Array], jax.Array]:
  """Learning rate as a function of the step.

  Args:
    options: `learning_rate`, `schedule`, `decay_every`, `decay_factor` and
      `warmup_steps`.
    num_steps: length of the stage, where "cosine" reaches zero.

  Returns:
    A function of an int32 scalar.

  Raises:
    UserError: `schedule` is unknown.
  """
  rate = _schedule(options, num_steps)
  if not options.warmup_steps:
    return rate
  first = options.warmup_steps
  return lambda step: rate(step) * jnp.minimum((step + 1) / first, 1.0)


def _schedule(
  options: OptimizerOptions, num_steps: int
) -> Callable[[jax.Array], jax.Array]:
  base = options.learning_rate
  if options.schedule == "constant":
    return lambda step: jnp.asarray(base, jnp.float32)
  if options.schedule == "step":
    every, factor = options.decay_every, options.decay_factor
    return lambda step: base * jnp.float32(factor) ** (step // every)
  if options.schedule == "cosine":
    return optax.cosine_decay_schedule(base, num_steps)
  raise UserError(
    f"schedule={options.schedule!r} is unknown; use constant, step or cosine"
  )


def _direction(options: OptimizerOptions) -> optax.GradientTransformation:
  if options.name == "sgd":
    if not options.momentum:
      return optax.identity()
    return optax.trace(options.momentum)
  if options.name in ("adam", "adamw"):
    return optax.scale_by_adam()
  raise UserError(
    f"optimizer {options.name!r} is unknown; use sgd, adam or adamw"
  )


def make(options: OptimizerOptions, num_steps: int) -> Optimizer:
  """Clipping, L1 and L2 decay, then SGD or Adam, then the learning rate.

  Decay is added to the gradient (coupled, as the papers' code has it), after
  clipping and before momentum or Adam; with adamw after Adam (Loshchilov &
  Hutter 2019), for all parameters alike.

  Args:
    options: of the optimiser.
    num_steps: length of the stage.

  Raises:
    UserError: the name or the schedule is unknown.
  """
  parts = []
  if options.clip_norm:
    parts.append(optax.clip_by_global_norm(options.clip_norm))
  if options.l1:
    parts.append(_l1_decay(options.l1))
  decay = []
  if options.weight_decay:
    decay.append(optax.add_decayed_weights(options.weight_decay))
  direction = [_direction(options)]
  order = direction + decay if options.name == "adamw" else decay + direction
  transform = optax.chain(*parts, *order)
  learning_rate = schedule(options, num_steps)

  def update(
    gradients: Params, state: Any, params: Params, step: jax.Array
  ) -> tuple[Params, Any]:
    directions, state = transform.update(gradients, state, params)
    rate = learning_rate(step)
    params = jax.tree.map(
      lambda p, d: p - rate.astype(p.dtype) * d, params, directions
    )
    return params, state

  return Optimizer(transform.init, update, learning_rate)


def pair(first: Optimizer, second: Optimizer) -> Optimizer:
  """An optimiser of pairs of parameters, each half with one of its own.

  Args:
    first: of the first half; its learning rate is that of the pair.
    second: of the second half.
  """

  def init(params: tuple[Params, Params]) -> tuple[Any, Any]:
    return first.init(params[0]), second.init(params[1])

  def update(
    gradients: tuple[Params, Params],
    state: tuple[Any, Any],
    params: tuple[Params, Params],
    step: jax.Array,
  ) -> tuple[tuple[Params, Params], tuple[Any, Any]]:
    one = first.update(gradients[0], state[0], params[0], step)
    two = second.update(gradients[1], state[1], params[1], step)
    return (one[0], two[0]), (one[1], two[1])

  return Optimizer(init, update, first.learning_rate)
