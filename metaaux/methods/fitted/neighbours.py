"""Nearest neighbours: labelled rows alone, or labels that spread over all."""

import math
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaaux.methods import fitted
from metaaux.stage import Array, PoolView, Spec, Stage

# Neighbours of a row in the graph that labels spread on, and the share that a
# row takes from them at each step.
_NEIGHBOURS = 7
_ALPHA = 0.2
_MAX_STEPS = 1000
# Below all similarities, of rows that have no say.
_FAR = -1e30
_LEAST = 1e-12


class Neighbours(NamedTuple):
  """All rows [n, d], and what each says of the classes [n, C].

  What a row says sums to 1, or is 0 where the row has no say.
  """

  rows: Array
  votes: Array


def knn(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """The class of the nearest labelled row.

  Args:
    config: nothing is read.
    spec: the problem.
    axis_name: without effect, every device holds the whole.
  """
  del config, axis_name

  def fit(pool: PoolView, rows_NxD: np.ndarray) -> Neighbours:
    votes_NxC = np.zeros((len(rows_NxD), spec.num_primary), np.float32)
    votes_NxC[pool.train, pool.primary[pool.train]] = 1
    return Neighbours(rows_NxD, votes_NxC)

  return _stage(spec, fit, 1)


def label_spreading(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """Labels spread along the graph of nearest rows (Zhou et al. 2004).

  The graph is of all rows, labelled or not; a new row has the mean of what its
  nearest rows have got.

  Args:
    config: nothing is read.
    spec: the problem.
    axis_name: without effect, every device holds the whole.
  """
  del config, axis_name

  def fit(pool: PoolView, rows_NxD: np.ndarray) -> Neighbours:
    from sklearn import semi_supervised

    known_N = np.full(len(rows_NxD), -1)
    known_N[pool.train] = pool.primary[pool.train]
    model = semi_supervised.LabelSpreading(
      kernel="knn", n_neighbors=_NEIGHBOURS, alpha=_ALPHA, max_iter=_MAX_STEPS
    )
    with warnings.catch_warnings(), np.errstate(all="ignore"):
      warnings.simplefilter("ignore")  # of rows that no label reaches
      model.fit(rows_NxD, known_N)
    votes_NxC = np.zeros((len(rows_NxD), spec.num_primary), np.float32)
    votes_NxC[:, model.classes_] = np.nan_to_num(model.label_distributions_)
    return Neighbours(rows_NxD, votes_NxC)

  return _stage(spec, fit, _NEIGHBOURS)


def _stage(spec: Spec, fit: Any, neighbours: int) -> tuple[Stage, ...]:
  count, dim = spec.num_examples, math.prod(spec.input_shape)
  shapes = Neighbours(
    *(
      jax.ShapeDtypeStruct((count, width), np.float32)
      for width in (dim, spec.num_primary)
    )
  )
  return fitted.stage(
    shapes, fit, lambda state, x: predict(state, x, neighbours)
  )


def predict(state: Neighbours, rows_BxD: Array, neighbours: int) -> Array:
  """Logarithms of the mean votes of the nearest rows that have a say.

  Args:
    state: the classifier.
    rows_BxD: to be classified.
    neighbours: how many rows are asked.

  Returns:
    [B, C].
  """
  squares_N = jnp.sum(state.rows**2, axis=1)
  # Minus the squared distance, but for what is the same for all.
  near_BxN = 2 * rows_BxD @ state.rows.T - squares_N[None]
  has_say_N = state.votes.sum(1) > 0
  near_BxN = jnp.where(has_say_N[None], near_BxN, _FAR)
  neighbours = min(neighbours, near_BxN.shape[1])
  values_BxK, index_BxK = jax.lax.top_k(near_BxN, neighbours)
  said_BxKxC = jnp.where(
    (values_BxK > _FAR)[..., None], state.votes[index_BxK], 0.0
  )
  return jnp.log(said_BxKxC.mean(1) + _LEAST)
