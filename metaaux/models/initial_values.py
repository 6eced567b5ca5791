"""Initial values of parameters and batch statistics."""

import math
import zlib
from typing import Any

import jax
import jax.numpy as jnp

from metaaux.errors import UserError
from metaaux.models.heads import is_head

Array = jax.Array
Key = jax.Array

# Standard deviation of a normal variable cut off at two of its own.
_CUT_DEVIATION = 0.87962566103423978


def _uniform(key: Key, size: int) -> Array:
  edge = math.sqrt(3)
  return jax.random.uniform(key, (size,), minval=-edge, maxval=edge)


def _normal(key: Key, size: int) -> Array:
  return jax.random.truncated_normal(key, -2, 2, (size,)) / _CUT_DEVIATION


_TRUNK = "trunk"
# Draws of mean 0 and variance 1.
_DRAWS = {
  "glorot_uniform": _uniform,
  "glorot_normal": _normal,
  "he_normal": _normal,
  "he_fan_out": _normal,
}


def check(kernel_init: str) -> None:
  """Raises UserError unless `kernel_init` is known."""
  if kernel_init not in _DRAWS:
    raise UserError(
      f"model.kernel_init is {kernel_init!r}; use one of {', '.join(_DRAWS)}."
    )


def values(
  key: Key, shapes: Any, kernel_init: str, head_deviation: float = 0.0
) -> Any:
  """Variables of a Linen network, drawn by the names of their leaves.

  Kernels have variance 2 / (fan in + fan out) (Glorot & Bengio 2010) or, with
  "he_normal", 2 / fan in (He et al. 2015), or, with "he_fan_out", 2 / fan out
  for convolutions and the first for dense layers; normal draws are cut off at
  two deviations and scaled back to that variance. Scales and variances are 1,
  everything else is 0.

  The trunk and each head have keys of their own, so that a network with one
  more head starts from the same values in all that it shares with another.

  Note: one draw serves all kernels of the trunk, because XLA takes about half
  a second to compile each shape of a draw, and Linen draws a dozen.

  Args:
    key: a typed key.
    shapes: a tree of dicts of `jax.ShapeDtypeStruct`.
    kernel_init: "glorot_uniform", "glorot_normal", "he_normal" or "he_fan_out".
    head_deviation: standard deviation of kernels in heads; 0: as the others'.

  Returns:
    A tree of arrays of these shapes and dtypes.
  """
  leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
  sizes: dict[str, int] = {}
  for path, leaf in leaves:
    if path[-1].key == "kernel":
      part = _part(path)
      sizes[part] = sizes.get(part, 0) + leaf.size
  draws = {
    part: _DRAWS[kernel_init](_fold_name(key, part), size)
    for part, size in sizes.items()
  }
  drawn, used = [], dict.fromkeys(sizes, 0)
  for path, leaf in leaves:
    if path[-1].key == "kernel":
      part = _part(path)
      first, used[part] = used[part], used[part] + leaf.size
      values = draws[part][first : used[part]].reshape(leaf.shape)
      deviation = _deviation(leaf.shape, kernel_init)
      if head_deviation and part != _TRUNK:
        deviation = head_deviation
      drawn.append((values * deviation).astype(leaf.dtype))
    else:
      constant = float(path[-1].key in ("scale", "var"))
      drawn.append(jnp.full(leaf.shape, constant, leaf.dtype))
  return jax.tree.unflatten(structure, drawn)


def _part(path: tuple[Any, ...]) -> str:
  """The head that a leaf of {"params": ...} belongs to, or "trunk"."""
  return path[1].key if is_head(path[1:]) else _TRUNK


def _fold_name(key: Key, name: str) -> Key:
  return jax.random.fold_in(key, zlib.crc32(name.encode()) & 0x7FFFFFFF)


def _deviation(shape: tuple[int, ...], kernel_init: str) -> float:
  field, (fan_in, fan_out) = math.prod(shape[:-2]), shape[-2:]
  if kernel_init == "he_normal":
    return math.sqrt(2 / (field * fan_in))
  if kernel_init == "he_fan_out" and len(shape) == 4:
    return math.sqrt(2 / (field * fan_out))
  return math.sqrt(2 / (field * (fan_in + fan_out)))
