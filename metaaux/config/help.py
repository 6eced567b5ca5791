"""What --help and docs/keys.md say of the keys of a config.

`python -m metaaux.config.help` prints the page, for docs/keys.md.
"""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import ml_collections

from metaaux import config as config_lib
from metaaux.config import keys as keys_lib
from metaaux.config.keys import KEYS
from metaaux.config.keys.key import SET, Key

_WIDTH = 80
# Where sentences begin, if the key before them leaves room.
_COLUMN = 34
# Limits from here on only keep numbers in their type.
_UNLIMITED = 2**31 - 1


def text(
  config: ml_collections.ConfigDict | None, *, full: bool = False
) -> str:
  """The keys of a config, under headings, each with its value and a sentence.

  Args:
    config: whose values are shown, and of which only the keys are shown that
      its method reads beside its other values; None: all keys and defaults.
    full: shows all keys and their defaults in either case.
  """
  if config is None or full:
    return "\n".join(_sections(keys_lib.flat_defaults()))
  values = {**keys_lib.flat_defaults(), **config_lib.flatten(config)}
  read = {name: v for name, v in values.items() if _is_shown(name, values)}
  lines = _sections(read)
  own = {k: v for k, v in values.items() if k.startswith(config_lib.OWN)}
  if own:
    lines += ["keys of your own:", *map(_flag, own, own.values()), ""]
  hidden = len(values) - len(read) - len(own)
  return "\n".join(
    [*lines, f"--helpfull shows all keys; this config does not read {hidden}."]
  )


def _is_shown(name: str, values: Mapping[str, Any]) -> bool:
  return name in KEYS and keys_lib.is_read(name, values)


def _sections(values: Mapping[str, Any]) -> list[str]:
  lines = []
  for heading, names in keys_lib.headings().items():
    found = [name for name in names if name in values]
    if found:
      lines.append(f"{heading}:")
      lines += [line for n in found for line in _entry(n, values[n])]
      lines.append("")
  return lines


def _flag(name: str, value: Any) -> str:
  return f"  --config.{name}={written(value)}"


def _entry(name: str, value: Any) -> list[str]:
  """Lines of one key: its flag, and its sentence to the right or below."""
  flag, allowed = _flag(name, value), _allowed(KEYS[name])
  sentence = KEYS[name].help + (f" ({allowed})" if allowed else "")
  lines = textwrap.wrap(
    sentence,
    _WIDTH,
    initial_indent=" " * _COLUMN,
    subsequent_indent=" " * _COLUMN,
    break_long_words=False,
    break_on_hyphens=False,
  )
  if len(flag) > _COLUMN - 2:
    return [flag, *lines]
  return [flag + lines[0][len(flag) :], *lines[1:]]


def written(value: Any) -> str:
  """A value as a command line takes it."""
  if isinstance(value, tuple):
    return ",".join(map(str, value)) or "()"
  return str(value) if value != "" else '""'


def _allowed(key: Key, mark: str = "") -> str:
  """Choices or range of a key, "" where anything of its type goes.

  Args:
    key: of the table.
    mark: around each word, for documents.
  """
  if key.choices:
    words = [f"{mark}{written(word)}{mark}" for word in key.choices]
    return ", ".join(words + [f"{mark}MODULE:FUNCTION{mark}"] * key.own_code)
  if key.low is None or key.low <= -_UNLIMITED:
    return ""
  if key.high is None or key.high >= _UNLIMITED:
    return f"at least {key.low:g}"
  return f"{key.low:g} to {key.high:g}"


def page() -> str:
  """docs/keys.md: all keys by group, with defaults, values and readers."""
  lines = [
    "# Keys of a config",
    "",
    "Every key, its default, what it may be and what it says; the key is the "
    "subject of each sentence. A config file sets keys by `config.KEY = "
    "VALUE`, a command line by `--config.KEY=VALUE`, where a tuple is written "
    "`5,5`. `--help` beside `--config` shows the keys that a config reads, "
    "with its values. This page is printed by `python -m "
    "metaaux.config.help`.",
    "",
    "A key reaches the methods that its row names, or all. † marks keys on "
    "which no result depends, beyond rounding.",
  ]
  for heading, names in keys_lib.headings().items():
    lines += [
      "",
      f"## {heading}",
      "",
      "| key | default | values | meaning | read by |",
      "|---|---|---|---|---|",
      *map(_row, names),
    ]
  return "\n".join([*lines, ""])


def _row(name: str) -> str:
  key = KEYS[name]
  mark = "" if key.affects_result else " †"
  # An asterisk would begin an emphasis.
  meaning = key.help.replace("*", r"\*")
  cells = (
    f"`{name}`{mark}",
    f"`{written(key.default)}`",
    _allowed(key, "`"),
    meaning,
    _readers(key),
  )
  return f"| {' | '.join(cells)} |"


def _readers(key: Key) -> str:
  """Methods and conditions of a key, in a few words."""
  others = [name for name in keys_lib.METHODS if name not in key.methods]
  if not key.methods:
    who = "all"
  elif len(others) < len(key.methods):
    who = f"all but {_names(others)}"
  else:
    who = _names(key.methods)
  conditions = [_condition(*pair) for pair in key.when.items()]
  return f"{who} if {' and '.join(conditions)}" if conditions else who


def _condition(name: str, wanted: tuple[Any, ...]) -> str:
  if wanted is SET:
    return f"`{name}` is set"
  if wanted == ("",):
    return f"`{name}` is empty"
  return f"`{name}` is {' or '.join(f'`{value}`' for value in wanted)}"


def _names(names: Iterable[str]) -> str:
  return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
  print(page(), end="")
