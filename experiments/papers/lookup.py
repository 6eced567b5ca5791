"""The number that a paper prints for the setting and the method of a run."""

import re
from collections.abc import Mapping
from typing import Any

from ..results import pooled
from . import arml as arml_tables
from .meta_mtl import ONE_PERCENT, find
from .number import Published

_NETWORK = {
  "shrink": (1,),
  "model.dropout": (0.0,),
  "model.block_dropout": (0.0,),
}
_HEADS = {"model.decoder": ("hidden",)}
_CLUSTERS = {
  "embedding.name": ("acai", "deepcluster"),
  "partition.num_classes": (0,),
}
# What Meta-MTL's paper does, by method, on the data sets that a run can match.
_PAPER: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
  "pta": {**_NETWORK, **_HEADS},
  # Equation 3 sums all losses, each with a weight of 1.
  "joint": {
    **_NETWORK,
    **_HEADS,
    **_CLUSTERS,
    "auxiliary_weight": (1.0,),
  },
  "meta_mtl": {
    **_NETWORK,
    **_HEADS,
    **_CLUSTERS,
    "meta_mtl.variant": ("paper_second_order",),
  },
}

# Labelled images of a class in ARML's semi-supervised table.
_FEW_LABELS = {
  ("cifar10", 400): arml_tables.CIFAR10,
  ("svhncropped", 100): arml_tables.SVHN,
}


def dataset_of(source: str) -> str:
  """The name of a data source as `papers.meta_mtl` spells it.

  `tfds:cifar10` and `npz:/data/CIFAR-10.npz` are both "cifar10".
  """
  kind, _, where = source.partition(":")
  if not where:
    name = kind
  elif kind == "tfds":
    name = re.split("[/:]", where)[0]
  else:
    name = re.sub("[.]npz$", "", where.rstrip("/").rpartition("/")[2])
  return re.sub("[^a-z0-9]", "", name.lower())


def setting_of(config: Mapping[str, Any]) -> str | None:
  """The setting of `papers.meta_mtl` that a config runs, None if it runs none.

  The data, the number of labels, the classes and the augmentation have to be
  those of the paper; the network of its family. How long and how fast it is
  trained is not looked at.

  Args:
    config: dotted key -> value.
  """
  get = config.get
  dataset = dataset_of(get("dataset", ""))
  if dataset == "omniglot" and get("select", "").startswith(pooled.MEAN_OF):
    return "mean over alphabets"
  if get("target_domain"):
    domain, labels = get("target_domain"), get("labels_per_class")
    return f"{domain}, {labels} labels" if dataset == "pacs" else None
  if get("test_split", "test") != "test" or get("select"):
    return None
  few = (dataset, get("labels_per_class"))
  if few in _FEW_LABELS and get("train_split", "train") == "train":
    return _FEW_LABELS[few]
  flip, grayscale = get("augment.flip", False), get("augment.grayscale", 0.0)
  if dataset == "mnist":
    return ONE_PERCENT if get("labels_per_class") == 60 else None
  if get("labels_per_class") or get("train_split", "train") != "train":
    return None
  primary, vgg = get("primary", ""), get("model.name") == "vgg16"
  if dataset == "cifar10":
    moved = get("augment.pad", 0) or get("augment.shift", 0.0)
    uncut = not vgg and not moved
    settings = {(False, False): "plain", (True, True): "flip, grayscale"}
    return settings.get((bool(flip), bool(grayscale))) if uncut else None
  if dataset == "cifar100" and vgg:
    pair = primary == "20" and get("aux") == "100" and not get("psi")
    same = get("model.width", 1.0) == 1.0
    return "20 | 100, VGG-16" if pair and same else None
  if dataset == "cifar100" and primary in ("20", "100"):
    return f"{primary} classes"
  return "" if dataset == "miniimagenet" else None


def of_run(method: str, config: Mapping[str, Any]) -> Published | None:
  """The published number of a run's setting and method, if there is one.

  Omniglot's mean over 50 alphabets belongs to no single run, but to runs that
  `pooled` joins, were they of fewer alphabets. Network and training may differ,
  see `departures`.

  Args:
    method: of the config.
    config: dotted key -> value.
  """
  setting = setting_of(config)
  if setting is None:
    return None
  if method == "meta_mtl":
    # Not the paper's method, nor what its official code runs.
    alternating = config.get("meta_mtl.variant") == "alternating"
    if alternating or config.get("meta_mtl.always_main"):
      return None
  own = {
    "labels": config.get("partition.labels", ""),
    "tasks": config.get("partition.num_tasks"),
    "images": config.get("partition.images", ""),
    "scaling": config.get("partition.scaling", ""),
    "embedding": config.get("embedding.name", ""),
  }
  for number in find(
    dataset=dataset_of(config["dataset"]), setting=setting, method=method
  ):
    told = {key: getattr(number, key) for key in own}
    if all(not value or own[key] == value for key, value in told.items()):
      return number
  return None


def departures(method: str, config: Mapping[str, Any]) -> list[str]:
  """`key=value` of what a run does otherwise than the Meta-MTL paper.

  Network, clusters, variant and weights of the tasks alone: the paper does not
  tell its rates, batch sizes and numbers of steps.

  Args:
    method: of the config.
    config: dotted key -> value.
  """
  paper = {**_PAPER.get(method, _NETWORK)}
  # Fine-tuning trains the embedding's encoder, which has no such blocks.
  of_omniglot = dataset_of(config.get("dataset", "")) == "omniglot"
  if of_omniglot and method != "fine_tune":
    paper["model.block_dropout"] = (0.5,)
  return [
    f"{key}={config[key]}"
    for key, values in paper.items()
    if key in config and config[key] not in values
  ]
