"""Examples of another source, for a network that is trained already."""

from typing import Any

import numpy as np

from metaaux import messages
from metaaux.data import attributes as attributes_lib
from metaaux.data import class_matching
from metaaux.data import problem as problem_lib
from metaaux.data.problem import Problem
from metaaux.data.sources import folder as folder_source
from metaaux.data.sources import npz as npz_source
from metaaux.data.sources import split_names
from metaaux.errors import UserError

# Names of folders that hardly anybody gives to a class.
_NO_CLASSES = ("unlabelled", "unlabeled", "unlabel", "unsorted")


def load_test(
  config: Any, source: str, split: str, problem: Problem | None = None
) -> dict[str, np.ndarray]:
  """Examples of another source or split, for a network trained on `config`.

  Args:
    config: as for `build`.
    source: a data source with the same classes or some of them, such as a new
      test set; see `class_matching`, whose remark is printed.
    split: of `source`.
    problem: the result of `build(config)`, if it is at hand; else it is built.

  Returns:
    Examples as in `Problem.test`; `auxiliary` is -1 where the source lacks the
    auxiliary level or names other classes in it, and so are attributes that the
    source lacks.

  Raises:
    UserError: the source has no such primary level, classes that the network
      does not know, or another image shape.
  """
  problem = problem or problem_lib.build(config)
  primary, aux = problem.levels
  found = problem_lib.load_source(config, source, split)
  if config.attributes:
    found = attributes_lib.with_primary(found, problem.attributes[0])
  known = class_matching.Known(config.dataset, primary, problem.primary_names)
  matched = class_matching.match(known, source, found.names)
  if matched.remark:
    messages.say(matched.remark)
  if found.images.shape[1:] != problem.spec.input_shape:
    raise UserError(
      f"{source} has images of shape {found.images.shape[1:]}, "
      f"{config.dataset} of {problem.spec.input_shape}; convert the images"
    )
  columns = None
  in_order = problem.auxiliary_names
  if in_order and sorted(found.names.get(aux, ())) == sorted(in_order):
    columns = np.array([in_order.index(n) for n in found.names[aux]], np.int32)
  labels = matched.ids[found.labels[matched.level]]
  found = found._replace(labels={**found.labels, primary: labels})
  return problem_lib.examples(
    found, problem.levels, columns, problem.attributes[1:]
  )


def default_split(source: str) -> str:
  """The split to evaluate where nobody names one: all, or the test split.

  It is all where a folder or an archive is not divided, so that no images were
  set apart for testing.

  Raises:
    UserError: the source is a folder that cannot be read.
  """
  kind, _, where = source.partition(":")
  if kind == "folder":
    found = folder_source.listed(where)
    if found.domains:
      return "all"
    return "test" if found.divided else "train+test"
  if kind == "npz" and not npz_source.is_divided(where):
    return "all"
  return "test"


def unread(source: str, *splits: str) -> list[str]:
  """Lines about folders that no split reads, or that look like no class.

  Args:
    source: a data source; there are lines only about folders.
    splits: the splits that will be read; none: all that the source has.

  Raises:
    UserError: the folder or a split is wrong.
  """
  kind, _, where = source.partition(":")
  if kind != "folder":
    return []
  parts = {part.name for text in splits for part in split_names.parse(text)}
  lines = []
  found = folder_source.listed(where)
  left = folder_source.unread(found, parts)
  if left:
    lines.append(f"{source}: not read: {', '.join(left)}")
  for name in found.names:
    if name.lower() in _NO_CLASSES:
      lines.append(
        f"{source}: the folder {name}/ is taken for a class; move it elsewhere "
        "if its images are of no class"
      )
  return lines
