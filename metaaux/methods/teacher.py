"""A teacher: the moving average of a network's parameters."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Tree = Any


class Teacher(NamedTuple):
  """Averaged parameters, and how many have been averaged (int32)."""

  params: Tree
  steps: jax.Array


def start(params: Tree) -> Teacher:
  """A copy, since the parameters' memory is reused by the next step."""
  return Teacher(jax.tree.map(jnp.copy, params), jnp.int32(0))


def follow(teacher: Teacher, params: Tree, highest: float) -> Teacher:
  """a teacher + (1 - a) params, a = min(1 - 1 / (t + 1), highest).

  The t-th call, from 1, so that early on the teacher is the plain mean, as
  in the code of ARML.
  """
  steps = teacher.steps + 1
  decay = jnp.minimum(1 - 1 / (steps + 1), highest)
  averaged = jax.tree.map(
    lambda a, b: (decay * a + (1 - decay) * b).astype(a.dtype),
    teacher.params,
    params,
  )
  return Teacher(averaged, steps)
