"""What partitions look like and how much they agree with true labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def report(
  partitions_TxN: np.ndarray,
  labels_N: np.ndarray | None = None,
  positions: np.ndarray | None = None,
  *,
  num_classes: int | None = None,
  inertia_T: Sequence[float] | None = None,
  num_iters_T: Sequence[int] | None = None,
) -> dict[str, Any]:
  """What is worth knowing of partitions before training on them.

  Beside the agreement with the true labels stands that of permuted labels, the
  level of chance, which grows with the number of clusters.

  Args:
    partitions_TxN: int [T, n]; images of -1 in the first row take no part.
    labels_N: true labels, int [n], read at `positions` alone; None: unknown.
    positions: int [m], the images whose true label may be read; None: all.
    num_classes: k, so that empty clusters are counted; None: the largest
      cluster's number plus 1.
    inertia_T: of each partition, a sum over images; None: not reported.
    num_iters_T: of each partition; None: not reported.

  Returns:
    JSON-able `{"partitions": [...], "between": ...}`. Of each partition:
    `sizes` by cluster with their `min`, `median` and `max`, `empty` clusters
    and, where known, `nmi` (arithmetic mean), `ari`, `purity`, `nmi_permuted`,
    `inertia`, `inertia_per_image` and `num_iters`. Between partitions: mean
    `nmi` and `ari` over all pairs, None for a single one.
  """
  rows = np.asarray(partitions_TxN)
  takes_part_N = rows[0] >= 0
  known_N = np.full(len(takes_part_N), positions is None)
  known_N[[] if positions is None else np.asarray(positions)] = True
  known_N &= takes_part_N
  rows = rows[:, takes_part_N]
  entries = []
  for i, row_N in enumerate(rows):
    entry = _sizes(row_N, num_classes)
    if labels_N is not None:
      labels_M = np.asarray(labels_N)[known_N]
      entry |= _agreement(labels_M, row_N[known_N[takes_part_N]])
    if inertia_T is not None:
      entry["inertia"] = float(inertia_T[i])
      entry["inertia_per_image"] = float(inertia_T[i]) / len(row_N)
    if num_iters_T is not None:
      entry["num_iters"] = int(num_iters_T[i])
    entries.append(entry)
  return {"partitions": entries, "between": _between(rows)}


def _sizes(row_N: np.ndarray, num_classes: int | None) -> dict[str, Any]:
  sizes = np.bincount(row_N, minlength=num_classes or 0)
  return {
    "sizes": sizes.tolist(),
    "min": int(sizes.min()),
    "median": float(np.median(sizes)),
    "max": int(sizes.max()),
    "empty": int((sizes == 0).sum()),
  }


def _agreement(labels_M: np.ndarray, row_M: np.ndarray) -> dict[str, float]:
  from sklearn import metrics

  table = metrics.cluster.contingency_matrix(labels_M, row_M)
  mixed_M = np.random.default_rng(0).permutation(labels_M)
  return {
    "nmi": float(metrics.normalized_mutual_info_score(labels_M, row_M)),
    "ari": float(metrics.adjusted_rand_score(labels_M, row_M)),
    "purity": float(table.max(axis=0).sum() / len(row_M)),
    "nmi_permuted": float(metrics.normalized_mutual_info_score(mixed_M, row_M)),
  }


def _between(rows_TxN: np.ndarray) -> dict[str, float] | None:
  from sklearn import metrics

  pairs = [
    (rows_TxN[i], rows_TxN[j])
    for i in range(len(rows_TxN))
    for j in range(i + 1, len(rows_TxN))
  ]
  if not pairs:
    return None
  return {
    "nmi": float(
      np.mean([metrics.normalized_mutual_info_score(*pair) for pair in pairs])
    ),
    "ari": float(
      np.mean([metrics.adjusted_rand_score(*pair) for pair in pairs])
    ),
  }
