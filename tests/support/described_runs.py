"""Runs as results describe them."""

from metaaux import config as config_lib


def config_of(changes):
  config = config_lib.base()
  keys = {key.replace("__", "."): value for key, value in changes.items()}
  config.update_from_flattened_dict(keys)
  return config


def run(method, name="run", **changes):
  config = config_of({"method": method, **changes})
  flat = config_lib.flatten(config_lib.to_json(config))
  return {"method": method, "name": name, "config": flat}
