"""The runs of a sweep file: their names, folders, configs and commands."""

import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from metaaux.config import file as config_file
from metaaux.config import space
from metaaux.config.space import Point
from metaaux.errors import UserError

_PREFIX = "--config."
# A file name may have 255 bytes, and orbax makes longer ones of it.
_MAX_NAME = 120


class Run(NamedTuple):
  """One run of a sweep.

  Attributes:
    name: `GROUP/WHAT`, after its config file and what is set beside it; the
      folder below that of the sweep. It depends on nothing but the run's own
      point, so that runs can join and leave a sweep.
    workdir: its run directory, absolute.
    spec: FILE:ARGUMENTS, the value of --config.
    overrides: keys of the config and the texts of their values.
  """

  name: str
  workdir: str
  spec: str
  overrides: tuple[tuple[str, str], ...]


class Sweep(NamedTuple):
  """What a sweep file holds.

  Attributes:
    runs: in the order of the file.
    table: flags of `experiments.table` that suit them, by group.
  """

  runs: tuple[Run, ...]
  table: Mapping[str, Sequence[str]]


def pairs(items: Sequence[str]) -> list[tuple[str, str]]:
  """Key and text of each key of the config that a sweep's command line sets.

  Args:
    items: `--config.KEY=VALUE`, or the two as separate items.

  Raises:
    UserError: an item is something else.
  """
  found, rest = [], list(items)
  while rest:
    item = rest.pop(0)
    key, equals, text = item.removeprefix(_PREFIX).partition("=")
    if not item.startswith(_PREFIX):
      raise UserError(
        f"unexpected argument {item!r}; flags are written --name=value "
        "(--help lists them)"
      )
    if not equals:
      if not rest or rest[0].startswith("--"):
        raise UserError(f"{item} needs a value: {item}=...")
      text = rest.pop(0)
    found.append((key, text))
  return found


def load(
  spec: str, folder: str, overrides: Sequence[tuple[str, str]] = ()
) -> Sweep:
  """The runs of a sweep file.

  Args:
    spec: FILE, or FILE:ARGUMENT, whose second part `get_sweep` receives.
    folder: of the sweep, that gets a folder for each run.
    overrides: keys of the config, set in every run, and the texts of values.

  Raises:
    UserError: the file is missing or fails, or what it gives is no sweep.
  """
  path, *argument = config_file.split(spec, "--sweep")
  found = config_file.execute(path, "get_sweep", "--sweep")
  path = found["__file__"]
  try:
    given = config_file.call(path, found["get_sweep"], *argument)
    points = config_file.call(path, space.points_of, given)
    runs = [_run(point, folder, overrides) for point in points]
  except UserError as error:
    raise UserError(f"{path}: {error}") from None
  if not runs:
    raise UserError(f"{path}: get_sweep() gave no runs")
  _check_names(path, runs)
  return Sweep(tuple(runs), found.get("TABLE", {}))


def _check_names(path: str, runs: Iterable[Run]) -> None:
  seen: dict[str, Run] = {}
  for run in runs:
    other = seen.setdefault(run.name, run)
    if other is not run:
      same = (
        "is there twice"
        if other == run
        else (f"would hold two runs, of {other.spec} and {run.spec}")
      )
      raise UserError(f"{path}: the run {run.name} {same}; leave one")


def _run(
  point: Point, folder: str, overrides: Sequence[tuple[str, str]]
) -> Run:
  point = {**point, **dict(overrides)}
  path = point.pop("config", None)
  if not isinstance(path, str):
    raise UserError(
      f"{point!r} has no config file; give it the key 'config', such as "
      "'configs/maxl_digits.py'"
    )
  path, *argument = config_file.split(path, "--config")
  given = "".join(argument)
  stem = os.path.splitext(os.path.basename(path))[0]
  group = _file_name(str(point.pop("group", stem)))
  texts = {key: _text(key, point[key]) for key in sorted(point, key=_order)}
  arguments = [f"{k[1:]}={v}" for k, v in texts.items() if k.startswith(":")]
  joined = ",".join(filter(None, [given, *arguments]))
  spec = f"{path}:{joined}" if joined else path
  keys = {k: v for k, v in texts.items() if not k.startswith(":")}
  said = ",".join(
    filter(None, [joined, *(f"{k}={v}" for k, v in keys.items())])
  )
  name = f"{group}/{_file_name(said or 'default')}"
  return Run(
    name, os.path.abspath(os.path.join(folder, name)), spec, tuple(keys.items())
  )


def _order(key: str) -> tuple[bool, bool, str]:
  """Arguments of the file before keys, the method before all others."""
  return not key.startswith(":"), key not in (":method", "method"), key


def _text(key: str, value: Any) -> str:
  """A value as the command line takes it."""
  if isinstance(value, (tuple, list)):
    # An argument's items are joined by +, since a comma ends the argument.
    joint = "+" if key.startswith(":") else ","
    text = joint.join(str(item) for item in value)
  elif isinstance(value, (bool, int, float, str)):
    text = str(value)
  else:
    raise UserError(
      f"{key}={value!r} is of the wrong type; use a number, a text, True, "
      "False or a tuple of them"
    )
  if key.startswith(":") and "," in text:
    raise UserError(
      f"{key}={text!r} has a comma, which ends an argument of a config file; "
      "set the key of the config instead"
    )
  return text


def _file_name(text: str) -> str:
  """A file name; one that does not say everything ends in a digest."""
  plain = re.sub(r"[^\w.,=+-]", "_", text)
  if plain == text and len(plain.encode()) <= _MAX_NAME:
    return plain
  digest = hashlib.sha256(text.encode()).hexdigest()[:8]
  return f"{plain.encode()[: _MAX_NAME - 9].decode(errors='ignore')}-{digest}"


def config_of(run: Run) -> Any:
  """The run's validated config.

  Raises:
    UserError: it has none; the message begins with the run's name.
  """
  try:
    return config_file.load(run.spec, _overrides(run))
  except UserError as error:
    raise UserError(f"run {run.name}: {error}") from None


def flags(run: Run) -> list[str]:
  """Arguments of `python -m metaaux.main`."""
  return [f"--config={run.spec}", *_overrides(run), f"--workdir={run.workdir}"]


def _overrides(run: Run) -> list[str]:
  return [f"{_PREFIX}{key}={text}" for key, text in run.overrides]


def shown(run: Run) -> str:
  """The command, to be pasted into a shell."""
  relative = os.path.relpath(run.workdir)
  short = run.workdir if relative.startswith("..") else relative
  return shlex.join(
    ["python", "-m", "metaaux.main", *flags(run._replace(workdir=short))]
  )


def group_of(run: Run) -> str:
  """The table that the run belongs to."""
  return run.name.partition("/")[0]
