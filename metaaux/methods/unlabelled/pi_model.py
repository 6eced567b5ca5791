"""Pi-model: two views of an image should be told alike.

Laine & Aila 2017, as a comparator of Shi et al. 2020: the squared difference of
the softmax outputs on two views, the first constant, with weight 20.
"""

from typing import Any

import jax

from metaaux.methods.unlabelled import consistency
from metaaux.methods.unlabelled.consistency import Pass
from metaaux.stage import Array, Spec, Stage


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """The one stage of the Pi-model.

  Args:
    config: as for `consistency.stage`.
    spec: the problem.
    axis_name: devices to average over, None on one device.
  """

  def auxiliary(look: Pass) -> tuple[Array]:
    second = look.logits(look.params, consistency.perturbed(config, look), 1)
    gap_B = consistency.squared_difference(
      second, jax.lax.stop_gradient(look.first)
    )
    return (consistency.unlabelled(look, gap_B).mean(),)

  weights = {"consistency": 20.0}
  stage = consistency.stage(
    config, spec, auxiliary, weights, axis_name=axis_name
  )
  return (stage,)
