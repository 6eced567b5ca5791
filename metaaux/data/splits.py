"""Stratified draws: which examples train the network, which the outer level.

The label generator of Liu, Davison & Johns 2019 is trained on examples that the
network itself never sees: a part of the training set, stratified by the finest
labels there are.
"""

from collections.abc import Sequence

import numpy as np

from metaaux.errors import UserError


def stratified(
  labels_B: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
  """Sorted positions of `count` examples, each class by its share.

  Args:
    labels_B: class ids, int [B].
    count: number of examples to draw, 0 .. B.
    rng: source of the draw; also decides which classes get the examples that
      cannot be divided exactly.

  Returns:
    int32 [count].
  """
  groups = _groups(labels_B)
  counts = _by_share([len(group) for group in groups], count, rng)
  return _draw(groups, counts, rng)


def train_meta(
  finest: np.ndarray,
  primary: np.ndarray,
  *,
  labels_per_class: int,
  label_fraction: float = 0.0,
  meta_fraction: float,
  meta_per_class: int = 0,
  seed: int,
  names: Sequence[str] = (),
  advice: str = "lower labels_per_class, or 0 for all",
) -> tuple[np.ndarray, np.ndarray]:
  """Positions of the train and of the meta split of one seed.

  The sizes are the same for every seed, so that seeds can be stacked.

  Args:
    finest: labels of the finest level, int [n]; draws spread over its classes.
    primary: labels of the primary task, int [n].
    labels_per_class: examples of each primary class to keep, spread as evenly
      as possible over its finest classes; 0 keeps all.
    label_fraction: share of all examples to keep, each primary class by its
      share; 0 keeps all. Excludes `labels_per_class`.
    meta_fraction: share of the kept examples that becomes the meta split,
      stratified by primary and finest class; 0: both splits are all of them.
    meta_per_class: examples of each primary class in the meta split, besides
      those of `labels_per_class`, which stay the same without it. Excludes
      `meta_fraction`.
    seed: of the draw; not negative.
    names: of the primary classes, for messages.
    advice: end of the message where a class has fewer examples.

  Returns:
    Sorted int32 positions (train, meta); disjoint unless `meta_fraction` and
    `meta_per_class` are 0.

  Raises:
    UserError: a primary class has fewer examples than asked for; a split would
      be empty; an argument is out of range.
  """
  _check(labels_per_class, label_fraction, meta_fraction, seed)
  if meta_per_class:
    _check_meta_per_class(labels_per_class, meta_fraction, meta_per_class)
  rng = np.random.default_rng(seed)
  kept = np.arange(len(primary), dtype=np.int32)
  if labels_per_class:
    kept = _few_labels(
      finest, primary, labels_per_class, rng, names, advice=advice
    )
  if meta_per_class:
    return kept, _besides(kept, finest, primary, meta_per_class, rng, names)
  if label_fraction:
    kept = _share(primary, label_fraction, rng, names)
  if not meta_fraction:
    return kept, kept
  meta = _meta_part(finest[kept], primary[kept], meta_fraction, rng)
  train = np.setdiff1d(np.arange(len(kept)), meta)
  return kept[train], kept[meta]


def unlabelled(
  train: np.ndarray, meta: np.ndarray, num_examples: int
) -> np.ndarray:
  """Positions that are in neither split, sorted, int32 [S, n].

  Args:
    train: int32 [S, n_train]; each seed has as many.
    meta: int32 [S, n_meta], likewise.
    num_examples: of the pool.
  """
  everything = np.arange(num_examples, dtype=np.int32)
  rows = [
    np.setdiff1d(everything, np.union1d(*pair))
    for pair in zip(train, meta, strict=True)
  ]
  return np.stack(rows)


def _check(
  labels_per_class: int,
  label_fraction: float,
  meta_fraction: float,
  seed: int,
) -> None:
  if labels_per_class < 0:
    raise UserError(
      f"labels_per_class={labels_per_class}; use 0 (all) or a positive number"
    )
  if not 0 <= label_fraction < 1:
    raise UserError(
      f"label_fraction={label_fraction}; use a share in [0, 1), such as 0.01; "
      "0 keeps all labels"
    )
  if labels_per_class and label_fraction:
    raise UserError(
      f"labels_per_class={labels_per_class} and label_fraction="
      f"{label_fraction} are two ways to say which labels are kept; set one "
      "to 0"
    )
  if not 0 <= meta_fraction < 1:
    raise UserError(
      f"meta_fraction={meta_fraction}; use a share in [0, 1), such as 0.1"
    )
  if seed < 0:
    raise UserError(f"seed={seed}; use 0 or a positive number")


def _check_meta_per_class(
  labels_per_class: int, meta_fraction: float, meta_per_class: int
) -> None:
  if meta_fraction:
    raise UserError(
      f"meta_per_class={meta_per_class} and meta_fraction={meta_fraction} are "
      "two ways to hold labelled images out; set one to 0"
    )
  if not labels_per_class:
    raise UserError(
      f"meta_per_class={meta_per_class} holds images out besides those of "
      "labels_per_class, and labels_per_class=0 takes all; set it, or "
      "meta_fraction in place of meta_per_class"
    )


def _besides(
  kept: np.ndarray,
  finest: np.ndarray,
  primary: np.ndarray,
  count: int,
  rng: np.random.Generator,
  names: Sequence[str],
) -> np.ndarray:
  """`count` examples of each primary class that are not in `kept`, sorted."""
  rest = np.setdiff1d(np.arange(len(primary), dtype=np.int32), kept)
  drawn = _few_labels(
    finest[rest],
    primary[rest],
    count,
    rng,
    names,
    key="meta_per_class",
    left=" besides those of labels_per_class",
    advice="lower meta_per_class, or 0 for none",
  )
  return rest[drawn]


def _few_labels(
  finest: np.ndarray,
  primary: np.ndarray,
  count: int,
  rng: np.random.Generator,
  names: Sequence[str],
  *,
  key: str = "labels_per_class",
  left: str = "",
  advice: str = "lower labels_per_class, or 0 for all",
) -> np.ndarray:
  """`count` examples of each primary class, evenly over its finest classes.

  `key`, `left` and `advice` are for the message: the key that asks for the
  examples, which examples there are, and what to do.
  """
  classes = range(len(names) or int(primary.max()) + 1)
  sizes = np.bincount(primary, minlength=len(classes))
  for c in classes:
    if sizes[c] < count:
      name = f" ('{names[c]}')" if names else ""
      raise UserError(
        f"{key}={count}, but primary class {c}{name} has {sizes[c]} examples"
        f"{left}; {advice}"
      )
  parts = []
  for c in classes:
    members = np.flatnonzero(primary == c)
    groups = [members[group] for group in _groups(finest[members])]
    counts = _evenly([len(group) for group in groups], count, rng)
    parts.append(_draw(groups, counts, rng))
  return np.sort(np.concatenate(parts))


def _share(
  primary: np.ndarray,
  fraction: float,
  rng: np.random.Generator,
  names: Sequence[str],
) -> np.ndarray:
  """A share of all examples, each primary class by its own share."""
  count = int(fraction * len(primary) + 0.5)
  kept = stratified(primary, count, rng)
  classes = len(names) or int(primary.max()) + 1
  for c in np.flatnonzero(np.bincount(primary[kept], minlength=classes) == 0):
    name = f" ('{names[c]}')" if names else ""
    raise UserError(
      f"label_fraction={fraction} keeps {count} of {len(primary)} labels, and "
      f"none of primary class {c}{name}; raise it"
    )
  return kept


def _meta_part(
  finest: np.ndarray,
  primary: np.ndarray,
  fraction: float,
  rng: np.random.Generator,
) -> np.ndarray:
  """Stratified positions: by primary class, and within it by finest class."""
  count = int(fraction * len(primary) + 0.5)
  if not 0 < count < len(primary):
    raise UserError(
      f"meta_fraction={fraction} of {len(primary)} examples leaves {count} for "
      f"the meta split and {len(primary) - count} for training; both need some"
    )
  classes = _groups(primary)
  counts = _by_share([len(members) for members in classes], count, rng)
  parts = [
    members[stratified(finest[members], c, rng)]
    for members, c in zip(classes, counts, strict=True)
  ]
  return np.sort(np.concatenate(parts))


def _groups(labels_B: np.ndarray) -> list[np.ndarray]:
  """Positions of each class that occurs, by class id."""
  order = np.argsort(labels_B, kind="stable")
  _, first = np.unique(labels_B[order], return_index=True)
  return np.split(order, first[1:])


def _draw(
  groups: Sequence[np.ndarray], counts: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """Sorted positions: `counts[i]` of `groups[i]`, without replacement."""
  parts = [
    rng.permutation(group)[:count]
    for group, count in zip(groups, counts, strict=True)
  ]
  return np.sort(np.concatenate(parts)).astype(np.int32)


def _by_share(
  sizes: Sequence[int], total: int, rng: np.random.Generator
) -> np.ndarray:
  """Divides `total` by `sizes`: largest remainders, ties by lot."""
  scaled = np.asarray(sizes, np.int64) * total
  counts, remainders = np.divmod(scaled, sum(sizes))
  order = np.lexsort((rng.random(len(sizes)), -remainders))
  counts[order[: total - counts.sum()]] += 1
  return counts


def _evenly(
  sizes: Sequence[int], total: int, rng: np.random.Generator
) -> np.ndarray:
  """Divides `total` equally as far as `sizes` allow; the rest goes by lot."""
  sizes = np.asarray(sizes)
  counts = np.zeros_like(sizes)
  while rest := total - counts.sum():
    open_groups = np.flatnonzero(counts < sizes)
    share = rest // len(open_groups)
    if share:
      counts[open_groups] = np.minimum(
        counts[open_groups] + share, sizes[open_groups]
      )
    else:
      counts[rng.permutation(open_groups)[:rest]] += 1
  return counts
