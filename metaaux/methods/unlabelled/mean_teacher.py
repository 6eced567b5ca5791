"""Mean Teacher: the student agrees with the average of its own past.

Tarvainen & Valpola 2017, as a comparator of Shi et al. 2020: the squared
difference of the softmax outputs of student and teacher, each on a view of its
own, with weight 8. The student predicts.
"""

from typing import Any

import jax

from metaaux.methods.unlabelled import consistency
from metaaux.methods.unlabelled.consistency import Pass
from metaaux.stage import Array, Spec, Stage


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """The one stage of Mean Teacher.

  Args:
    config: as for `consistency.stage`, with `consistency.ema`.
    spec: the problem.
    axis_name: devices to average over, None on one device.
  """

  def auxiliary(look: Pass) -> tuple[Array]:
    teacher = look.logits(look.teacher, consistency.perturbed(config, look), 1)
    gap_B = consistency.squared_difference(
      look.first, jax.lax.stop_gradient(teacher)
    )
    return (consistency.unlabelled(look, gap_B).mean(),)

  weights = {"consistency": 8.0}
  stage = consistency.stage(
    config, spec, auxiliary, weights, teacher=True, axis_name=axis_name
  )
  return (stage,)
