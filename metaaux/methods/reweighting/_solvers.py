"""Convex minimisation over the scaled simplex, for a handful of weights."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from metaaux import simplex
from metaaux.methods.reweighting._core import Array


def minimise(
  gradient: Callable[[Array], Array],
  curvature: Callable[[Array], Array],
  start: Array,
  total: ArrayLike = 1.0,
  *,
  tolerance: float = 1e-6,
  max_steps: int = 2000,
) -> tuple[Array, Array]:
  """Accelerated projected gradient steps on {x >= 0, sum x = total}.

  Nesterov's momentum, which starts anew whenever a step points against it
  (O'Donoghue & Candes 2015, section 3.2, the gradient scheme).

  Args:
    gradient: [K] -> [K], of a convex function.
    curvature: [K] -> scalar > 0, of a quadratic with the function's value and
      slope at that point that lies nowhere below the function.
    start: [K], on the simplex.
    total: what the weights sum to.
    tolerance: stops when no entry moves by more.
    max_steps: stops in any case.

  Returns:
    The minimiser [K] and the number of steps, int32.
  """

  def unfinished(carry: tuple) -> Array:
    *_, moved, count = carry
    # A NaN ends it too.
    return (moved > tolerance) & (count < max_steps)

  def step(carry: tuple) -> tuple:
    x, point, momentum, _, count = carry
    new = simplex.project(point - gradient(point) / curvature(point), total)
    against = jnp.sum((point - new) * (new - x)) > 0
    grown = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
    carried_on = jnp.where(against, 0, (momentum - 1) / grown)
    moved = jnp.max(jnp.abs(new - x))
    grown = jnp.where(against, 1, grown)
    return new, new + carried_on * (new - x), grown, moved, count + 1

  one = jnp.ones((), start.dtype)
  carry = (start, start, one, one * jnp.inf, jnp.int32(0))
  x, *_, count = jax.lax.while_loop(unfinished, step, carry)
  return x, count
