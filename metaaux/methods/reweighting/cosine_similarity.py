"""Gradient similarity: a task helps if it points where the primary one does."""

import jax.numpy as jnp

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

_SMALLEST_SQUARE = 1e-12


def make(kind: str = "indicator") -> Weighting:
  """1 where <g_m, g_k> > 0, else 0; or max(0, cos(g_m, g_k)).

  Du et al. 2018. The indicator takes one reverse and one forward pass,
  `weighted` K reverse ones on top.

  Args:
    kind: "indicator" or "weighted". The cosine with a gradient of norm below
      1e-6 is 0.

  Returns:
    The weighting; the weights do not sum to K.

  Raises:
    ValueError: no such kind.
  """
  check_choice("kind", kind, ("indicator", "weighted"))

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    del key
    _, primary = gradients.gradient(tasks, tasks.primary_loss)
    product_K = gradients.inner_products(tasks, primary)
    if kind == "indicator":
      open_K = jnp.where(product_K > 0, 1, 0).astype(product_K.dtype)
      # NaN > 0 is False; a NaN has to show, so that the update is rejected.
      return Weights(jnp.where(jnp.isfinite(product_K), open_K, jnp.nan)), {}
    _, square_K = gradients.squared_norms(tasks)
    # A product of roots: that of two small squares could underflow.
    length_K = _norm(square_K) * _norm(gradients.dot(primary, primary))
    cosine_K = product_K / jnp.where(length_K == 0, jnp.inf, length_K)
    return Weights(jnp.maximum(cosine_K, 0)), {}

  return weighting(equal_weights, step)


def _norm(square: Array) -> Array:
  """Root of a square, and 0 where it is too small for a direction."""
  return jnp.sqrt(jnp.where(square <= _SMALLEST_SQUARE, 0, square))
