"""The table of methods: a name and its constructor."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from metaaux.config import user_code
from metaaux.config.keys import KEYS
from metaaux.errors import UserError
from metaaux.methods import contract, fine_tune, single_task
from metaaux.methods.arml import arml
from metaaux.methods.damtl import damtl, hard_sharing, stitched
from metaaux.methods.fitted import logistic, neighbours
from metaaux.methods.maxl import cluster_labels, frozen, given_labels, maxl
from metaaux.methods.meta_mtl import joint, meta_mtl, pta
from metaaux.methods.unlabelled import (
  co_training,
  mean_teacher,
  pi_model,
  pseudo_label,
  self_training,
  vat,
)
from metaaux.stage import Spec, Stage

Constructor = Callable[..., tuple[Stage, ...]]

METHODS: Mapping[str, Constructor] = {
  "logistic": logistic.make,
  "knn": neighbours.knn,
  "label_spreading": neighbours.label_spreading,
  "single": single_task.make,
  "fine_tune": fine_tune.make,
  "self_training": self_training.make,
  "co_training": co_training.make,
  "pi_model": pi_model.make,
  "mean_teacher": mean_teacher.make,
  "vat": vat.make,
  "vat_entmin": partial(vat.make, entropy=True),
  "pseudo_label": pseudo_label.make,
  "pta": pta.make,
  "joint": joint.make,
  "uniform": partial(given_labels.make, labels="uniform"),
  "random": partial(given_labels.make, labels="random"),
  "frozen": frozen.make,
  "kmeans": partial(cluster_labels.make, labels="kmeans"),
  "prototypical": partial(cluster_labels.make, labels="prototypical"),
  "human": partial(given_labels.make, labels="human"),
  "no_entropy": partial(maxl.make, entropy=False),
  "maxl": maxl.make,
  "meta_mtl": meta_mtl.make,
  "fada": arml.make,  # the setting has the adversarial term
  "arml": arml.make,
  "separate": partial(damtl.make, mask="none", align="none", start="random"),
  "hard_sharing": hard_sharing.make,
  "cross_stitch": partial(stitched.make, unit="cross_stitch"),
  "nddr": partial(stitched.make, unit="nddr"),
  "transfer": partial(damtl.make, mask="none", align="none"),
  "damtl": damtl.make,
}
_OF_SEVERAL_TASKS = KEYS["task_classes"].methods


def make(
  config: Any, spec: Spec, *, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """Stages of the method that `config.method` names.

  Args:
    config: a validated config; a method that is an import path, such as
      my_method:make, is a constructor outside this table. Several tasks are
      its own concern, see `Spec.groups`.
    spec: the problem.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: the method cannot run on this problem or with these options.
  """
  if user_code.is_path(config.method):
    constructor = user_code.find("method", config.method)
    what = f"method={config.method!r}"
    return contract.make_stages(
      what, constructor, config, spec, axis_name=axis_name
    )
  if spec.groups and config.method not in _OF_SEVERAL_TASKS:
    key = "task_classes" if spec.num_big else "within"
    raise UserError(
      f"{key}={config[key]!r} makes several tasks, and method="
      f"{config.method!r} knows one; use {', '.join(_OF_SEVERAL_TASKS)}"
    )
  return METHODS[config.method](config, spec, axis_name=axis_name)
