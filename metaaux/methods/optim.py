"""Optimisers from a config: optax transformations and a schedule in steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaaux.errors import UserError

Params = Any


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


def schedule(config: Any, num_steps: int) -> Callable[[jax.Array], jax.Array]:
  """Learning rate as a function of the step.

  Args:
    config: `learning_rate`, `schedule` ("constant", "step" or "cosine"),
      `decay_every` (steps) and `decay_factor` (both of "step" only).
    num_steps: length of the stage, where "cosine" reaches zero.

  Returns:
    A function of an int32 scalar.

  Raises:
    UserError: `schedule` is unknown.
  """
  base = config.learning_rate
  if config.schedule == "constant":
    return lambda step: jnp.asarray(base, jnp.float32)
  if config.schedule == "step":
    every, factor = config.decay_every, config.decay_factor
    return lambda step: base * jnp.float32(factor) ** (step // every)
  if config.schedule == "cosine":
    return optax.cosine_decay_schedule(base, num_steps)
  raise UserError(
    f"schedule={config.schedule!r} is unknown; use constant, step or cosine"
  )


def _direction(config: Any) -> optax.GradientTransformation:
  if config.name == "sgd":
    return optax.trace(config.momentum) if config.momentum else optax.identity()
  if config.name == "adam":
    return optax.scale_by_adam()
  raise UserError(f"optimizer {config.name!r} is unknown; use sgd or adam")


def make(config: Any, num_steps: int) -> Optimizer:
  """Clipping, L1 and L2 decay, then SGD or Adam, then the learning rate.

  Decay is added to the gradient (coupled, as the papers' code has it), after
  clipping and before momentum or Adam.

  Args:
    config: `name` ("sgd" or "adam"), `momentum` (sgd), `weight_decay` (L2),
      `l1`, `clip_norm` (0: none) and what `schedule` reads.
    num_steps: length of the stage.

  Raises:
    UserError: the name or the schedule is unknown.
  """
  parts = []
  if config.clip_norm:
    parts.append(optax.clip_by_global_norm(config.clip_norm))
  if config.l1:
    parts.append(_l1_decay(config.l1))
  if config.weight_decay:
    parts.append(optax.add_decayed_weights(config.weight_decay))
  transform = optax.chain(*parts, _direction(config))
  learning_rate = schedule(config, num_steps)

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
