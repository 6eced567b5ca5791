"""VAT: predictions should stand the smallest change that hurts them most.

Miyato et al. 2018, as a comparator of Shi et al. 2020, with entropy
minimisation as an option. With p(x) the prediction on an image and F the Fisher
information of its logits z,

  d <- (dz/dx)^T F (dz/dx) d, one step of the power method from a random d
  loss = KL(p(x + epsilon d / ||d||) || p(x)), p(x) constant

Note: the published code finds that step as the gradient of the divergence at a
distance of 1e-6, which float32 hardly resolves; here it is the limit.
"""

from typing import Any

import jax
import jax.numpy as jnp

from metaaux import losses
from metaaux.methods import example_keys, views
from metaaux.methods.unlabelled import consistency
from metaaux.methods.unlabelled.consistency import Pass
from metaaux.stage import Array, Spec, Stage


def make(
  config: Any,
  spec: Spec,
  *,
  entropy: bool = False,
  axis_name: str | None = None,
) -> tuple[Stage, ...]:
  """The one stage of VAT.

  Args:
    config: as for `consistency.stage`, with `consistency.epsilon` and
      `consistency.entropy_weight`.
    spec: the problem.
    entropy: whether the entropy of the predictions is minimised, too.
    axis_name: devices to average over, None on one device.
  """

  def auxiliary(look: Pass) -> tuple[Array, ...]:
    divergence_B = adversarial_divergence(look, config.consistency.epsilon)
    found = (consistency.unlabelled(look, divergence_B).mean(),)
    if not entropy:
      return found
    p_BxC = jax.nn.softmax(consistency.unlabelled(look, look.first))
    return (*found, losses.sample_entropy(p_BxC))

  weights = {"vat": 0.3}
  if entropy:
    weights["entropy"] = config.consistency.entropy_weight
  stage = consistency.stage(
    config, spec, auxiliary, weights, second_view=False, axis_name=axis_name
  )
  return (stage,)


def adversarial_divergence(look: Pass, epsilon: float) -> Array:
  """KL at the adversarial point of each image: [2 B]."""
  params = jax.lax.stop_gradient(look.params)
  start = views.add_noise(
    jnp.zeros_like(look.images), example_keys.fold_keys(look.keys, 20), 1.0
  )
  clean = jax.lax.stop_gradient(look.first)

  def logits(images: Array) -> Array:
    return look.logits(params, images, 0)

  direction = jax.lax.stop_gradient(
    power_step(logits, look.images, unit(start))
  )
  moved = look.logits(look.params, look.images + epsilon * unit(direction), 0)
  return divergence(moved, clean)


def power_step(logits: Any, images: Array, direction: Array) -> Array:
  """(dz/dx)^T F (dz/dx) d: one forward-mode and one reverse pass.

  Args:
    logits: images [B, ...] -> z [B, C].
    images: x.
    direction: d, like the images.
  """
  z, pushed = jax.jvp(logits, (images,), (direction,))
  p = jax.nn.softmax(z)
  fisher = p * (pushed - (p * pushed).sum(-1, keepdims=True))
  _, pullback = jax.vjp(logits, images)
  return pullback(fisher)[0]


def divergence(a_BxC: Array, b_BxC: Array) -> Array:
  """KL(softmax(a) || softmax(b)) of each row, in nats: [B]."""
  log_a, log_b = jax.nn.log_softmax(a_BxC), jax.nn.log_softmax(b_BxC)
  return (jnp.exp(log_a) * (log_a - log_b)).sum(-1)


def unit(x_Bx: Array) -> Array:
  """Each image divided by its norm; one of zeros stays."""
  axes = tuple(range(1, x_Bx.ndim))
  # In units of the largest entry, since squares of small ones underflow.
  largest = jnp.abs(x_Bx).max(axes, keepdims=True)
  x_Bx = x_Bx / jnp.where(largest == 0, 1, largest)
  square = (x_Bx**2).sum(axes, keepdims=True)
  return x_Bx / jnp.sqrt(jnp.where(square == 0, 1, square))
