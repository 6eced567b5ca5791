"""Losses, masked label distributions and what is worth knowing of them.

Per-example losses: [B, n] in, [B] out. Logarithms are natural, so losses and
entropies are in nats. Inputs below float32 are widened to it.
"""

import math
import numbers
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from metaaux.losses._cmmd import cmmd as cmmd

Array = jax.Array

# Finite, so that softmax has no inf - inf; small enough that exp gives exact 0.
_MASKED_LOGIT = -1e30
# A column is in use if it gets a tenth of its fair share of the examples.
_USED_SHARE = 0.1


def focal_loss(
  logits: ArrayLike, labels: ArrayLike, gamma: float = 2.0
) -> Array:
  """Focal loss of each example, -(1 - p)^gamma log p, for hard or soft labels.

  Lin et al. 2017 (arXiv:1708.02002), eq. 4 without the class weight; with soft
  labels y it is sum_k y_k T_k, linear in y, as in Liu, Davison & Johns 2019
  (section "Model objectives"). Not a proper scoring rule for soft labels: its
  minimiser is closer to uniform than y is.

  Args:
    logits: float [B, C], finite.
    labels: integer [B] (a label outside 0..C-1 makes its loss NaN), or float
      [B, C].
    gamma: focusing exponent >= 0, a static Python number; 0 is cross-entropy.

  Returns:
    Losses [B] in nats.

  Raises:
    ValueError: shapes, dtypes or gamma do not fit.
  """
  logits, labels = _matrix("logits", logits), jnp.asarray(labels)
  _check_labels(logits, labels)
  table_BxC = focal_table(logits, gamma)
  if labels.ndim == 2:
    return jnp.sum(labels * table_BxC, axis=-1)
  hit_BxC = labels[:, None] == jnp.arange(logits.shape[1])[None, :]
  loss_B = jnp.sum(jnp.where(hit_BxC, table_BxC, 0), axis=-1)
  return jnp.where(jnp.any(hit_BxC, axis=-1), loss_B, jnp.nan)


def softmax_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> Array:
  """Cross-entropy of each example, -log p, for hard or soft labels.

  This is `focal_loss` with gamma 0: the same arguments [B, C] and [B] or
  [B, C], the same losses [B] in nats, the same ValueError.
  """
  return focal_loss(logits, labels, gamma=0.0)


def focal_table(logits: ArrayLike, gamma: float = 2.0) -> Array:
  """Focal loss of each example under each label, T_ik = -(1 - p)^gamma log p.

  Value, gradient and second derivative are finite for every finite logit, also
  where p rounds to 1.

  Args:
    logits: float [B, n], finite.
    gamma: focusing exponent >= 0, a static Python number.

  Returns:
    Table [B, n] in nats, >= 0.

  Raises:
    ValueError: shape, dtype or gamma do not fit.
  """
  logp = jax.nn.log_softmax(_matrix("logits", logits), axis=-1)
  return -_focal_weight(logp, gamma) * logp


def _focal_weight(logp: Array, gamma: float) -> Array:
  """(1 - p)^gamma with finite derivatives at p = 1."""
  if not isinstance(gamma, numbers.Real) or not 0 <= gamma < math.inf:
    raise ValueError(
      f"gamma={gamma!r} is not a finite number >= 0; pass a Python number "
      "(2.0 is the usual one, 0.0 is cross-entropy)."
    )
  q = -jnp.expm1(logp)
  if float(gamma).is_integer():
    # Products, whose derivatives at q = 0 are exact; gamma 0 is the constant 1.
    return jax.lax.integer_pow(q, int(gamma))
  positive = q > 0
  # The inner `where` keeps the infinite derivative of a power at 0 out of the
  # backward pass, where the outer one alone would turn it into 0 * inf.
  power = jnp.where(positive, q, 1) ** float(gamma)
  return jnp.where(positive, power, 0)


def masked_softmax(logits: ArrayLike, mask: ArrayLike) -> Array:
  """Softmax over the columns that a mask allows.

  Liu, Davison & Johns 2019, section "Mask SoftMax for hierarchical
  predictions".

  Note: the printed formula exp(M * g) / sum exp(M * g) gives masked columns
  exp(0) = 1; here they are filled before the softmax, so that they get exactly
  0, and exactly 0 gradient.

  Args:
    logits: float [B, K].
    mask: bool [B, K], True where a label may go.

  Returns:
    Probabilities [B, K]; each row sums to 1, or is all 0 if its mask is empty.

  Raises:
    ValueError: shapes or dtypes do not fit.
  """
  logits, mask = _matrix("logits", logits), jnp.asarray(mask)
  if mask.dtype != jnp.bool_ or mask.shape != logits.shape:
    raise ValueError(
      f"mask is {_describe(mask)}, logits are {_describe(logits)}; the mask "
      "must be bool and of the logits' shape."
    )
  probs = jax.nn.softmax(jnp.where(mask, logits, _MASKED_LOGIT), axis=-1)
  return jnp.where(mask, probs, 0)


def class_mask(labels: ArrayLike, psi: Sequence[int]) -> Array:
  """Which auxiliary classes belong to each example's primary class.

  Args:
    labels: integer [B], primary classes 0..C-1; any other gives a row of False.
    psi: number of auxiliary classes of each primary class, C positive ints;
      class c owns the columns sum(psi[:c]) .. sum(psi[:c + 1]) - 1.

  Returns:
    bool [B, sum(psi)].

  Raises:
    ValueError: shape or dtype of the labels, or psi, do not fit.
  """
  labels = jnp.asarray(labels)
  if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
    raise ValueError(f"labels are {_describe(labels)}, expected integers [B].")
  return labels[:, None] == jnp.asarray(_owners(psi))[None, :]


def negative_entropy(probs: ArrayLike) -> Array:
  """sum_k y_k log y_k with 0 log 0 = 0: minus the entropy of a distribution.

  This is H of Liu, Davison & Johns 2019, section "The collapsing class
  problem", when it is given the mean label of a batch. Over several devices,
  average that mean label first: entropy is not linear.

  Args:
    probs: float [..., K], >= 0. The gradient is taken as 0 where y_k = 0.

  Returns:
    [...], in nats, between -log K and 0.
  """
  probs = _widen(jnp.asarray(probs))
  positive = probs > 0
  log = jnp.log(jnp.where(positive, probs, 1))
  return jnp.sum(jnp.where(positive, probs * log, 0), axis=-1)


def marginal_entropy(probs: ArrayLike) -> Array:
  """Entropy of the mean label of a batch: how evenly the classes are used.

  The sign is the usual one (>= 0): minus the H that MAXL adds to its loss.

  Args:
    probs: float [B, K], rows sum to 1.

  Returns:
    Scalar in nats, between 0 and log K.

  Raises:
    ValueError: probs is not a floating [B, K].
  """
  return -negative_entropy(jnp.mean(_matrix("probs", probs), axis=0))


def sample_entropy(probs: ArrayLike) -> Array:
  """Mean over a batch of the entropy of each label: how soft the labels are.

  Args:
    probs: float [B, K], rows sum to 1.

  Returns:
    Scalar in nats, between 0 and log K.

  Raises:
    ValueError: probs is not a floating [B, K].
  """
  return -jnp.mean(negative_entropy(_matrix("probs", probs)))


def label_statistics(
  probs: ArrayLike, primary: ArrayLike, psi: Sequence[int]
) -> Mapping[str, float]:
  """What soft auxiliary labels say that the primary label does not.

  For collected labels on the host, in float64; not for use under `jit`.

  Args:
    probs: float [n, K], rows sum to 1 within the block of their class.
    primary: integer [n], primary classes 0..C-1.
    psi: number of auxiliary classes of each primary class.

  Returns:
    `sample_entropy` and `marginal_entropy`; `information`, which is marginal
    minus sample entropy minus the entropy of the primary classes (all in nats,
    0 for collapsed and for uniform labels alike); `information_fraction`, the
    same divided by its maximum sum_c pi_c log psi_c (0 where that is 0);
    `uniform_entropy`, that maximum, which is also the sample entropy of uniform
    labels; `label_usage`, the share of the K columns that are the likeliest
    label of more than a tenth of their fair share pi_c / psi_c of the examples.

  Raises:
    ValueError: shapes, dtypes, psi or a primary class do not fit.
  """
  primary, probs = np.asarray(primary), np.asarray(probs, np.float64)
  owner, sizes = _owners(psi), np.asarray(psi)
  integers = np.issubdtype(primary.dtype, np.integer) and primary.size > 0
  if not integers or probs.shape != (*primary.shape, len(owner)):
    raise ValueError(
      f"probs are {_describe(probs)}, primary classes {_describe(primary)}; "
      f"expected floats [n, {len(owner)}] and integers [n] with n > 0."
    )
  if primary.min() < 0 or primary.max() >= len(sizes):
    raise ValueError(
      f"primary classes run from {primary.min()} to {primary.max()}, but psi "
      f"has {len(sizes)} classes."
    )
  pi = np.bincount(primary, minlength=len(sizes)) / len(primary)
  chosen = np.bincount(probs.argmax(-1), minlength=len(owner)) / len(primary)
  sample = np.mean(_entropy(probs))
  marginal = _entropy(probs.mean(0))
  information = marginal - sample - _entropy(pi)
  most = np.sum(pi * np.log(sizes))
  return {
    "sample_entropy": float(sample),
    "marginal_entropy": float(marginal),
    "information": float(information),
    "information_fraction": float(information / most) if most > 0 else 0.0,
    "uniform_entropy": float(most),
    "label_usage": float(np.mean(chosen > _USED_SHARE * (pi / sizes)[owner])),
  }


def _entropy(probs: np.ndarray) -> np.ndarray:
  """Entropy over the last axis, in the precision of its input."""
  return -np.sum(probs * np.log(np.where(probs > 0, probs, 1)), axis=-1)


def _owners(psi: Sequence[int]) -> np.ndarray:
  """Primary class of each auxiliary class, int [sum(psi)]."""
  sizes = np.asarray(psi)
  integers = np.issubdtype(sizes.dtype, np.integer) and sizes.ndim == 1
  if not integers or sizes.min(initial=1) < 1:
    raise ValueError(
      f"psi={psi!r} must list a positive number of auxiliary classes for each "
      "primary class, e.g. (5, 5, 2)."
    )
  return np.repeat(np.arange(len(sizes)), sizes)


def _describe(x: ArrayLike) -> str:
  return f"{x.dtype}{list(x.shape)}"


def _widen(x: Array) -> Array:
  """At least float32: half precision loses the fill and the small losses."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _matrix(name: str, x: ArrayLike) -> Array:
  x = jnp.asarray(x)
  if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.floating):
    raise ValueError(f"{name} are {_describe(x)}, expected floats [B, n].")
  return _widen(x)


def _check_labels(logits: Array, labels: Array) -> None:
  """Hard labels are integers [B], soft ones floats [B, C]; nothing else."""
  hard = jnp.issubdtype(labels.dtype, jnp.integer)
  soft = jnp.issubdtype(labels.dtype, jnp.floating)
  shape = logits.shape[:1] if hard else logits.shape
  if not (hard or soft) or labels.shape != shape:
    raise ValueError(
      f"labels are {_describe(labels)} for logits {_describe(logits)}; "
      f"expected integers {list(logits.shape[:1])} or floats "
      f"{list(logits.shape)}."
    )
