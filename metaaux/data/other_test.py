"""Examples of another source, for a network that is trained already."""

from typing import Any

import numpy as np

from metaaux.data import attributes as attributes_lib
from metaaux.data import problem as problem_lib
from metaaux.data.problem import Problem
from metaaux.errors import UserError


def load_test(
  config: Any, source: str, split: str, problem: Problem | None = None
) -> dict[str, np.ndarray]:
  """Examples of another source or split, for a network trained on `config`.

  Args:
    config: as for `build`.
    source: a data source with the same primary level, such as a new test set.
    split: of `source`.
    problem: what `build(config)` returned, if it is at hand; else it is built.

  Returns:
    As in `Problem.test`; `auxiliary` is -1 where the source lacks the auxiliary
    level or names other classes in it, and so are attributes that it lacks.

  Raises:
    UserError: no such primary level, another number of classes, or another
      image shape.
  """
  problem = problem or problem_lib.build(config)
  primary, aux = problem.levels
  found = problem_lib.load_source(config, source, split)
  if config.attributes:
    found = attributes_lib.with_primary(found, problem.attributes[0])
  if primary not in found.names:
    raise UserError(
      f"{source} has no level '{primary}', the primary one of "
      f"{config.dataset}; its levels: {', '.join(found.names)}"
    )
  num_classes = len(found.names[primary])
  if num_classes != problem.spec.num_primary:
    raise UserError(
      f"{source} has {num_classes} classes at level '{primary}', "
      f"{config.dataset} has {problem.spec.num_primary}; evaluate on a source "
      "with the same classes"
    )
  if found.images.shape[1:] != problem.spec.image_shape:
    raise UserError(
      f"{source} has images of shape {found.images.shape[1:]}, "
      f"{config.dataset} of {problem.spec.image_shape}; convert the images"
    )
  columns = None
  in_order = problem.auxiliary_names
  if in_order and sorted(found.names.get(aux, ())) == sorted(in_order):
    columns = np.array([in_order.index(n) for n in found.names[aux]], np.int32)
  return problem_lib.examples(
    found, problem.levels, columns, problem.attributes[1:]
  )
