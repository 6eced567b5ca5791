"""ARML: the weighted auxiliary gradients should match the primary gradient.

Shi et al. 2020, "Auxiliary Task Reweighting for Minimum-data Learning"
(arXiv:2010.08244). With g_m the gradient of the primary loss and G the [P, K]
of the auxiliary ones, all with respect to the shared parameters, the weights
descend

  J(a) = || g_m - G a ||^2   on   { a >= 0, sum a = K },

one projected step an update. J is all that is left of the divergence between
the prior that the auxiliary tasks make and the true one.
"""

import jax.numpy as jnp

from metaaux import simplex
from metaaux.methods.reweighting import _gradients as gradients
from metaaux.methods.reweighting._core import (
  Array,
  Key,
  Metrics,
  Tasks,
  Weighting,
  Weights,
  check_choice,
  equal_weights,
  weighting,
)

PROJECTIONS = {"exact": simplex.project, "shift_clamp": simplex.shift_clamp}


def make(
  eta: float = 0.0125,
  *,
  eta_mode: str = "absolute",
  projection: str = "exact",
) -> Weighting:
  """One step on J and back to the simplex.

  An update costs one reverse pass, of r = L_m - sum a_k L_k, and one forward
  pass along r, which gives <g_k, r> for all tasks; dJ/da_k = -2 <g_k, r>. A
  weight of 0 can grow again.

  Args:
    eta: learning rate of the weights > 0. The code of ARML takes 0.05 on losses
      that are scaled by a half, which is 0.0125 on losses that are not. On a
      fixed H = G^T G it converges below 1 / (largest eigenvalue of H).
    eta_mode: "absolute", or "relative": eta / tr H with eta <= 1, for K more
      reverse passes. It converges on every fixed H if eta < 1; at 1 it can
      swing to and fro where all gradients are parallel.
    projection: "exact", or "shift_clamp" as in the code of ARML, whose weights
      can sum to more than K and which settles elsewhere.

  Returns:
    The weighting; weights >= 0, sum K for "exact". Metric: `mismatch`, J
    before the step, on this batch.

  Raises:
    ValueError: an option is unknown or eta out of range.
  """
  check_choice("eta_mode", eta_mode, ("absolute", "relative"))
  check_choice("projection", projection, tuple(PROJECTIONS))
  if not eta > 0 or (eta_mode == "relative" and eta > 1):
    raise ValueError(
      f"eta={eta!r} must be > 0, and <= 1 with eta_mode='relative'."
    )

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    del key
    mismatch, slope_K = weight_gradient(tasks, state.weight_K)
    rate = eta
    if eta_mode == "relative":
      _, square_K = gradients.squared_norms(tasks)
      rate = eta / jnp.maximum(jnp.sum(square_K), 1e-12)
    moved_K = state.weight_K - rate * slope_K
    weight_K = PROJECTIONS[projection](moved_K, total=len(moved_K))
    return Weights(weight_K), {"mismatch": mismatch}

  return weighting(equal_weights, step)


def weight_gradient(tasks: Tasks, weight_K: Array) -> tuple[Array, Array]:
  """J and its gradient dJ/da = -2 (b - H a), without forming H.

  Args:
    tasks: the tasks.
    weight_K: a, where J is evaluated.

  Returns:
    Scalar and [K].
  """
  r = gradients.sum_gradient(tasks, -weight_K)
  return gradients.dot(r, r), -2 * gradients.inner_products(tasks, r)
