"""What to watch in a MAXL run, and when to warn."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from metaaux import models, parallel
from metaaux.stage import Array, Metrics

Tree = Any


def virtual_step(
  terms: Callable[[Tree], Mapping[str, Array]],
  params: Tree,
  *,
  inner_lr: Array | float,
  weight: float,
  axis_name: str | None = None,
) -> Metrics:
  """What one inner step on a batch does to the primary loss of that batch.

  Args:
    terms: params -> `primary_loss` and `auxiliary_loss` of the batch.
    params: of the evaluator.
    inner_lr: rate of the step.
    weight: of the auxiliary loss.
    axis_name: devices that share the batch.

  Returns:
    `meta_primary_loss`, the primary loss before the step (nats); `meta_gain`,
    by how much the step lowers it; and `gradient_cosine` between the gradients
    of the two losses in the trunk, the layers that both heads share.
  """

  def gradient(name: str) -> tuple[Array, Tree]:
    return jax.value_and_grad(lambda p: terms(p)[name])(params)

  before, primary, auxiliary = parallel.pmean(
    (*gradient("primary_loss"), gradient("auxiliary_loss")[1]), axis_name
  )
  adapted = jax.tree.map(
    lambda p, g, h: p - inner_lr * (g + weight * h), params, primary, auxiliary
  )
  after = parallel.pmean(terms(adapted)["primary_loss"], axis_name)
  cosine = _cosine(models.trunk(primary), models.trunk(auxiliary))
  return {
    "meta_primary_loss": before,
    "meta_gain": before - after,
    "gradient_cosine": cosine,
  }


def _cosine(a: Tree, b: Tree) -> Array:
  """Cosine of the angle between two trees; 0 where one of them is 0."""
  product = _dot(a, b)
  norm = jnp.sqrt(_dot(a, a) * _dot(b, b))
  return jnp.where(norm > 0, product / jnp.where(norm > 0, norm, 1), 0)


def _dot(a: Tree, b: Tree) -> Array:
  return sum(jax.tree.leaves(jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)))


def relative_distance(params: Tree, initial: Tree) -> Array:
  """Norm of params - initial over the norm of initial."""
  difference = jax.tree.map(jnp.subtract, params, initial)
  return jnp.sqrt(_dot(difference, difference) / _dot(initial, initial))


def alarms(metrics: Mapping[str, float]) -> dict[str, str]:
  """Warnings on the labels and the virtual step of an evaluation.

  Args:
    metrics: of `losses.label_statistics` and of the probe.

  Returns:
    Kind -> one line, for each thing that looks wrong; one on the labels at
    most.
  """
  found = _about_labels(metrics)
  gain, loss = metrics["meta_gain"], metrics["meta_primary_loss"]
  # Below that it is rounding, or a task that is learned already.
  if gain < -max(1e-4, 1e-3 * loss):
    found["gain"] = (
      f"a training step raises the primary loss (from {loss:.3g} by "
      f"{-gain:.1e}); lower optimizer.learning_rate"
    )
  if metrics["gradient_cosine"] < 0:
    found["cosine"] = (
      "the gradients of the two tasks oppose each other (cosine "
      f"{metrics['gradient_cosine']:.2f})"
    )
  return found


def _about_labels(metrics: Mapping[str, float]) -> dict[str, str]:
  """{} or the one thing that is most wrong with the labels."""
  uniform, sample = metrics["uniform_entropy"], metrics["sample_entropy"]
  if not uniform > 0:
    return {}  # one auxiliary class each: there is nothing to say
  # Of the mean label of each class, on average.
  spread = sample + metrics["information"]
  if spread < 0.05 * uniform:
    return {
      "collapsed": (
        "the labels have collapsed: each primary class uses one auxiliary "
        "class; raise maxl.entropy_weight or lower "
        "generator.optimizer.learning_rate"
      )
    }
  nothing = (
    "they say nothing that the primary label does not; compare with "
    "method=uniform"
  )
  # What is likeliest of such labels is noise: their use is not looked at.
  if sample > 0.98 * uniform:
    return {
      "uniform": (
        "the generated labels are almost uniform within their block (entropy "
        f"{sample:.3f} of {uniform:.3f}): {nothing}"
      )
    }
  information = metrics["information_fraction"]
  if information < 0.01:
    return {
      "uninformative": (
        "all images of a class get almost the same label (information "
        f"{information:.2%}): {nothing}"
      )
    }
  if metrics["label_usage"] < 0.5:
    return {
      "usage": (
        f"few auxiliary classes are in use ({metrics['label_usage']:.0%}): the "
        "others are the likeliest label of next to no image"
      )
    }
  return {}
