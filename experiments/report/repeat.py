"""The command that repeats a run, found among the config files and checked."""

import functools
import glob
import os
import pathlib
import shlex
from typing import Any

from metaaux import config as config_lib
from metaaux.config import file as config_file
from metaaux.errors import UserError

_HOME = pathlib.Path(__file__).parents[2]
_CONFIGS = str(_HOME / "configs")


def command(config: Any, workdir: str, configs: str = _CONFIGS) -> str | None:
  """A command whose config is that of a run, key by key.

  The config file that is nearest, and an override for every key in which it
  differs; the result is read again and compared.

  Args:
    config: of the run, complete.
    workdir: for the repetition.
    configs: folder of config files.

  Returns:
    The command, to be given in the root of the repository; None where no config
    file can be read.
  """
  wanted = config_lib.flatten(config_lib.to_json(config))
  spec = _nearest(wanted, configs)
  if spec is None:
    return None
  base = _flat(spec)
  overrides = [
    f"--config.{key}={_text(value)}"
    for key, value in wanted.items()
    if base.get(key) != value
  ]
  try:
    found = config_file.load(spec, overrides)
  except UserError:
    return None
  if config_lib.flatten(config_lib.to_json(found)) != wanted:
    return None
  path, *argument = config_file.split(spec, "--config")
  shown = ":".join([f"configs/{os.path.basename(path)}", *argument])
  parts = [f"--config={shown}", *overrides, f"--workdir={workdir}"]
  return " \\\n  ".join(["python -m metaaux.main", *map(shlex.quote, parts)])


def _nearest(wanted: dict[str, Any], configs: str) -> str | None:
  """The file and argument that differ in the fewest keys."""

  def rank(spec: str) -> tuple[int, int, str]:
    base = _flat(spec)
    differing = sum(base.get(key) != wanted[key] for key in wanted)
    return differing, len(spec), spec

  def known(specs: list[str]) -> list[str]:
    return sorted((s for s in specs if _flat(s) is not None), key=rank)

  method = f"method={wanted['method']}"
  paths = sorted(glob.glob(os.path.join(glob.escape(configs), "*.py")))
  first = known([spec for path in paths for spec in (path, f"{path}:{method}")])
  near = list(
    dict.fromkeys(config_file.split(spec, "--config")[0] for spec in first[:3])
  )
  more = [
    f"{path}:{','.join(arguments)}"
    for path in near
    for arguments in _arguments(wanted)
  ]
  return min(first[:1] + known(more), key=rank, default=None)


def _arguments(wanted: dict[str, Any]) -> list[list[str]]:
  """What config files may take after the colon, that says more at once."""
  method = [f"method={wanted['method']}"]
  weighting = [f"weighting={wanted['weighting.name']}"]
  seeds = [f"seeds={wanted['num_seeds']}"]
  return [
    [*quick, *first, *second]
    for quick in ([], ["runlocal"])
    for first in ([], method, weighting)
    for second in ([], seeds)
    if [*quick, *first, *second]
  ]


@functools.cache
def _flat(spec: str) -> dict[str, Any] | None:
  """The config of a file, flat; None where it cannot be had."""
  try:
    return config_lib.flatten(config_lib.to_json(config_file.load(spec)))
  except UserError:
    return None


def _text(value: Any) -> str:
  """A value as it is typed after `--config.KEY=`."""
  if isinstance(value, list):
    return ",".join(map(str, value)) or "()"
  return repr(value) if isinstance(value, float) else str(value)
