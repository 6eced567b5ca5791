"""Nash-MTL: the combination that tasks would settle on by bargaining."""

import jax
import jax.numpy as jnp

from metaaux.methods.reweighting import _gradients as gradients
from metaaux.methods.reweighting._core import (
  Array,
  Key,
  Metrics,
  Tasks,
  Weighting,
  Weights,
  equal_weights,
  weighting,
)
from metaaux.methods.reweighting._products import (
  cosines,
  matmul,
  relative_to_primary,
)

# Bounds the weights where some combination of the gradients vanishes.
_RIDGE = 1e-5
_STEPS = 60


def make(*, smallest: float = 0.0) -> Weighting:
  """Weights a > 0 with (G^T G) a = 1 / a over all tasks, divided by a_m.

  Navon et al. 2022 (arXiv:2202.01017), eq. 3. K + 1 reverse and K + 1 forward
  passes.

  Note: the paper approximates by a sequence of convex problems; here Newton's
  method minimises b^T C b / 2 - sum log b_i, whose stationary point is the
  answer, with C the cosines and b_i = a_i ||g_i||. A task without gradient
  gets 0; if that is the primary task, the weights stay as they are. A task of
  small gradients gets a large weight, with no limit by itself.

  Args:
    smallest: share of all weights which the primary one counts as at least, so
      that the others sum to 1 / smallest at most; 0: as published, no bound.

  Returns:
    The weighting; weights >= 0, no fixed sum.

  Raises:
    ValueError: smallest is not in [0, 1).
  """
  if not 0 <= smallest < 1:
    raise ValueError(f"smallest={smallest!r} must be in [0, 1).")

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    del key
    weight_T = bargain(gradients.gram(tasks).of_all)
    weight_K = relative_to_primary(weight_T, state.weight_K, smallest)
    return Weights(weight_K), {}

  return weighting(equal_weights, step)


def bargain(products_TxT: Array) -> Array:
  """The positive solution [T] of A a = 1 / a, up to a common factor."""
  cosine_TxT, inverse_norm_T, _ = cosines(products_TxT)
  C = cosine_TxT + _RIDGE * jnp.eye(len(cosine_TxT), dtype=cosine_TxT.dtype)

  def newton(b_T: Array, _: None) -> tuple[Array, None]:
    slope_T = matmul(C, b_T) - 1 / b_T
    move_T = jnp.linalg.solve(C + jnp.diag(1 / b_T**2), slope_T)
    decrement = jnp.sqrt(jnp.maximum(jnp.sum(slope_T * move_T), 0))
    # The damped step of self-concordant functions, which stays positive.
    return b_T - move_T / (1 + decrement), None

  b_T, _ = jax.lax.scan(newton, jnp.ones_like(C[0]), None, length=_STEPS)
  return b_T * inverse_norm_T
