"""The dense heads that every network shares."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import linen as nn

Array = jax.Array

PREFIX = "head_"


class Head(nn.Module):
  """Dense(hidden), ReLU, Dense(num_classes): [B, D] -> logits [B, n]."""

  hidden: int
  num_classes: int

  @nn.compact
  def __call__(self, features_BxD: Array) -> Array:
    """Logits, not normalised."""
    x = nn.Dense(self.hidden)(features_BxD)
    return nn.Dense(self.num_classes)(nn.relu(x))


def apply_heads(
  features_BxD: Array,
  heads: Mapping[str, int],
  hidden: int,
) -> dict[str, Array]:
  """Logits by head name; to be called inside a compact module.

  Args:
    features_BxD: what the trunk gives.
    heads: number of classes by head.
    hidden: width of the hidden layer.
  """
  return {
    name: Head(hidden, size, name=PREFIX + name)(features_BxD)
    for name, size in heads.items()
  }


def is_head(path: tuple[Any, ...]) -> bool:
  """Whether a key path of `jax.tree_util` into the parameters is in a head."""
  name = getattr(path[0], "key", path[0])
  return str(name).startswith(PREFIX)


def trunk(params: Mapping[str, Any]) -> dict[str, Any]:
  """The parameters that all heads share, without those of the heads."""
  return {
    name: leaves
    for name, leaves in params.items()
    if not name.startswith(PREFIX)
  }
