"""Settings: what the auxiliary tasks are, from a config to a `TaskSet`.

A new setting is a file with `make(config, spec, *, axis_name)` and a line in
`SETTINGS`, or a function outside the package that a config names by its import
path.
"""

from collections.abc import Callable, Mapping
from typing import Any

from metaaux.config import user_code
from metaaux.errors import UserError
from metaaux.methods import contract_tasks
from metaaux.methods.arml.tasks import attributes, domains, semi_supervised
from metaaux.methods.task_set import TaskSet
from metaaux.stage import Spec

SETTINGS: Mapping[str, Callable[..., TaskSet]] = {
  "semi_supervised": semi_supervised.make,
  "attributes": attributes.make,
  "domains": domains.make,
}


def make(config: Any, spec: Spec, *, axis_name: str | None = None) -> TaskSet:
  """The tasks that `config.setting` names.

  Args:
    config: a validated config; a setting that is an import path, such as
      my_tasks:make, is a constructor outside this table.
    spec: the problem.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: the setting does not fit the data.
  """
  if config.method == "fada" and config.setting != "domains":
    raise UserError(
      f"method='fada' needs setting='domains', not {config.setting!r}; see "
      "configs/arml_pacs.py"
    )
  if user_code.is_path(config.setting):
    constructor = user_code.find("setting", config.setting)
    return contract_tasks.make_tasks(
      f"setting={config.setting!r}",
      constructor,
      config,
      spec,
      axis_name=axis_name,
    )
  return SETTINGS[config.setting](config, spec, axis_name=axis_name)
