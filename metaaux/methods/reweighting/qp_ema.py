"""ARML's objective solved to its end, with averaged gradient products."""

from typing import NamedTuple

import jax.numpy as jnp

from metaaux.methods.reweighting import _gradients as gradients
from metaaux.methods.reweighting._core import (
  Array,
  Key,
  Metrics,
  Tasks,
  Weighting,
  ones,
  weighting,
)
from metaaux.methods.reweighting._products import matmul
from metaaux.methods.reweighting._solvers import minimise


class QpEmaState(NamedTuple):
  """Weights, moving averages of H [K, K] and b [K], how many they average."""

  weight_K: Array
  H: Array
  b: Array
  count: Array


def make(decay: float = 0.95, *, ridge: float = 1e-6) -> Weighting:
  """The minimiser of the averaged J on the simplex; not in the paper.

  a = argmin a^T H a - 2 b^T a + rho |a - 1|^2 over {a >= 0, sum a = K}, with
  H and b exponential moving averages, each divided by 1 - decay^t, and
  rho = ridge * (harmonic mean of the squared gradient norms), which makes ties
  the most uniform and is small beside the shortest gradient, too.

  Note: ours, not of the paper. An update costs K + 1 reverse and K + 1 forward
  passes and some linear systems of K numbers. The solver starts from equal
  weights and not from the last ones, so that a tie forgets what an earlier
  batch made of it.

  Args:
    decay: of the averages, 0 <= decay < 1; 0 takes each batch by itself.
    ridge: >= 0, relative to the squared gradient norms.

  Returns:
    The weighting; weights >= 0, sum K. Metrics: `mismatch`, J on this batch
    before the update; `largest_eigenvalue` of the averaged H, whose inverse
    bounds the eta of `arml`; `solver_steps`.

  Raises:
    ValueError: an option is out of range.
  """
  if not 0 <= decay < 1 or not ridge >= 0:
    raise ValueError(
      f"decay={decay!r} must be in [0, 1) and ridge={ridge!r} >= 0."
    )

  def init(num_tasks: int) -> QpEmaState:
    one_K = ones(num_tasks)
    zero_KxK = jnp.zeros((num_tasks, num_tasks), one_K.dtype)
    return QpEmaState(one_K, zero_KxK, 0 * one_K, jnp.int32(0))

  def step(
    state: QpEmaState, tasks: Tasks, key: Key
  ) -> tuple[QpEmaState, Metrics]:
    del key
    now = gradients.gram(tasks)
    count = state.count + 1
    H = decay * state.H + (1 - decay) * now.auxiliary
    b = decay * state.b + (1 - decay) * now.cross
    unbiased = 1 - decay ** count.astype(b.dtype)
    weight_K, steps, eigenvalue = solve(
      H / unbiased, b / unbiased, ones(len(b)), ridge
    )
    old_K = state.weight_K
    quadratic = jnp.sum(old_K * matmul(now.auxiliary, old_K))
    metrics = {
      "mismatch": now.primary - 2 * jnp.sum(now.cross * old_K) + quadratic,
      "largest_eigenvalue": eigenvalue,
      "solver_steps": steps.astype(b.dtype),
    }
    return QpEmaState(weight_K, H, b, count), metrics

  return weighting(init, step)


def solve(
  H: Array, b: Array, start_K: Array, ridge: float = 1e-6
) -> tuple[Array, Array, Array]:
  """argmin a^T H a - 2 b^T a + rho |a - 1|^2 over {a >= 0, sum a = K}.

  Args:
    H: [K, K], positive semidefinite.
    b: [K].
    start_K: where to start, and what is kept of it among equally good weights.
    ridge: rho in terms of the harmonic mean of the positive ones of H's
      diagonal.

  Returns:
    a [K], NaN where no optimum was found; the number of linear systems solved;
    and the largest eigenvalue of H.
  """
  num_tasks = len(b)
  # In units of the mean squared norm, so that small gradients do not vanish.
  scale = jnp.maximum(jnp.trace(H) / num_tasks, 1e-12)
  H, b = H / scale, b / scale
  eigenvalue = jnp.linalg.eigvalsh(H)[-1]
  square_K = jnp.diagonal(H)
  has_K = square_K > 0
  inverse = jnp.sum(jnp.where(has_K, 1 / jnp.where(has_K, square_K, 1), 0))
  # Of the short gradients: of the mean's size it would outweigh them.
  rho = ridge * jnp.sum(has_K) / jnp.where(inverse > 0, inverse, 1)
  identity = jnp.eye(num_tasks, dtype=H.dtype)
  found = minimise(H + rho * identity, b + rho, start_K, num_tasks)
  return found.weight_K, found.steps, eigenvalue * scale
