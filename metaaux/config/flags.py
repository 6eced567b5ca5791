"""The flags of one command line, --config and --config.KEY=VALUE among them.

`ml_collections.config_flags` reads them, with two things exchanged. Its parser
imports a config file as a module, whose cached bytecode can be older than the
file; here the caller says how a file is read. And its parsers of values know
neither `5+5` nor `rotation,exemplar`, and complain in words of Python; here
`metaaux.config.convert` reads them.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from metaaux import config as config_lib
from metaaux.config.keys import KEYS
from metaaux.errors import UserError, did_you_mean

# The name of the flag, and what its keys begin with.
CONFIG = "config"
_KEYS = f"{CONFIG}."

Read = Callable[[str], ml_collections.ConfigDict]


class Parser(flags.ArgumentParser):
  """The text of a flag -> its value; what is wrong with it is a UserError."""

  def __init__(self, *, flag: str, convert: Callable[[str], Any]) -> None:
    """Reads `--flag=TEXT` as `convert(TEXT)`."""
    # Keywords only: absl shares parsers whose positional arguments are equal.
    super().__init__()
    self._flag, self._convert = flag, convert

  def parse(self, argument: Any) -> Any:
    """The value; one that is no text is a default and is one already."""
    if not isinstance(argument, str):
      return argument
    if argument.startswith("--"):  # the next flag, which absl took for a value
      raise _no_value(f"--{self._flag}")
    try:
      return self._convert(argument)
    except argparse.ArgumentTypeError as error:
      raise UserError(f"--{self._flag}: {error}") from None

  def flag_type(self) -> str:
    """What absl calls the kind of value."""
    return "text"


class Values(flags.FlagValues):
  """The flags of one command line, apart from absl's own of the process.

  So that a command can run several times in a process, as in a notebook, and
  no flag of a program that imports us is in its way.
  """

  def __setitem__(self, name: str, flag: flags.Flag) -> None:
    """Registers a flag; one of a key of the config gets our parser."""
    if name.startswith(_KEYS):
      key, config = name.removeprefix(_KEYS), self[CONFIG].parser.config
      default = _default_of(config, key)
      item = (KEYS[key].item if key in KEYS else None) or int
      flag.parser = Parser(
        flag=name,
        convert=lambda text: config_lib.convert(key, text, default, item),
      )
    super().__setitem__(name, flag)


class _ConfigParser(flags.ArgumentParser):
  """FILE or FILE:ARGUMENT -> a config whose keys can be set."""

  def __init__(
    self, *, values: Values, argv: Sequence[str], read: Read
  ) -> None:
    super().__init__()
    self._values, self._argv, self._read = values, argv, read
    self.config = ml_collections.ConfigDict()

  def parse(self, path: str) -> ml_collections.ConfigDict:
    """The config of the file; the keys that the command line sets are there."""
    if path.startswith("--"):
      raise _no_value(f"--{CONFIG}")
    for name in [name for name in self._values if name.startswith(_KEYS)]:
      delattr(self._values, name)  # of an earlier --config
    self.config = self._read(path)
    for item in self._argv:
      key = re.match(rf"--?(?:no)?{re.escape(_KEYS)}([^=]*)", item)
      if key:
        _default_of(self.config, key[1])
    return self.config.lock()


def _default_of(config: ml_collections.ConfigDict, key: str) -> Any:
  """What a key's value replaces.

  Raises:
    UserError: the config has no such key.
  """
  found = config_lib.flatten(config)
  own = {k: v for k, v in found.items() if k.startswith(config_lib.OWN)}
  known = {**config_lib.flatten(config_lib.base()), **own}
  inside = [name for name in known if name.startswith(f"{key}.")]
  if inside:
    raise UserError(
      f"config key {key!r} is a group; set one of {', '.join(inside)}"
    )
  if key not in known or key not in found:
    raise UserError(
      f"config key {key!r} is unknown{did_you_mean(key, known)}; --helpfull "
      "lists all keys"
    )
  return known[key]


def open_values(argv: Sequence[str], read: Read) -> tuple[Values, list[str]]:
  """Values with the flag --config, and the command line that they will parse.

  Args:
    argv: without the name of the program.
    read: FILE or FILE:ARGUMENT -> its config, not yet validated.

  Raises:
    UserError: a --flagfile cannot be read.
  """
  values = Values()
  try:
    # Also behind the value of `--config.KEY VALUE`, a flag not known before the
    # file is read: absl would take the value for an argument, and stop there.
    expanded = values.read_flags_from_files(list(argv), force_gnu=True)
  except flags.Error as error:
    raise UserError(f"--flagfile: {error}") from None
  expanded = _file_first(expanded)
  config_flags.DEFINE_config_file(
    CONFIG,
    None,
    "configuration file, a Python file that defines get_config(), or the name "
    "of one that comes with the package; what follows a colon are its "
    f"arguments, and --{_KEYS}KEY=VALUE overrides a key",
    flag_values=values,
    sys_argv=expanded,
  )
  values[CONFIG].default_as_str = None  # for --help, which would say 'None'
  values[CONFIG].parser = _ConfigParser(values=values, argv=expanded, read=read)
  return values, expanded


def _file_first(argv: Sequence[str]) -> list[str]:
  """The same command line with --config before its keys.

  `config_flags` knows the keys of a file once it has read that; users may give
  them in any order.
  """
  first, rest, items = [], [], list(argv)
  while items and items[0] != "--":
    item = items.pop(0)
    if re.match(rf"--?{CONFIG}=", item):
      first.append(item)
    elif re.fullmatch(rf"--?{CONFIG}", item):
      first += [item, *items[:1]]
      del items[:1]
    else:
      rest.append(item)
  return [*first, *rest, *items]


def parse(values: Values, argv: Sequence[str]) -> None:
  """Sets the flags as a command line says, the config among them.

  Args:
    values: of `open_values`; other flags may have been defined since.
    argv: that `open_values` returned.

  Raises:
    UserError: it is wrong, or makes a config that is not valid.
  """
  try:
    rest = values(["", *argv])[1:]
  except flags.UnrecognizedFlagError as error:
    raise _unknown(values, error) from None
  except (flags.Error, ValueError) as error:
    raise _readable(error) from None
  if rest:
    raise _unexpected(rest[0])
  if values[CONFIG].value is not None:
    config_lib.validate(values[CONFIG].value)


def _unknown(values: Values, error: flags.UnrecognizedFlagError) -> UserError:
  name = error.flagname
  if name.startswith(_KEYS):  # where there is a config, its keys are known
    return UserError(
      f"--{name} needs a config whose key it sets; give --{CONFIG}=FILE first"
    )
  return _unexpected(
    str(error.flagvalue), did_you_mean(f"--{name}", [f"--{n}" for n in values])
  )


def _unexpected(item: str, hint: str = "") -> UserError:
  return UserError(
    f"unexpected argument {item!r}{hint}; flags are written --name=value "
    "(--help lists them)"
  )


def _no_value(flag: str) -> UserError:
  return UserError(f"{flag} needs a value: {flag}=...")


def _readable(error: Exception) -> UserError:
  """What absl complains of; our own words where it has put its around them."""
  cause = error.__context__
  if isinstance(cause, UserError):
    return cause
  if isinstance(error, UserError):
    return error
  missing = re.fullmatch(r"Missing value for flag (\S+)", str(error))
  if missing:
    return _no_value(missing[1])
  return UserError(f"{error}; --help lists the flags")
