"""A number that a paper prints."""

from typing import NamedTuple


class Published(NamedTuple):
  """A number from a paper.

  Attributes:
    paper: authors and year.
    table: of the paper, or where else it stands.
    row: of the table, as printed; "" where there is one.
    column: likewise.
    metric: of `value`.
    value: percent.
    n: how many runs it averages, None if the paper does not say.
    dataset: lower-case letters and digits, such as "cifar10".
    setting: labels, classes or augmentation; a key of `setting_of`.
    method: "single", "joint", "pta", "meta_mtl", "maxl", ... .
    tasks: auxiliary tasks (for PTA-F: decoders), None where not stated.
    labels: of the auxiliary tasks: "kmeans", "random" or "".
    images: that are clustered: "all", "train", or "" where all have labels.
    scaling: of the partitions, where a table tells: "uniform" or "half".
    embedding: where a table tells.
    note: what a reader has to know beside it.
  """

  paper: str
  table: str
  row: str
  column: str
  metric: str
  value: float
  n: int | None
  dataset: str
  setting: str
  method: str
  tasks: int | None = None
  labels: str = ""
  images: str = ""
  scaling: str = ""
  embedding: str = ""
  note: str = ""
