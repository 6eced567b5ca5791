"""Several small tasks with label sets of their own, and a big task besides.

The setting of Feng & Chen (docs/damtl.md): each task has a few of the classes
and its own images of them, also of classes that two tasks share; the auxiliary
big task has all classes and images that no task has.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metaaux.data import task_looks
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError

DOMAIN = "domain"  # the level whose classes `task_domains` names


class Several(NamedTuple):
  """The tasks as ranges of one label set, which lists the classes by task.

  Attributes:
    pool: the images of the source, then copies for each task of the images of
      its classes. In the first part `primary` is -1 and `auxiliary` the class
      of the source; in the copies `primary` is a class of the tasks and
      `auxiliary` is -1.
    test: copies for each task of the test images of its classes.
    groups: task of each class.
    origins: class of the source of each class.
    big: int32 [S, n], positions of the big task's images.
    tasks: int32 [S, n_j] of each task.
    tested: int32 [S, m], positions in `test` that each seed is tested on; None:
      all.
    names: of the classes.
  """

  pool: dict[str, np.ndarray]
  test: dict[str, np.ndarray]
  groups: tuple[int, ...]
  origins: tuple[int, ...]
  big: np.ndarray
  tasks: tuple[np.ndarray, ...]
  tested: np.ndarray | None
  names: tuple[str, ...]


def parse(text: str, num_classes: int) -> tuple[int, ...]:
  """Class ids of a task: "0-4" or "0-2+7+9".

  Raises:
    UserError: the text is not of that form, a class is unknown or comes twice,
      or there is only one.
  """
  ids: list[int] = []
  for part in text.split("+"):
    first, dash, last = part.strip().partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
      raise UserError(
        f"task_classes: {text!r} is not understood; write class ids such as "
        "0-4 or 0-2+7+9, tasks separated by commas"
      )
    ids += range(int(first), int(last if dash else first) + 1)
  wrong = [i for i in ids if i >= num_classes]
  if wrong or len(set(ids)) < max(len(ids), 2):
    raise UserError(
      f"task_classes: {text!r} must name two or more different classes below "
      f"{num_classes}"
    )
  return tuple(ids)


def divide(
  config: Any, pool: source_lib.Source, test: source_lib.Source, level: str
) -> Several:
  """Divides a source among the tasks and the big task.

  With `task_domains` a task has only the images of its domain, and is tested on
  those that it is not trained on; the big task has the domains of no task.

  Args:
    config: `task_classes`, `labels_per_class` (of each task), `task_looks`,
      `task_domains`, `big_per_class`, `seed`, `num_seeds`.
    pool: training images.
    test: test images; with `task_domains` the same as the pool.
    level: the level of the tasks' classes.

  Raises:
    UserError: classes or domains are wrong, or there are too few images of one.
  """
  names = pool.names[level]
  tasks = [parse(text, len(names)) for text in config.task_classes]
  if config.labels_per_class < 1:
    raise UserError(
      f"labels_per_class={config.labels_per_class}: with task_classes it must "
      "be 1 or more, the images of each class of a task"
    )
  looks = _one_for_each(config, "task_looks", len(tasks))
  looks = looks or ("plain",) * len(tasks)
  place, owners = _places(config, pool, len(tasks))
  labels = pool.labels[level]
  big, parts = zip(
    *(
      _of_seed(
        config.seed + i,
        labels + len(names) * place,
        tasks,
        owners,
        config,
        names,
      )
      for i in range(config.num_seeds)
    ),
    strict=True,
  )
  copies = [
    _copy(labels, place == owner, ids, len(names))
    for ids, owner in zip(tasks, owners, strict=True)
  ]
  if config.task_domains:
    tested_copies = copies
  else:
    own = test.labels[level]
    everywhere = np.ones(len(own), bool)
    tested_copies = [_copy(own, everywhere, ids, len(names)) for ids in tasks]
  sizes = [len(ids) for ids in tasks]
  placed = _placed(len(labels), copies, parts)
  return Several(
    pool=_joined(pool, labels, copies, sizes, looks, whole=True),
    test=_joined(
      test, test.labels[level], tested_copies, sizes, looks, whole=False
    ),
    groups=tuple(j for j, ids in enumerate(tasks) for _ in ids),
    origins=tuple(i for ids in tasks for i in ids),
    big=np.stack(big),
    tasks=placed,
    tested=_others(placed, len(labels), copies)
    if config.task_domains
    else None,
    names=tuple(names[i] for ids in tasks for i in ids),
  )


def _one_for_each(config: Any, key: str, count: int) -> tuple[str, ...]:
  given = tuple(config[key])
  if given and len(given) != count:
    raise UserError(
      f"{key}={given} are {len(given)} for {count} tasks; give one for each "
      "task, or none"
    )
  return given


def _places(
  config: Any, pool: source_lib.Source, count: int
) -> tuple[np.ndarray, list[int]]:
  """Where each image may go, 0 for the big task; and the place of each task.

  Without `task_domains` all are in one place.
  """
  wanted = _one_for_each(config, "task_domains", count)
  place = np.zeros(len(pool.images), np.int32)
  if not wanted:
    return place, [0] * count
  known = pool.names.get(DOMAIN, ())
  for name in wanted:
    if name not in known:
      raise UserError(
        f"task_domains={wanted}: {name!r} is not a domain of {config.dataset}; "
        f"its domains: {', '.join(known) or 'none'}"
      )
  distinct = list(dict.fromkeys(wanted))
  if len(distinct) == len(known):
    raise UserError(
      f"task_domains={wanted} leave no domain of {config.dataset} to the big "
      "task; name fewer"
    )
  for k, name in enumerate(distinct):
    place[pool.labels[DOMAIN] == known.index(name)] = k + 1
  return place, [distinct.index(name) + 1 for name in wanted]


def _of_seed(
  seed: int,
  cells: np.ndarray,
  tasks: list[tuple[int, ...]],
  owners: list[int],
  config: Any,
  names: tuple[str, ...],
) -> tuple[np.ndarray, list[np.ndarray]]:
  """Images of the big task and of each task; no image is in two of them.

  The big task takes the last images of each class, so that where
  `big_per_class` limits them they are the same whatever the tasks are.

  Args:
    seed: of the draw.
    cells: for each image, its class plus the number of classes times its place.
    tasks: classes of each task.
    owners: place of each task.
    config: `labels_per_class`, `big_per_class`.
    names: of the classes.
  """
  count, big = config.labels_per_class, config.big_per_class
  rng = np.random.default_rng((seed, 5))
  free = [
    rng.permutation(np.flatnonzero(cells == c))
    for c in range(len(names) * (max(owners) + 1))
  ]
  parts = []
  for ids, owner in zip(tasks, owners, strict=True):
    own = []
    for i in ids:
      cell = i + len(names) * owner
      # Something has to be left: for the big task, or to be tested on.
      reserved = 1 if owner else max(big, 1)
      if len(free[cell]) < count + reserved:
        raise UserError(
          f"labels_per_class={count}, but class {i} ({names[i]!r}) has "
          f"{len(free[cell])} images left for a task and what else needs them"
          f"{f' (big_per_class={big})' if big else ''}; lower it"
        )
      own.append(free[cell][:count])
      free[cell] = free[cell][count:]
    parts.append(np.sort(np.concatenate(own)))
  # All of them where big is 0.
  rest = [rows[-big:] for rows in free[: len(names)]]
  return np.sort(np.concatenate(rest)).astype(np.int32), parts


def _placed(
  count: int,
  copies: list[tuple[np.ndarray, np.ndarray]],
  parts: Sequence[list[np.ndarray]],
) -> tuple[np.ndarray, ...]:
  """Where the images of each task and seed lie in the pool with its copies."""
  first = np.cumsum([count, *(len(rows) for rows, _ in copies)])
  placed = []
  for j, (rows, _) in enumerate(copies):
    place = np.full(count, -1, np.int32)
    place[rows] = first[j] + np.arange(len(rows))
    placed.append(np.stack([place[seed[j]] for seed in parts]))
  return tuple(placed)


def _others(
  placed: Sequence[np.ndarray],
  count: int,
  copies: list[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
  """Positions, in the copies alone, of images that a seed does not train on."""
  total = sum(len(rows) for rows, _ in copies)
  found = []
  for seed in zip(*placed, strict=True):
    left = np.ones(total, bool)
    left[np.concatenate(seed) - count] = False
    found.append(np.flatnonzero(left).astype(np.int32))
  return np.stack(found)


def _copy(
  labels: np.ndarray,
  allowed: np.ndarray,
  ids: tuple[int, ...],
  num_classes: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Positions of the images of some classes, and their labels among these."""
  rows = np.flatnonzero(np.isin(labels, ids) & allowed)
  local = np.full(num_classes, -1, np.int32)
  local[list(ids)] = np.arange(len(ids))
  return rows, local[labels[rows]]


def _joined(
  source: source_lib.Source,
  labels: np.ndarray,
  copies: list[tuple[np.ndarray, np.ndarray]],
  sizes: list[int],
  looks: Sequence[str],
  *,
  whole: bool,
) -> dict[str, np.ndarray]:
  """The copies of all tasks, behind the source if `whole`."""
  pixels = np.asarray(source.images)
  images = [pixels] if whole else []
  primary = [np.full(len(labels), -1, np.int32)] if whole else []
  auxiliary = [labels.astype(np.int32)] if whole else []
  first = np.cumsum([0, *sizes], dtype=np.int32)
  parts = zip(copies, first[:-1], looks, strict=True)
  for (rows, local), offset, look in parts:
    images.append(task_looks.seen_as(pixels[rows], look))
    primary.append(local + offset)
    auxiliary.append(np.full(len(rows), -1, np.int32))
  return {
    "image": np.concatenate(images),
    "primary": np.concatenate(primary),
    "auxiliary": np.concatenate(auxiliary),
  }
