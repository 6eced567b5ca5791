"""The dense heads that every network shares."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import linen as nn

Array = jax.Array

PREFIX = "head_"


DECODERS = ("hidden", "linear")


class Head(nn.Module):
  """Dense(hidden), ReLU, Dense(num_classes): [B, D] -> logits [B, n].

  With `hidden` 0 it is the last Dense alone.
  """

  hidden: int
  num_classes: int

  @nn.compact
  def __call__(self, features_BxD: Array) -> Array:
    """Logits, not normalised."""
    x = features_BxD
    if self.hidden:
      x = nn.relu(nn.Dense(self.hidden)(x))
    return nn.Dense(self.num_classes)(x)


def apply_heads(
  features_BxD: Array,
  heads: Mapping[str, int],
  hidden: int,
  decoder: str,
) -> dict[str, Array]:
  """Logits by head name; to be called inside a compact module.

  Args:
    features_BxD: what the trunk gives.
    heads: number of classes by head; 0: the features as they come, [B, D].
    hidden: width of the hidden layer; 0: there is none.
    decoder: "hidden": each head has a hidden layer of its own; "linear": all
      heads share one, which belongs to the trunk, and each is one Dense.
  """
  if decoder == "linear" and hidden:
    features_BxD = nn.relu(nn.Dense(hidden, name="hidden")(features_BxD))
    hidden = 0
  return {
    name: (
      Head(hidden, size, name=PREFIX + name)(features_BxD)
      if size
      else features_BxD
    )
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
