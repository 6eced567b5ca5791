"""Chooses the levels of the primary and the auxiliary task, and psi.

psi is the number of auxiliary classes of each primary class (Liu, Davison &
Johns 2019, section 3): of the human sub-classes, or free for learned ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metaaux.data import hierarchies
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError

# Where neither the configuration nor the data say how finely to divide.
_DEFAULT_PSI = 5


def choose(
  config: Any, names: Mapping[str, tuple[str, ...]]
) -> tuple[str, str]:
  """Primary and auxiliary level ("": none), by the rules of `problem.build`.

  Args:
    config: has the attributes dataset, primary, aux, psi and attributes.
    names: class names by level.

  Raises:
    UserError: a level is unknown, the auxiliary one is not the finer of the
      two, or the primary one is not determined.
  """
  for key in ("primary", "aux"):
    level = getattr(config, key)
    if level and level not in names:
      raise UserError(
        f"{key}='{level}' is not a level of {config.dataset}; its levels: "
        f"{_listing(names)}"
      )
  sizes = {level: len(classes) for level, classes in names.items()}
  psi = _as_tuple(config.psi)
  primary = config.primary or _default_primary(config, sizes, psi)
  aux = config.aux
  if not aux and not psi and not config.attributes:
    finest = max(sizes, key=sizes.get)
    aux = finest if sizes[finest] > sizes[primary] else ""
  if aux and sizes[aux] <= sizes[primary]:
    raise UserError(
      f"aux='{aux}' ({sizes[aux]} classes) is not finer than "
      f"primary='{primary}' ({sizes[primary]} classes); choose a finer level "
      f"of {config.dataset}: {_listing(names)}"
    )
  return primary, aux


def auxiliary_task(
  psi: int | Sequence[int],
  pool: source_lib.Source,
  test: source_lib.Source,
  levels: tuple[str, str],
) -> tuple[np.ndarray | None, tuple[int, ...]]:
  """Auxiliary column of each human sub-class, and psi.

  Args:
    psi: of the configuration: (), one number for all classes, or one a class.
    pool: training examples.
    test: test examples; they help to find the parent of each sub-class, since a
      small split may lack some sub-classes.
    levels: primary and auxiliary level.

  Returns:
    int32 [number of sub-classes], or None where there are no human labels or
    `psi` contradicts them; and psi, one entry a primary class.

  Raises:
    UserError: `psi` has the wrong length or an entry below 1, or the auxiliary
      level does not divide the primary one.
  """
  primary, aux = levels
  num_primary = len(pool.names[primary])
  free_psi = _free_psi(psi, num_primary, primary)
  if not aux:
    return None, free_psi
  parent_of_child = hierarchies.parents(
    np.concatenate([pool.labels[aux], test.labels[aux]]),
    np.concatenate([pool.labels[primary], test.labels[primary]]),
    names=pool.names[aux],
  )
  human_psi = hierarchies.psi(parent_of_child, num_primary)
  if _as_tuple(psi) and free_psi != human_psi:
    return None, free_psi
  if 0 in human_psi:
    name = pool.names[primary][human_psi.index(0)]
    raise UserError(
      f"primary class '{name}' has no class of aux='{aux}' below it; choose "
      "other levels, or set psi"
    )
  return hierarchies.block_columns(parent_of_child), human_psi


def groups(
  config: Any, pool: source_lib.Source, primary: str
) -> tuple[int, ...]:
  """Class of the level `within` of each primary class; () without it.

  Args:
    config: has the attributes dataset and within.
    pool: training examples.
    primary: primary level.

  Raises:
    UserError: `within` is unknown or not coarser than the primary level.
  """
  level = config.within
  if not level:
    return ()
  if level not in pool.names or level == primary:
    others = ", ".join(f"'{name}'" for name in pool.names if name != primary)
    raise UserError(
      f"within='{level}' is not a level of {config.dataset} above "
      f"primary='{primary}'; use one of {others or 'a source with two levels'}"
    )
  return hierarchies.parents(
    pool.labels[primary], pool.labels[level], names=pool.names[primary]
  )


def _default_primary(
  config: Any, sizes: Mapping[str, int], psi: tuple[int, ...]
) -> str:
  """The primary level where the configuration names none."""
  coarsest = min(sizes, key=sizes.get)
  if len(sizes) == 1 or config.aux or not psi:
    return coarsest
  fitting = [level for level, size in sizes.items() if size == len(psi)]
  if len(fitting) == 1:
    return fitting[0]
  raise UserError(
    f"psi is given, but neither primary nor aux, and {config.dataset} has "
    f"several levels; set primary to one of {_listing(sizes)}"
  )


def _free_psi(
  psi: int | Sequence[int], num_primary: int, primary: str
) -> tuple[int, ...]:
  """`psi` of the configuration with one entry a primary class."""
  sizes = _as_tuple(psi) or (_DEFAULT_PSI,)
  if len(sizes) == 1:
    sizes *= num_primary
  if len(sizes) != num_primary:
    raise UserError(
      f"psi has {len(sizes)} entries, but primary='{primary}' has "
      f"{num_primary} classes; give one number for all, or {num_primary}"
    )
  if min(sizes) < 1:
    raise UserError(
      f"psi={psi}: {min(sizes)} auxiliary classes; each primary class needs "
      "at least 1"
    )
  return sizes


def _as_tuple(psi: int | Sequence[int]) -> tuple[int, ...]:
  return (psi,) if isinstance(psi, int) else tuple(psi)


def _listing(levels: Mapping[str, Any]) -> str:
  return ", ".join(f"'{level}'" for level in levels)
