"""Soft masks on the convolutions of another network's parameters.

Feng & Chen, eq. 1 and 2: the effective kernel is mask times weight, masks are
never negative, and an L1 penalty pulls them to 0. A mask is a tree of its own,
so that the network does not know of it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

Array = jax.Array
Key = jax.Array
Tree = Any

GRANULARITIES = ("weight", "filter")


def init(
  key: Key | None,
  params: Tree,
  granularity: str = "weight",
  *,
  spread: float = 0.1,
) -> Tree:
  """Masks of all convolution kernels: U(1 - spread, 1 + spread), or ones.

  The mean is 1, so that features keep their size through many layers.

  Args:
    key: a typed key; None: ones.
    params: a tree of dicts; kernels [h, w, C_in, C_out] named "kernel" get one.
    granularity: "weight": a mask entry for each weight; "filter": one for each
      output channel, [1, 1, 1, C_out].
    spread: half the width of the distribution.

  Returns:
    {path: mask}, the path in `jax.tree_util.keystr` form.

  Raises:
    ValueError: the granularity is unknown, or there is no convolution.
  """
  if granularity not in GRANULARITIES:
    raise ValueError(
      f"granularity={granularity!r}; known: {', '.join(GRANULARITIES)}."
    )
  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  masks = {}
  for i, (path, leaf) in enumerate(leaves):
    if _is_kernel(path, leaf):
      shape = (
        leaf.shape if granularity == "weight" else (1, 1, 1, leaf.shape[3])
      )
      mask = jnp.ones(shape, leaf.dtype)
      if key is not None:
        mask += spread * jax.random.uniform(
          jax.random.fold_in(key, i), shape, leaf.dtype, -1, 1
        )
      masks[jax.tree_util.keystr(path)] = mask
  if not masks:
    raise ValueError("no convolution kernel [h, w, in, out] in the parameters.")
  return masks


def effective(params: Tree, masks: Tree) -> Tree:
  """Parameters whose convolution kernels are mask times weight (eq. 1)."""

  def one(path: tuple[Any, ...], leaf: Array) -> Array:
    mask = masks.get(jax.tree_util.keystr(path))
    return leaf if mask is None else jnp.broadcast_to(mask, leaf.shape) * leaf

  return jax.tree_util.tree_map_with_path(one, params)


def penalty(masks: Tree, reduction: str = "mean") -> Array:
  """L1 norm of the masks, which are not negative: a scalar.

  Args:
    masks: of `init`.
    reduction: "mean" in each layer, or "sum", the paper's. Both are summed over
      layers, and differentiated as sums: the gradient of |m| at 0 would be 0.

  Raises:
    ValueError: the reduction is unknown.
  """
  if reduction not in ("mean", "sum"):
    raise ValueError(f"reduction={reduction!r}; use mean or sum.")
  reduce = jnp.mean if reduction == "mean" else jnp.sum
  return sum(reduce(mask) for mask in jax.tree.leaves(masks))


def project(masks: Tree) -> Tree:
  """Negative entries become 0; to be called after every update."""
  return jax.tree.map(lambda mask: jnp.maximum(mask, 0), masks)


def without_outward(state: Tree, masks: Tree) -> Tree:
  """An optimiser state whose momentum does not push masks of 0 below 0.

  Else a mask stays at 0 long after its gradient has turned.

  Args:
    state: of an optax transformation; of `optax.trace` or `scale_by_adam`, or
      of one without momentum, which stays as it is.
    masks: projected.
  """
  for name in ("trace", "mu"):
    momentum = optax.tree.get(state, name)
    if momentum is not None:
      kept = jax.tree.map(
        lambda v, mask: jnp.where((mask == 0) & (v > 0), 0, v), momentum, masks
      )
      state = optax.tree.set(state, **{name: kept})
  return state


def share_near_zero(masks: Tree, threshold: float = 1e-3) -> dict[str, Array]:
  """Of each layer, the share of mask entries below a threshold."""
  return {name: jnp.mean(mask < threshold) for name, mask in masks.items()}


def _is_kernel(path: tuple[Any, ...], leaf: Array) -> bool:
  return str(getattr(path[-1], "key", path[-1])) == "kernel" and leaf.ndim == 4
