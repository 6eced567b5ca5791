"""Few labels of a target domain beside whole source domains.

The few-shot domain generalisation of Shi et al. 2020: n labelled images of each
class of the target, nine tenths of each source to train on and the rest to
validate, and what is left of the target to test on.
"""

from typing import Any, NamedTuple

import numpy as np

from metaaux.config.keys import KEYS
from metaaux.data import splits
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError

LEVEL = "domain"
_VALIDATION_SHARE = 0.1
# Keys of other divisions and tasks, which have no place in this one.
_UNUSED = tuple(
  name for name, key in KEYS.items() if key.when.get("target_domain") == ("",)
)


class Divided(NamedTuple):
  """The images of all domains divided: positions for every seed, int32 [S, n].

  Attributes:
    names: of the source domains.
    train: labelled images of the target domain.
    test: the other images of the target domain.
    sources: training images of each source domain.
    validation: the other images of the source domains.
  """

  names: tuple[str, ...]
  train: np.ndarray
  test: np.ndarray
  sources: tuple[np.ndarray, ...]
  validation: np.ndarray


def divide(config: Any, source: source_lib.Source) -> tuple[str, Divided]:
  """The primary level, and the images of all domains divided.

  Args:
    config: `target_domain`, `primary`, `labels_per_class`, `seed`, `num_seeds`;
      keys that divide otherwise must be left out.
    source: images with a level "domain".

  Raises:
    UserError: there are no such domains, too few images, or a key that would
      have no effect.
  """
  for key in _UNUSED:
    if getattr(config, key):
      raise UserError(
        f"{key}={getattr(config, key)!r} has no effect with "
        f"target_domain={config.target_domain!r}; leave it out"
      )
  target = _target(config, source)
  primary = _primary(config, source)
  labels, names = source.labels[primary], source.names[primary]
  if config.labels_per_class < 1:
    raise UserError(
      f"labels_per_class={config.labels_per_class}: with target_domain it must "
      "be 1 or more, the labelled images of each class of the target"
    )
  domains = source.names[LEVEL]
  members = [
    np.flatnonzero(source.labels[LEVEL] == k).astype(np.int32)
    for k in range(len(domains))
  ]
  rows = [
    _of_seed(config.seed + i, members, labels, target, config, names)
    for i in range(config.num_seeds)
  ]
  train, test, parts, validation = zip(*rows, strict=True)
  return primary, Divided(
    tuple(name for k, name in enumerate(domains) if k != target),
    np.stack(train),
    np.stack(test),
    tuple(map(np.stack, zip(*parts, strict=True))),
    np.stack(validation),
  )


def _of_seed(
  seed: int,
  members: list[np.ndarray],
  labels: np.ndarray,
  target: int,
  config: Any,
  names: tuple[str, ...],
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...], np.ndarray]:
  """Train, test, the sources' training parts, and their validation part."""

  # Of all images of the target none would be left to test on, so that 0 for
  # all is no advice.
  def part(k: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    own = labels[members[k]]
    return splits.train_meta(
      own, own, seed=seed, names=names, advice="lower it", **options
    )

  few, _ = part(
    target, labels_per_class=config.labels_per_class, meta_fraction=0.0
  )
  chosen = np.zeros(len(members[target]), bool)
  chosen[few] = True
  if chosen.all():
    raise UserError(
      f"labels_per_class={config.labels_per_class} takes all {len(chosen)} "
      "images of the target domain and leaves none to test on; lower it"
    )
  parts = [
    (k, *part(k, labels_per_class=0, meta_fraction=_VALIDATION_SHARE))
    for k in range(len(members))
    if k != target
  ]
  return (
    members[target][chosen],
    members[target][~chosen],
    tuple(members[k][kept] for k, kept, _ in parts),
    np.concatenate([members[k][rest] for k, _, rest in parts]),
  )


def _target(config: Any, source: source_lib.Source) -> int:
  if LEVEL not in source.names:
    raise UserError(
      f"target_domain={config.target_domain!r}, but {config.dataset} has no "
      f"level '{LEVEL}'; its levels: {', '.join(source.names)}"
    )
  names = source.names[LEVEL]
  if config.target_domain not in names:
    raise UserError(
      f"target_domain={config.target_domain!r} is not a domain of "
      f"{config.dataset}; its domains: {', '.join(names)}"
    )
  if len(names) < 2:
    raise UserError(
      f"{config.dataset} has one domain, {names[0]}; target_domain needs others"
    )
  return names.index(config.target_domain)


def _primary(config: Any, source: source_lib.Source) -> str:
  levels = [level for level in source.names if level != LEVEL]
  if config.primary and config.primary not in levels:
    raise UserError(
      f"primary={config.primary!r} is not a level of {config.dataset}; its "
      f"levels: {', '.join(levels)}"
    )
  if not config.primary and len(levels) > 1:
    raise UserError(
      f"{config.dataset} has the levels {', '.join(levels)}; say with "
      "config.primary which one is the primary task"
    )
  return config.primary or levels[0]
