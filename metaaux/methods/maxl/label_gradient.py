"""The hypergradient of MAXL written out as a gradient in the labels.

L_train is linear in the labels Y, with the focal table T(theta) [B, K] as its
slope: d theta+ / d Y_ik = -(alpha / B) grad T_ik(theta). Hence, with v the
gradient of the primary loss at theta+,

  d L_pri(theta+) / d Y = -(alpha / B) JVP[theta -> T(theta)](theta; v),

one forward-mode pass for all B x K entries. It is exact for one SGD step, gives
the same numbers as differentiating through the step, and shows what each entry
of a label earns: Y_ik grows where lowering T_ik also lowers the primary loss.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux import losses, parallel

Array = jax.Array
Tree = Any


class Parts(NamedTuple):
  """L_train of one batch, taken apart.

  Attributes:
    generate: meta_params -> labels [B, K].
    train_loss: (params, labels) -> scalar.
    table: params -> focal table [B, K], auxiliary weight included; the mean
      over the batch of its product with the labels is the auxiliary term.
  """

  generate: Callable[[Tree], Array]
  train_loss: Callable[[Tree, Array], Array]
  table: Callable[[Tree], Array]


def hypergradient(
  parts: Parts,
  outer_loss: Callable[[Tree, Tree], Array],
  *,
  inner_lr: Array | float,
  axis_name: str | None = None,
  reshape: Callable[[Array], Array] = lambda slope_BxK: slope_BxK,
) -> Callable[[Tree, Tree], tuple[Array, Tree]]:
  """Outer loss after one SGD step, and its gradient in the meta-parameters.

  Args:
    parts: the inner loss.
    outer_loss: (params, meta_params) -> scalar; its direct dependence on the
      meta-parameters is added.
    inner_lr: alpha.
    axis_name: devices over which everything is averaged.
    reshape: applied to the JVP [B, K]; the identity gives the exact gradient.

  Returns:
    (params, meta_params) -> (outer loss at theta+, tree like meta_params).
  """

  def value_and_grad(params: Tree, meta_params: Tree) -> tuple[Array, Tree]:
    labels_BxK, pullback = jax.vjp(parts.generate, meta_params)
    grads = jax.grad(parts.train_loss)(params, labels_BxK)
    grads = parallel.pmean(grads, axis_name)
    adapted = jax.tree.map(lambda p, g: p - inner_lr * g, params, grads)
    value, (tangent, direct) = parallel.pmean(
      jax.value_and_grad(outer_loss, (0, 1))(adapted, meta_params), axis_name
    )
    _, slope_BxK = jax.jvp(parts.table, (params,), (tangent,))
    slope_BxK = reshape(slope_BxK)
    (indirect,) = pullback(-inner_lr / len(slope_BxK) * slope_BxK)
    indirect = parallel.pmean(indirect, axis_name)
    return value, jax.tree.map(jnp.add, indirect, direct)

  return value_and_grad


def centre(
  slope_BxK: Array,
  primary_B: Array,
  psi: tuple[int, ...],
  axis_name: str | None = None,
) -> Array:
  """Removes what a whole class has in common, and scales to unit size.

  An addition to the paper. The part of the slope that is equal for all
  examples of a primary class moves the whole class to one label, and drowns
  what distinguishes its examples.

  Args:
    slope_BxK: derivative of the primary loss in each label entry, up to sign.
    primary_B: primary classes.
    psi: number of auxiliary classes of each primary class.
    axis_name: devices that share the batch.

  Returns:
    [B, K]: minus its mean over the examples of the same class, divided by its
    root mean square inside the blocks (unchanged where that is 0).
  """
  class_BxC = jax.nn.one_hot(primary_B, len(psi), dtype=slope_BxK.dtype)
  sums_CxK, counts_C, mask_BxK = (
    class_BxC.T @ slope_BxK,
    class_BxC.sum(0),
    losses.class_mask(primary_B, psi),
  )
  sums_CxK, counts_C = parallel.pmean((sums_CxK, counts_C), axis_name)
  means_CxK = sums_CxK / jnp.where(counts_C > 0, counts_C, 1)[:, None]
  centred_BxK = slope_BxK - means_CxK[primary_B]
  inside = jnp.where(mask_BxK, jnp.square(centred_BxK), 0)
  total, number = parallel.pmean((inside.sum(), mask_BxK.sum()), axis_name)
  mean_square = total / number
  positive = mean_square > 0
  scale = jnp.sqrt(jnp.where(positive, mean_square, 1))
  return centred_BxK / scale
