"""Several small tasks with label sets of their own, and a big task beside.

The setting of Feng & Chen (damtl, section 8): each task has a few of the
classes and its own images of them, also of classes that two tasks share; the
auxiliary big task has all classes and images that no task has.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metaaux.data import arrays
from metaaux.errors import UserError

# Of red, green and blue in the brightness of a pixel (ITU-R BT.601).
_BRIGHTNESS = (0.299, 0.587, 0.114)


class Several(NamedTuple):
  """Tasks as ranges of one label set, which lists the classes task by task.

  Attributes:
    pool: the images of the source, then once more those of each task's classes;
      `primary` is -1 in the first part, a class of the tasks in the others, and
      `auxiliary` the class of the source, -1 in the others.
    test: images of each task's classes, likewise.
    groups: task of each class.
    origins: class of the source of each class.
    big: int32 [S, n], positions of the big task's images.
    tasks: int32 [S, n_j] of each task.
    names: of the classes.
  """

  pool: dict[str, np.ndarray]
  test: dict[str, np.ndarray]
  groups: tuple[int, ...]
  origins: tuple[int, ...]
  big: np.ndarray
  tasks: tuple[np.ndarray, ...]
  names: tuple[str, ...]


def parse(text: str, num_classes: int) -> tuple[int, ...]:
  """Class ids of a task: "0-4" or "0-2+7+9".

  Raises:
    UserError: it is not of that form, a class is unknown or comes twice, or
      there is only one.
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
  config: Any, pool: arrays.Source, test: arrays.Source, level: str
) -> Several:
  """Divides a source among the tasks and the big task.

  Args:
    config: `task_classes`, `labels_per_class` (of each task), `task_looks`,
      `big_per_class`, `seed`, `num_seeds`.
    pool: training images.
    test: test images.
    level: whose classes they are.

  Raises:
    UserError: the classes are wrong, or there are too few images of one.
  """
  names = pool.names[level]
  tasks = [parse(text, len(names)) for text in config.task_classes]
  if config.labels_per_class < 1:
    raise UserError(
      f"labels_per_class={config.labels_per_class}: with task_classes it must "
      "be 1 or more, the images of each class of a task"
    )
  looks = config.task_looks or ("plain",) * len(tasks)
  if len(looks) != len(tasks):
    raise UserError(
      f"task_looks={tuple(looks)} are {len(looks)} for {len(tasks)} tasks; "
      "give one for each task, or none"
    )
  sizes = [len(ids) for ids in tasks]
  labels = pool.labels[level]
  counts = config.labels_per_class, config.big_per_class
  big, parts = zip(
    *(
      _of_seed(config.seed + i, labels, tasks, counts, names)
      for i in range(config.num_seeds)
    ),
    strict=True,
  )
  copies = [_copy(labels, ids, len(names)) for ids in tasks]
  # Where an image of the source lies in the copy of a task.
  first = np.cumsum([0, len(labels), *(len(rows) for rows, _ in copies)])
  placed = []
  for j, (rows, _) in enumerate(copies):
    place = np.full(len(labels), -1, np.int32)
    place[rows] = first[j + 1] + np.arange(len(rows))
    placed.append(np.stack([place[seed[j]] for seed in parts]))
  return Several(
    pool=_joined(pool, labels, copies, sizes, looks, whole=True),
    test=_joined(
      test,
      test.labels[level],
      [_copy(test.labels[level], ids, len(names)) for ids in tasks],
      sizes,
      looks,
      whole=False,
    ),
    groups=tuple(j for j, ids in enumerate(tasks) for _ in ids),
    origins=tuple(i for ids in tasks for i in ids),
    big=np.stack(big),
    tasks=tuple(placed),
    names=tuple(names[i] for ids in tasks for i in ids),
  )


def _of_seed(
  seed: int,
  labels: np.ndarray,
  tasks: list[tuple[int, ...]],
  counts: tuple[int, int],
  names: tuple[str, ...],
) -> tuple[np.ndarray, list[np.ndarray]]:
  """Images of the big task and of each task; no image is in two of them.

  Those of the big task are the last of each class, so that they are the same
  whatever the tasks are where `counts` limits them.
  """
  count, big = counts
  rng = np.random.default_rng((seed, 5))
  free = [
    rng.permutation(np.flatnonzero(labels == c)) for c in range(len(names))
  ]
  parts = []
  for ids in tasks:
    own = []
    for i in ids:
      if len(free[i]) < count + max(big, 1):
        raise UserError(
          f"labels_per_class={count}, but class {i} ({names[i]!r}) has "
          f"{len(free[i])} images left for a task and the big task"
          f"{f', which takes big_per_class={big}' if big else ''}; lower it"
        )
      own.append(free[i][:count])
      free[i] = free[i][count:]
    parts.append(np.sort(np.concatenate(own)))
  free = [rows[-big:] for rows in free]  # all of them where big is 0
  return np.sort(np.concatenate(free)).astype(np.int32), parts


def _copy(
  labels: np.ndarray, ids: tuple[int, ...], num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
  """Positions of the images of some classes, and their labels among these."""
  rows = np.flatnonzero(np.isin(labels, ids))
  local = np.full(num_classes, -1, np.int32)
  local[list(ids)] = np.arange(len(ids))
  return rows, local[labels[rows]]


def _joined(
  source: arrays.Source,
  labels: np.ndarray,
  copies: list[tuple[np.ndarray, np.ndarray]],
  sizes: list[int],
  looks: Sequence[str],
  *,
  whole: bool,
) -> dict[str, np.ndarray]:
  """The source, if it is wanted, and the copies of all tasks."""
  images = [source.images] if whole else []
  primary = [np.full(len(labels), -1, np.int32)] if whole else []
  auxiliary = [labels.astype(np.int32)] if whole else []
  first = np.cumsum([0, *sizes], dtype=np.int32)
  parts = zip(copies, first[:-1], looks, strict=True)
  for (rows, local), offset, look in parts:
    images.append(seen_as(source.images[rows], look))
    primary.append(local + offset)
    auxiliary.append(np.full(len(rows), -1, np.int32))
  return {
    "image": np.concatenate(images),
    "primary": np.concatenate(primary),
    "auxiliary": np.concatenate(auxiliary),
  }


def seen_as(images: np.ndarray, look: str) -> np.ndarray:
  """Images in another domain, of the same shape and dtype.

  Args:
    images: uint8 or float32 [n, H, W, C].
    look: "plain": as they are; "gray": the brightness in all three channels;
      "half": reduced to half the side, by means of 2x2 pixels, and enlarged.

  Raises:
    UserError: the images have no colours, or an odd side.
  """
  if look == "plain":
    return images
  count, height, width, channels = images.shape
  if look == "gray":
    if channels != 3:
      raise UserError(
        f"task_looks has 'gray', but the images have {channels} channels; use "
        "it with colour images"
      )
    changed = (images @ np.float32(_BRIGHTNESS))[..., None]
    changed = np.broadcast_to(changed, images.shape)
  else:
    if height % 2 or width % 2:
      raise UserError(
        f"task_looks has 'half', but the images are {height}x{width}; use it "
        "with images of even sides"
      )
    blocks = images.reshape(count, height // 2, 2, width // 2, 2, channels)
    small = blocks.mean((2, 4), dtype=np.float32)
    changed = small.repeat(2, axis=1).repeat(2, axis=2)
  if images.dtype == np.uint8:
    changed = np.rint(changed)
  return changed.astype(images.dtype)
