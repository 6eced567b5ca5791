"""Selects parts of a source by class: one class, or slices within each.

`select="alphabet=Greek"` keeps the examples of one class of one level; every
other level keeps the classes that occur among these, and numbers them anew. So
one set of many tasks, such as the alphabets of Omniglot, becomes a small
problem of its own.
"""

import difflib
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from metaaux.data.sources import source as source_lib
from metaaux.data.sources import split_names
from metaaux.errors import UserError


def class_id(
  select: str, names: Mapping[str, tuple[str, ...]], origin: str
) -> tuple[str, int]:
  """The level and the class of a text "LEVEL=CLASS".

  Args:
    select: as the user wrote it.
    names: class names by level.
    origin: the source, for messages.

  Raises:
    UserError: the text is not of this form, or there is no such level or class;
      the message lists names that are near.
  """
  level, equals, name = select.partition("=")
  if not equals or not name:
    raise UserError(
      f"select='{select}' is not understood; write LEVEL=CLASS, such as "
      "alphabet=Greek"
    )
  if level not in names:
    raise UserError(
      f"select='{select}': {origin} has no level '{level}'; its levels: "
      f"{', '.join(names)}"
    )
  if name not in names[level]:
    raise UserError(
      f"select='{select}': level '{level}' of {origin} has no class "
      f"'{name}'; {_near(name, names[level])}"
    )
  return level, names[level].index(name)


def only(
  source: source_lib.Source, level: str, chosen: int
) -> source_lib.Source:
  """The examples of one class of a level; there may be none."""
  return take(source, np.flatnonzero(source.labels[level] == chosen))


def take(source: source_lib.Source, positions: np.ndarray) -> source_lib.Source:
  """The examples at these positions, int [m], in this order."""
  labels = {level: ids[positions] for level, ids in source.labels.items()}
  return source._replace(images=source.images[positions], labels=labels)


def cut(
  source: source_lib.Source, part: split_names.Slice
) -> source_lib.Source:
  """The examples that a slice asks for, by position or within each class.

  Within a class of the finest level the examples are first put into an order
  that is random, but the same for every run: it depends on the name of the
  class and on the number of its examples alone.

  Args:
    source: a whole split, or the part of it that `only` returned.
    part: the slice.

  Returns:
    The part, in the order of `source`.

  Raises:
    UserError: a bound lies outside the split or a class, or nothing is left.
  """
  if not part.per_class:
    return source_lib.cut(source, part)
  finest = source_lib.finest(source.names)
  chosen = []
  for c, name in enumerate(source.names[finest]):
    members = np.flatnonzero(source.labels[finest] == c)
    if len(members):
      start, stop = part.bounds(len(members))
      rng = np.random.default_rng(zlib.crc32(name.encode()))
      chosen.append(rng.permutation(members)[start:stop])
  return take(source, np.sort(np.concatenate(chosen)))


def join(pieces: Sequence[source_lib.Source], origin: str) -> source_lib.Source:
  """All examples of several parts of a source, one part after another.

  Raises:
    UserError: their images have different shapes.
  """
  shapes = [piece.images.shape[1:] for piece in pieces]
  for shape in shapes[1:]:
    if shape != shapes[0]:
      raise UserError(
        f"{origin} joins images of shape {shapes[0]} and {shape}; convert them "
        "to one shape, or use one split"
      )
  if len(pieces) == 1:
    return pieces[0]
  images = [np.asarray(piece.images) for piece in pieces]
  if len({each.dtype for each in images}) > 1:
    # One says 0..255 and another 0..1.
    images = [
      each / np.float32(255) if each.dtype == np.uint8 else each
      for each in images
    ]
  rest = [
    np.asarray(piece.unlabelled)
    for piece in pieces
    if piece.unlabelled is not None
  ]
  return pieces[0]._replace(
    images=np.concatenate(images),
    unlabelled=np.concatenate(rest) if rest else None,
    labels={
      level: np.concatenate([piece.labels[level] for piece in pieces])
      for level in pieces[0].labels
    },
    notes=tuple(dict.fromkeys(n for piece in pieces for n in piece.notes)),
  )


def occurring(pieces: Sequence[source_lib.Source]) -> dict[str, np.ndarray]:
  """Ids of the classes that have examples, by level, sorted."""
  return {
    level: np.unique(np.concatenate([piece.labels[level] for piece in pieces]))
    for level in pieces[0].labels
  }


def renumbered(
  source: source_lib.Source, kept: Mapping[str, np.ndarray]
) -> source_lib.Source:
  """The classes of each level that are `kept`, numbered from 0 in their order.

  A level of which one class is left divides nothing and is dropped.

  Args:
    source: examples whose labels are all among the kept ones.
    kept: sorted class ids by level.
  """
  labels, names = {}, {}
  for level, ids in kept.items():
    if len(ids) > 1:
      labels[level] = np.searchsorted(ids, source.labels[level])
      labels[level] = labels[level].astype(np.int32)
      names[level] = tuple(source.names[level][i] for i in ids)
  return source._replace(labels=labels, names=names)


def _near(name: str, known: Sequence[str]) -> str:
  """The end of a message about an unknown name."""
  folded = {other.lower(): other for other in known}
  close = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)
  if close:
    return f"did you mean {' or '.join(repr(folded[c]) for c in close)}?"
  some = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
  return f"its classes: {some}"
