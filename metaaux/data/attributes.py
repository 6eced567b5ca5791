"""Binary attributes of images, made from the levels of a source.

A level with two classes is one attribute, with the name of the level; a level
with more classes gives one attribute a class: of this class, or of another. One
attribute is the primary task, the others can be auxiliary ones, as in the
CelebA experiment of Shi et al. 2020.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError, did_you_mean

ALL = "*"


class Attribute(NamedTuple):
  """An attribute, as a class of a level.

  Attributes:
    name: a name that no other attribute or level has.
    level: level of the source.
    value: the class of that level that has the attribute.
  """

  name: str
  level: str
  value: str


def choose(
  config: Any, names: Mapping[str, tuple[str, ...]]
) -> tuple[Attribute, ...]:
  """The attributes that `config.attributes` names, in its order.

  Args:
    config: has `dataset`, `attributes` (levels; "*": all that have two
      classes; () for none) and `primary`, one of the attributes.
    names: class names by level.

  Returns:
    All attributes, the primary one first. In a level of more than two classes
    an attribute has the name of its class, or LEVEL=CLASS where another
    attribute or a level has that name.

  Raises:
    UserError: a level is unknown, or the primary attribute is.
  """
  if not config.attributes:
    return ()
  pairs = [
    pair
    for level in _levels(config, names)
    for pair in _pairs(level, names[level])
  ]
  times = Counter(name for name, _, _ in pairs)
  found = [
    Attribute(
      f"{level}={value}"
      if name != level and (times[name] > 1 or name in names)
      else name,
      level,
      value,
    )
    for name, level, value in pairs
  ]
  _check_primary(config, [attribute.name for attribute in found])
  return tuple(sorted(found, key=lambda a: a.name != config.primary))


def _levels(config: Any, names: Mapping[str, tuple[str, ...]]) -> list[str]:
  """The levels, each once."""
  found = []
  for level in config.attributes:
    if level == ALL:
      some = [name for name, classes in names.items() if len(classes) == 2]
      if not some:
        raise UserError(
          f"attributes='{ALL}', but no level of {config.dataset} has two "
          f"classes; name levels: {', '.join(names)}"
        )
      found += some
    elif level in names:
      found.append(level)
    else:
      raise UserError(
        f"attributes='{level}' is not a level of {config.dataset}"
        f"{did_you_mean(level, names)}; its levels: {', '.join(names)}, or "
        f"'{ALL}' for all that have two classes"
      )
  return list(dict.fromkeys(found))


def _pairs(level: str, classes: Sequence[str]) -> list[tuple[str, str, str]]:
  """Name, level and class of each attribute of a level."""
  if len(classes) == 2:
    return [(level, level, classes[1])]
  return [(name, level, name) for name in classes]


def _check_primary(config: Any, known: Sequence[str]) -> None:
  if config.primary in known:
    return
  some = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
  if not config.primary:
    raise UserError(
      "attributes are given, but primary does not say which of them is the "
      f"primary task; set it to one of {some}"
    )
  raise UserError(
    f"primary='{config.primary}' is not among the attributes"
    f"{did_you_mean(config.primary, known)}; they are {some}"
  )


def with_primary(
  source: source_lib.Source, attribute: Attribute
) -> source_lib.Source:
  """The source with the primary attribute as a level: 0 without, 1 with.

  Raises:
    UserError: the source has no such level or no such class.
  """
  if attribute.name in source.names:
    return source
  present = labels(source, attribute).astype(np.int32)
  if (present < 0).any():
    raise UserError(
      f"the primary attribute '{attribute.name}' is class "
      f"'{attribute.value}' of level '{attribute.level}', which this source "
      f"lacks; its levels: {', '.join(source.names)}"
    )
  return source._replace(
    labels={**source.labels, attribute.name: present},
    names={**source.names, attribute.name: ("no", "yes")},
  )


def labels(source: source_lib.Source, attribute: Attribute) -> np.ndarray:
  """int8 [n]: 1 with, 0 without, -1 where the source does not say."""
  classes = source.names.get(attribute.level, ())
  if attribute.value not in classes:
    return np.full(len(source.images), -1, np.int8)
  ids = source.labels[attribute.level]
  return (ids == classes.index(attribute.value)).astype(np.int8)


def table(
  source: source_lib.Source, attributes: Sequence[Attribute]
) -> np.ndarray:
  """int8 [n, K]: `labels` of K attributes."""
  columns = [labels(source, attribute) for attribute in attributes]
  return np.stack(columns, axis=1)


def constant(labels_NxK: np.ndarray, names: Sequence[str]) -> list[str]:
  """Names of the attributes that all images have, or that none has."""
  count_K = (labels_NxK > 0).sum(0)
  never_or_always = (count_K == 0) | (count_K == len(labels_NxK))
  return [
    name for name, is_so in zip(names, never_or_always, strict=True) if is_so
  ]
