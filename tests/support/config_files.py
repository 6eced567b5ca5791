"""Config files of the checkout, and what runs of them find."""

import importlib.util
import pathlib

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def load_config(name, arg):
  spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(arg)


def figures(result):
  return {k: v for k, v in result.items() if k != "seconds"}
