"""Random loss weighting: a control that learned weights should beat."""

import jax

from metaaux.methods.reweighting._core import (
  Key,
  Metrics,
  Tasks,
  Weighting,
  Weights,
  equal_weights,
  weighting,
)


def make() -> Weighting:
  """K softmax(z), z drawn from N(0, I) at each update; evaluates nothing.

  Lin et al. 2022, over the auxiliary tasks alone.

  Note: LibMTL has no factor K; here the weights sum to K like all others.
  """

  def step(state: Weights, tasks: Tasks, key: Key) -> tuple[Weights, Metrics]:
    del tasks
    old_K = state.weight_K
    z_K = jax.random.normal(key, old_K.shape, old_K.dtype)
    return Weights(len(old_K) * jax.nn.softmax(z_K)), {}

  return weighting(equal_weights, step)
