"""Principal components of pixels or of a network's features, and pixels."""

import numpy as np

# Components of less than this share of the largest variance are rounding.
_RANK_TOLERANCE = 1e-6
# Added to variances before whitening, so that none is divided by 0.
_WHITENING = 1e-5
# Below this many entries the components are found in float64.
_SMALL = 2**26


def pixels(images: np.ndarray) -> np.ndarray:
  """Images as vectors of values in [0, 1].

  Args:
    images: uint8 [n, ...], or floats in [0, 1].

  Returns:
    float32 [n, d].
  """
  vectors_NxD = images.reshape(len(images), -1).astype(np.float32)
  return vectors_NxD / 255 if images.dtype == np.uint8 else vectors_NxD


def pca(x_NxD: np.ndarray, dim: int, whiten: bool = False) -> np.ndarray:
  """Coordinates along the leading principal components.

  Args:
    x_NxD: float [n, d].
    dim: components wanted; where the data has fewer, all of those it has.
    whiten: whether each coordinate is divided by sqrt(variance + 1e-5), which
      makes all of them count alike.

  Returns:
    float32 [n, min(dim, rank)], mean 0, the same on every call; one column of
    zeros where all rows are equal.
  """
  from sklearn import decomposition

  x_NxD = x_NxD.astype(np.float64 if x_NxD.size <= _SMALL else np.float32)
  # Before the products, where a large mean would cost digits.
  x_NxD = x_NxD - x_NxD.mean(axis=0)
  if not x_NxD.any():
    return np.zeros((len(x_NxD), 1), np.float32)
  model = decomposition.PCA(min(dim, *x_NxD.shape), random_state=0)
  scores_NxK = model.fit_transform(x_NxD)
  variance_K = model.explained_variance_
  rank = max(1, int((variance_K > _RANK_TOLERANCE * variance_K[0]).sum()))
  scores_NxK = scores_NxK[:, :rank]
  if whiten:
    scores_NxK = scores_NxK / np.sqrt(variance_K[:rank] + _WHITENING)
  return scores_NxK.astype(np.float32)


def unit_rows(x_NxD: np.ndarray) -> np.ndarray:
  """Rows divided by their Euclidean length; rows of zeros stay."""
  lengths_N = np.linalg.norm(x_NxD, axis=1, keepdims=True)
  return x_NxD / np.where(lengths_N == 0, 1, lengths_N)
