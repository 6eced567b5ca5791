"""Class-conditional maximum mean discrepancy between two sets of features.

Feng & Chen, "Learning Multi-Tasks with Inconsistent Labels by using Auxiliary
Big Task", eq. 3: per class, the squared distance of the mean embeddings, summed
over the classes that both sets hold.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from metaaux.losses import distances

Array = jax.Array

KERNELS = ("linear", "rbf")
_SMALLEST_BANDWIDTH = 1e-6


def cmmd(
  features_a: ArrayLike,
  labels_a: ArrayLike,
  features_b: ArrayLike,
  labels_b: ArrayLike,
  num_classes: int,
  kernel: str = "linear",
  *,
  bandwidth: ArrayLike | None = None,
  axis_name: str | None = None,
) -> Array:
  """sum over shared classes of || mean phi(a) - mean phi(b) ||^2.

  Args:
    features_a: float [n, d].
    labels_a: integer [n].
    features_b: float [m, d].
    labels_b: integer [m].
    num_classes: C, a static number.
    kernel: "linear" or "rbf".
    bandwidth: see `class_distances`, as is all the rest.
    axis_name: devices that hold equal shards of both sets.

  Returns:
    Scalar >= 0, in squared units of the features; 0 without a shared class.

  Raises:
    ValueError: shapes, dtypes or the kernel do not fit.
  """
  return class_distances(
    features_a,
    labels_a,
    features_b,
    labels_b,
    num_classes,
    kernel,
    bandwidth=bandwidth,
    axis_name=axis_name,
  ).sum()


def class_distances(
  features_a: ArrayLike,
  labels_a: ArrayLike,
  features_b: ArrayLike,
  labels_b: ArrayLike,
  num_classes: int,
  kernel: str = "linear",
  *,
  bandwidth: ArrayLike | None = None,
  axis_name: str | None = None,
) -> Array:
  """|| mean phi(a) - mean phi(b) ||^2 of each class.

  Args:
    features_a: float [n, d].
    labels_a: integer [n]; a label outside 0 .. num_classes - 1 is of no class.
    features_b: float [m, d].
    labels_b: integer [m].
    num_classes: C, a static number.
    kernel: "linear", phi(x) = x; or "rbf", exp(-|x - y|^2 / (2 s^2)), biased.
    bandwidth: 2 s^2 of "rbf", a positive scalar; None: the median of the
      positive squared distances of all pairs, constant in the gradient.
    axis_name: devices that hold equal shards of both sets, whose class means
      are those of all shards together; None on one device.

  Returns:
    [C] >= 0, in squared units of the features; 0 for a class that one side
    lacks. With `axis_name` the same on all devices, and so that the mean over
    devices of the parameters' gradients is the whole gradient.

  Raises:
    ValueError: shapes, dtypes or the kernel do not fit.
  """
  a, b = (
    _features("features_a", features_a),
    _features("features_b", features_b),
  )
  labels_a = distances.native("labels_a", labels_a)
  labels_b = distances.native("labels_b", labels_b)
  _check(a, labels_a, "a")
  _check(b, labels_b, "b")
  if a.shape[1] != b.shape[1]:
    raise ValueError(
      f"features of {a.shape[1]} and of {b.shape[1]} dimensions do not compare."
    )
  if kernel not in KERNELS:
    raise ValueError(f"kernel={kernel!r}; known: {', '.join(KERNELS)}.")
  if axis_name is not None:
    a, labels_a, b, labels_b = jax.lax.all_gather(
      (a, labels_a, b, labels_b), axis_name, tiled=True
    )
  # Rows of class shares, [C, n]: their products with anything are class means.
  share_a, count_a = _shares(labels_a, num_classes, a.dtype)
  share_b, count_b = _shares(labels_b, num_classes, b.dtype)
  if kernel == "linear":
    gap_CxD = _matmul(share_a, a) - _matmul(share_b, b)
    distance_C = (gap_CxD**2).sum(-1)
  else:
    pooled = jnp.concatenate([a, b])
    weight_CxN = jnp.concatenate([share_a, -share_b], axis=1)
    square_NxN = distances.pairwise(pooled, pooled)
    gram_NxN = jnp.exp(-square_NxN / _bandwidth(square_NxN, bandwidth))
    distance_C = (_matmul(weight_CxN, gram_NxN) * weight_CxN).sum(-1)
  shared_C = (count_a > 0) & (count_b > 0)
  return jnp.where(shared_C, distance_C, 0)


def _matmul(x: Array, y: Array) -> Array:
  # In lower precision, such as TF32, differences of means drown.
  return jnp.matmul(x, y, precision="highest")


def _shares(
  labels_N: Array, num_classes: int, dtype: jnp.dtype
) -> tuple[Array, Array]:
  """1 / n_q where an example is of class q, [C, n]; and n_q [C]."""
  member_CxN = labels_N[None] == jnp.arange(num_classes)[:, None]
  member_CxN = member_CxN.astype(dtype)
  count_C = member_CxN.sum(-1)
  # Before the division, so that an absent class has no NaN in its gradient.
  return member_CxN / jnp.maximum(count_C, 1)[:, None], count_C


def _bandwidth(square_NxN: Array, given: ArrayLike | None) -> Array:
  if given is not None:
    return jnp.asarray(given, square_NxN.dtype)
  distance = jax.lax.stop_gradient(square_NxN)
  # Off the diagonal, and without duplicates such as dead ReLUs.
  positive = distance > 0
  median = jnp.nanmedian(jnp.where(positive, distance, jnp.nan))
  median = jnp.where(positive.any(), median, 1)
  return jnp.maximum(median, _SMALLEST_BANDWIDTH)


def _features(name: str, x: ArrayLike) -> Array:
  x = distances.native(name, x)
  if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.floating):
    raise ValueError(
      f"{name} are {x.dtype}{list(x.shape)}, expected floats [n, d]."
    )
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _check(x: Array, labels: Array, name: str) -> None:
  integers = jnp.issubdtype(labels.dtype, jnp.integer)
  if not integers or labels.shape != x.shape[:1]:
    raise ValueError(
      f"labels_{name} are {labels.dtype}{list(labels.shape)}, expected "
      f"integers [{len(x)}]."
    )
