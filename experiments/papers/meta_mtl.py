"""Accuracies that the papers print, and which of them a run is to be held to.

ARML (Shi et al. 2020) is in `papers.arml`.
Meta-MTL (Gui et al. 2020), tables 1 to 5: single numbers in percent. The paper
gives no spread and no number of runs. Of MAXL (Liu, Davison & Johns) there are
two papers: the submission to ICLR 2019, whose settings `variant=paper` has and
which prints only curves, and the NeurIPS 2019 version, whose Table 1 is of
other data sets and is not here. What later papers report of CIFAR-100 stands
here with its source.
"""

from typing import Any

from . import arml as arml_tables
from .number import Published

META_MTL = "Gui et al. 2020"
_ACCURACY = "test accuracy (%)"
ONE_PERCENT = "1% of the labels"

# A column: its head, then method, tasks, labels.
_Column = tuple[str, str, int | None, str]
_STL: _Column = ("STL", "single", None, "")
_RANDOM = ("joint", 4, "random")
_KMEANS = ("joint", 4, "kmeans")
_OMNIGLOT: tuple[_Column, ...] = (
  _STL,
  ("ACAI fine-tune", "fine_tune", None, ""),
  ("MTL all alphabets", "all_alphabets", None, ""),
  ("MTL random T4", *_RANDOM),
  ("MTL k-means T4", *_KMEANS),
  ("PTA-F T4", "pta", 4, ""),
  ("PTA-F T10", "pta", 10, ""),
  ("Meta-MTL T4", "meta_mtl", 4, "kmeans"),
  ("Meta-MTL T10", "meta_mtl", 10, "kmeans"),
)
_MNIST: tuple[_Column, ...] = (
  _STL,
  ("ACAI fine-tune", "fine_tune", None, ""),
  ("Self-training", "self_training", None, ""),
  ("Co-training", "co_training", None, ""),
  *_OMNIGLOT[3:],
  ("Meta-MTL T4, unlabelled too", "meta_mtl", 4, "kmeans"),
  ("Meta-MTL T10, unlabelled too", "meta_mtl", 10, "kmeans"),
)
_CIFAR10: tuple[_Column, ...] = (
  _STL,
  *_OMNIGLOT[1:2],
  *_OMNIGLOT[3:6],
  ("PTA-F T12", "pta", 12, ""),
  ("Meta-MTL T4", "meta_mtl", 4, "kmeans"),
  ("Meta-MTL T12", "meta_mtl", 12, "kmeans"),
)
_CIFAR100: tuple[_Column, ...] = (
  _STL,
  *_OMNIGLOT[1:2],
  ("MTL random", "joint", None, "random"),
  ("MTL k-means", "joint", None, "kmeans"),
  ("PTA-F T8", "pta", 8, ""),
  ("PTA-F T20", "pta", 20, ""),
  ("Meta-MTL T8", "meta_mtl", 8, "kmeans"),
  ("Meta-MTL T20", "meta_mtl", 20, "kmeans"),
)


def _row(
  table: int,
  name: str,
  dataset: str,
  setting: str,
  columns: tuple[_Column, ...],
  values: tuple[float, ...],
  note: str = "",
) -> tuple[Published, ...]:
  return tuple(
    Published(
      paper=META_MTL,
      table=f"table {table}",
      row=name,
      column=head,
      metric=_ACCURACY,
      value=value,
      n=None,
      dataset=dataset,
      setting=setting,
      method=method,
      tasks=tasks,
      labels=labels,
      note=note,
    )
    for (head, method, tasks, labels), value in zip(
      columns, values, strict=True
    )
  )


def _mnist() -> tuple[Published, ...]:
  """Table 2: what is embedded are the labelled images, but where it says so."""
  values = (91.83, 93.09, 92.20, 91.87, 92.27, 92.86, 92.67, 91.98, 93.37)
  values += (94.22, 93.76, 94.42)
  row = _row(2, "", "mnist", ONE_PERCENT, _MNIST, values)
  return tuple(
    number._replace(images="all" if "unlabelled" in number.column else "train")
    if number.labels == "kmeans" or number.method == "fine_tune"
    else number
    for number in row
  )


def _mini_imagenet() -> tuple[Published, ...]:
  """Table 5, whose rows are embeddings and whose cells are pairs of modes."""
  joint, meta = ("joint", 4, "kmeans"), ("meta_mtl", 4, "kmeans")
  note = "five-fold cross validation"
  plain: tuple[_Column, ...] = (
    _STL,
    ("MTL random", "joint", None, "random"),
    ("PTA-F T4", "pta", 4, ""),
  )
  found = _row(5, "", "miniimagenet", "", plain, (38.98, 36.70, 34.93), note)
  columns: tuple[_Column, ...] = (
    ("Embedding fine-tune", "fine_tune", None, ""),
    ("MTL k-means T4, scale mode", *joint),
    ("MTL k-means T4, half mode", *joint),
    ("Meta-MTL T4, scale mode", *meta),
    ("Meta-MTL T4, half mode", *meta),
  )
  modes = ("", "uniform", "half", "uniform", "half")
  for name, values in (
    ("DeepCluster", (35.14, 37.24, 36.78, 41.07, 40.86)),
    ("ACAI", (22.90, 37.36, 36.98, 40.43, 40.60)),
  ):
    row = _row(5, name, "miniimagenet", "", columns, values, note)
    found += tuple(
      number._replace(scaling=mode, embedding=name.lower())
      for number, mode in zip(row, modes, strict=True)
    )
  return found


def _about_maxl() -> tuple[Published, ...]:
  """CIFAR-100, 20 classes with 100 below them, VGG-16; treat as +-1 point."""
  implied = "implied by the differences that it prints"
  second_hand = "read second-hand, not checked"
  return tuple(
    Published(
      paper=paper,
      table=where,
      row="CIFAR-100, 20 super-classes",
      column=column,
      metric=_ACCURACY,
      value=value,
      n=None,
      dataset="cifar100",
      setting="20 | 100, VGG-16",
      method=method,
      note=note,
    )
    for paper, where, column, value, method, note in (
      ("WAMAL", "abstract", "unweighted", 77.4, "maxl", implied),
      ("WAMAL", "abstract", "human auxiliaries", 74.6, "human", implied),
      ("WAMAL", "results", "MAXL, run again", 76.6, "maxl", second_hand),
      ("WAMAL", "results", "human", 75.7, "human", second_hand),
      ("RL-AUX", "report", "human", 75.53, "human", ""),
    )
  )


PUBLISHED: tuple[Published, ...] = (
  *_row(
    1,
    "",
    "omniglot",
    "mean over alphabets",
    _OMNIGLOT,
    (65.72, 67.91, 70.98, 60.98, 61.26, 70.63, 71.52, 72.04, 74.80),
    "mean over 50 alphabets",
  ),
  *_mnist(),
  *_row(
    3,
    "CNN",
    "cifar10",
    "plain",
    _CIFAR10,
    (72.48, 64.94, 70.81, 71.06, 69.20, 68.48, 75.02, 75.69),
  ),
  *_row(
    3,
    "CNN, augmented",
    "cifar10",
    "flip, grayscale",
    _CIFAR10,
    (75.91, 64.94, 74.48, 74.61, 72.54, 70.96, 78.65, 79.65),
  ),
  *_row(
    4,
    "20 C",
    "cifar100",
    "20 classes",
    _CIFAR100,
    (55.94, 44.37, 51.00, 51.84, 51.67, 51.69, 59.66, 60.39),
  ),
  *_row(
    4,
    "100 C",
    "cifar100",
    "100 classes",
    _CIFAR100,
    (44.19, 34.40, 41.30, 42.30, 45.86, 47.43, 47.01, 47.94),
  ),
  *_mini_imagenet(),
  *_about_maxl(),
  *arml_tables.PUBLISHED,
)


def find(**wanted: Any) -> tuple[Published, ...]:
  """Numbers whose named fields have these values, in the papers' order.

  `find(dataset="mnist", method="meta_mtl", tasks=10)`.
  """
  return tuple(
    number
    for number in PUBLISHED
    if all(getattr(number, key) == value for key, value in wanted.items())
  )


def source(number: Published) -> str:
  """One line on where a number comes from."""
  where = ", ".join(filter(None, (number.table, number.row, number.column)))
  runs = "number of runs not given" if number.n is None else f"{number.n} runs"
  note = f"; {number.note}" if number.note else ""
  return f"{number.paper}, {where}; {runs}{note}"
