"""Pseudo-label: the network learns from what it is sure of, as it goes.

Lee 2013, as the code of Shi et al. 2020 has it: above a confidence of 0.95 the
likeliest class, ten times as heavy; below it the prediction itself. Labels are
those of one view, and another is to be told so. Unlike self-training in rounds
(`self_training`), they change with every step.
"""

from typing import Any

import jax
import jax.numpy as jnp

from metaaux import losses
from metaaux.methods.unlabelled import consistency
from metaaux.methods.unlabelled.consistency import Pass
from metaaux.stage import Array, Spec, Stage

_CONFIDENT = 10.0


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """The one stage of pseudo-labels.

  Args:
    config: as for `consistency.stage`, with `consistency.threshold`.
    spec: the problem.
    axis_name: devices to average over, None on one device.
  """

  def auxiliary(look: Pass) -> tuple[Array]:
    found = look.logits(look.params, consistency.perturbed(config, look), 1)
    logits, first = (
      consistency.unlabelled(look, x) for x in (found, look.first)
    )
    threshold = config.consistency.threshold
    return (pseudo_loss(logits, first, threshold).mean(),)

  weights = {"pseudo_label": 1.0}
  stage = consistency.stage(
    config, spec, auxiliary, weights, axis_name=axis_name
  )
  return (stage,)


def pseudo_loss(logits_BxC: Array, first_BxC: Array, threshold: float) -> Array:
  """Cross-entropy with the network's own labels, which are constant: [B].

  Args:
    logits_BxC: that learn.
    first_BxC: logits that the labels are made of.
    threshold: of the highest probability, from which a label is hard.
  """
  p_BxC = jax.lax.stop_gradient(jax.nn.softmax(first_BxC))
  sure_B = p_BxC.max(-1) > threshold
  label_BxC = jax.nn.one_hot(p_BxC.argmax(-1), p_BxC.shape[-1])
  target_BxC = jnp.where(sure_B[:, None], _CONFIDENT * label_BxC, p_BxC)
  return losses.softmax_cross_entropy(logits_BxC, target_BxC)
