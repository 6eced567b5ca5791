"""The network of a trained embedding, for others to go on with."""

from collections.abc import Callable
from typing import Any, NamedTuple

from metaaux.errors import UserError
from metaaux.methods.embeddings import acai, deepcluster
from metaaux.stage import Array, Spec, State

Tree = Any


class Encoder(NamedTuple):
  """Images to vectors.

  Attributes:
    params_of: state of the embedding's last stage -> parameters.
    apply: (parameters, normalised images [B, H, W, C]) -> [B, d].
  """

  params_of: Callable[[State], Tree]
  apply: Callable[[Tree, Array], Array]


def make(config: Any, spec: Spec) -> Encoder:
  """The encoder of `embedding.name`.

  Args:
    config: as of the embedding's stages.
    spec: the problem.

  Raises:
    UserError: the embedding is not a trained network.
  """
  name = config.embedding.name
  if name == "acai":
    networks = acai.make(config, spec)
    return Encoder(
      lambda state: state.params["encoder"],
      lambda tree, images: networks.encode({"encoder": tree}, images),
    )
  if name == "deepcluster":
    network = deepcluster.make(config)

    def apply(tree: Tree, images: Array) -> Array:
      params, stats = tree
      found, _ = network.apply(params, stats, images, train=False)
      (features_BxD,) = found.values()
      return features_BxD

    return Encoder(lambda state: (state.params[0], state.stats), apply)
  raise UserError(
    f"embedding.name={name!r} has no encoder to go on with; use acai or "
    "deepcluster"
  )
