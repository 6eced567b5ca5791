"""What --help says of the keys of a config."""

import ml_collections

from metaaux import config as config_lib


def text(
  config: ml_collections.ConfigDict | None, *, full: bool = False
) -> str:
  """The keys and their values, a line each.

  Args:
    config: whose values are shown; None: the defaults.
    full: every key, not those alone that the config's method reads.
  """
  del full
  keys = config_lib.flatten(config or config_lib.base())
  lines = [f"  --config.{key}={value!r}" for key, value in keys.items()]
  return "\n".join(["keys and their values; a tuple is written 5,5:", *lines])
