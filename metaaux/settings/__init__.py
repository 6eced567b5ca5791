"""Settings: what the auxiliary tasks are, from a config to a `TaskSet`.

A new setting is a file with `make(config, spec, *, axis_name)` and a line in
`SETTINGS`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from metaaux.errors import UserError
from metaaux.settings import attributes, domains, semi_supervised
from metaaux.stage import Spec
from metaaux.tasks import TaskSet

SETTINGS: Mapping[str, Callable[..., TaskSet]] = {
  "semi_supervised": semi_supervised.make,
  "attributes": attributes.make,
  "domains": domains.make,
}


def make(config: Any, spec: Spec, *, axis_name: str | None = None) -> TaskSet:
  """The tasks that `config.setting` names.

  Args:
    config: a validated config.
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
  return SETTINGS[config.setting](config, spec, axis_name=axis_name)
