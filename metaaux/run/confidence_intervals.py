"""Intervals that cover the test images as well as the seeds.

The figure of a run is the mean of y_si over seeds s and test images i: the
share of the evaluations in which the network of seed s was right on image i.
Other seeds would give another figure, and so would other images. With

  y_si = m + a_s + b_i + e_si

its variance is var(a)/S + var(b)/n + var(e)/(S n). The variance of the means of
the seeds, over S, is the first and the third term; that of the means of the
images, over n, the second and the third. So the half-width is

  h^2 = h_seeds^2 + z^2 max(0, v_images - v_e),

where h_seeds is that of the t-interval over seeds, and v_e takes out what would
be counted twice. It is never below h_seeds; with seeds that agree on every
image it is the binomial interval, with very many images that of the seeds.

Few images that are all right have no variance, and yet say little. So
v_images is that of Agresti & Coull 1998, with two hits and two misses more; of
a paired difference that of Agresti & Min 2005, with half an image more that
either side alone has right and one more that says nothing.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri, stdtrit

_Z = float(ndtri(0.975))

# (value, weight) of what is added to the images.
_HITS_AND_MISSES = ((0.0, 2.0), (1.0, 2.0))
_EITHER_SIDE = ((-1.0, 0.5), (0.0, 1.0), (1.0, 0.5))


def mean_ci(values: Sequence[float]) -> tuple[float, float | None]:
  """Mean and half-width of its 95% t-interval; None for a single value."""
  values = np.asarray(values, np.float64)
  mean = float(values.mean())
  if values.size < 2:
    return mean, None
  error = values.std(ddof=1) / math.sqrt(values.size)
  return mean, float(stdtrit(values.size - 1, 0.975) * error)


def paired(
  values: Sequence[float], baseline: Sequence[float]
) -> tuple[float, float | None]:
  """Mean difference over the same seeds and its 95% half-width.

  Raises:
    ValueError: the two have different lengths.
  """
  if len(values) != len(baseline):
    raise ValueError(
      f"a paired difference needs the same seeds; got {len(values)} and "
      f"{len(baseline)} values"
    )
  return mean_ci(np.subtract(values, baseline))


def format_ci(mean: float, half: float | None, *, percent: bool = True) -> str:
  """`71.3 ± 0.4`, or `71.3` where there is no interval."""
  scale = 100.0 if percent else 1.0
  text = f"{scale * mean:.2f}"
  return text if half is None else f"{text} ± {scale * half:.2f}"


def of_shares(
  values_SxN: np.ndarray, positions_SxN: np.ndarray | None = None
) -> float:
  """Half a 95% interval of an accuracy, over seeds and test images.

  Args:
    values_SxN: in [0, 1], a value for each seed and image. With one seed the
      interval covers the images alone.
    positions_SxN: which test images the values belong to; None: each row has
      the same ones. An image that only one seed has makes the interval too
      wide, because its part of the variance cannot be told from the seed's.
  """
  return _half(values_SxN, positions_SxN, _HITS_AND_MISSES)


def of_differences(
  values_SxN: np.ndarray, positions_SxN: np.ndarray | None = None
) -> float:
  """Half a 95% interval of a paired difference, with values in [-1, 1]."""
  return _half(values_SxN, positions_SxN, _EITHER_SIDE)


def _half(
  values_SxN: np.ndarray,
  positions_SxN: np.ndarray | None,
  added: Sequence[tuple[float, float]],
) -> float:
  values = np.asarray(values_SxN, np.float64)
  seeds, number = values.shape
  if positions_SxN is None:
    positions_SxN = np.broadcast_to(np.arange(number), values.shape)
  _, image = np.unique(positions_SxN, return_inverse=True)
  image = image.reshape(-1)
  times = np.bincount(image)
  means_I = np.bincount(image, values.reshape(-1)) / times
  rows_S = values.mean(1)
  _, half = mean_ci(rows_S)
  variance = _of_images(means_I, added)
  if seeds > 1:
    # What an image has beyond the seeds that saw it.
    seen_I = np.bincount(image, np.repeat(rows_S, number)) / times
    rest = values - rows_S[:, None]
    rest -= (means_I - seen_I)[image].reshape(values.shape)
    freedom = values.size - seeds - len(means_I) + 1
    if freedom > 0:
      variance -= (rest**2).sum() / freedom / values.size
  return math.hypot(half or 0.0, _Z * math.sqrt(max(0.0, variance)))


def _of_images(
  means_I: np.ndarray, added: Sequence[tuple[float, float]]
) -> float:
  """Variance of the mean over images, with `added` ones among them."""
  total = len(means_I) + sum(weight for _, weight in added)
  first = means_I.sum() + sum(w * v for v, w in added)
  second = (means_I**2).sum() + sum(w * v * v for v, w in added)
  return (second / total - (first / total) ** 2) / total
