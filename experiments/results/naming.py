"""What runs are called: as short as tells them apart, and what is left out.

Runs of one config file differ in a key or two, which their names have. Those of
different files differ in dozens: names then have what tells runs apart, and a
line says what they leave out.
"""

from collections.abc import Callable, Sequence
from typing import Any

from metaaux import config as config_lib

from .files import Result

# Longer names, or those with more keys, are shortened: a table of them breaks,
# a headline grows.
LONGEST, _MOST_KEYS = 60, 2
# Of a value, such as a path.
_LONGEST_VALUE = 24
# Names of keys in a line.
_NAMED = 3

# A run and one of its keys -> its value as names have it.
Values = Callable[[Result, str], str]


def shown(value: Any) -> str:
  """A value of a config as a label has it."""
  if isinstance(value, (list, tuple)):
    return "+".join(map(shown, value)) or "()"
  return str(value) if value != "" else "''"


def brief(results: Sequence[Result]) -> Values:
  """Values that are short, unless runs could then not be told apart."""
  known: dict[str, dict[str, str]] = {}

  def value(result: Result, key: str) -> str:
    if key not in result["config"]:
      return "-"
    if key not in known:
      values = {shown(r["config"][key]) for r in results if key in r["config"]}
      known[key] = _shortened(sorted(values))
    return known[key][shown(result["config"][key])]

  return value


def _shortened(values: Sequence[str]) -> dict[str, str]:
  short = {text: _short(text) for text in values}
  return (
    short if len(set(short.values())) == len(short) else {v: v for v in values}
  )


def _short(text: str) -> str:
  """`folder:…/photos` of a path, `1+1+1…1+1` of a list."""
  if len(text) <= _LONGEST_VALUE:
    return text
  if "/" in text:
    kind, colon, path = text.rpartition(":")
    return f"{kind}{colon}…/{path.rstrip('/').rpartition('/')[2]}"
  return f"{text[:12]}…{text[-8:]}"


def telling(
  results: Sequence[Result],
  keys: Sequence[str],
  kept: Sequence[str] = (),
  apart: Callable[[Result], Any] = lambda result: None,
) -> list[str]:
  """Few of the keys, whose values tell apart what all keys tell apart.

  Args:
    results: runs.
    keys: of their configs, the more telling first.
    kept: of the keys, that stay.
    apart: run -> what tells it apart already.
  """

  def number(chosen: Sequence[str]) -> int:
    return len(
      {
        (apart(r), *(shown(r["config"].get(key, "-")) for key in chosen))
        for r in results
      }
    )

  chosen, wanted = list(kept), number([*kept, *keys])
  rest = [key for key in keys if key not in chosen]
  while number(chosen) < wanted:
    best = max(rest, key=lambda key: number([*chosen, key]))
    if number([*chosen, best]) == number(chosen):
      best = rest[0]  # only two together tell something
    chosen.append(best)
    rest.remove(best)
  return [key for key in keys if key in chosen]


def settings(
  results: Sequence[Result], keys: Sequence[str], kept: Sequence[str] = ()
) -> list[str]:
  """`key=value key=value` of each run; "" without keys.

  Args:
    results: of `results.load`.
    keys: that make the settings.
    kept: of these, that are named however long that gets.
  """
  value = brief(results)

  def text(result: Result, named: Sequence[str]) -> str:
    return " ".join(f"{key}={value(result, key)}" for key in named)

  texts = [text(result, keys) for result in results]
  if max(map(len, texts), default=0) > LONGEST:
    named = telling(results, keys, kept)
    texts = [text(result, named) for result in results]
  return texts


def labels(
  results: Sequence[Result],
  told: Sequence[Sequence[str]],
  where: Sequence[str],
) -> list[str]:
  """The method of each run, and what sets it apart.

  Args:
    results: of `results.load`.
    told: of each run the keys that are worth a word.
    where: settings of the runs.
  """
  value = brief(results)
  place = dict(zip(map(id, results), where, strict=True))

  def text(result: Result, keys: Sequence[str]) -> str:
    own = result["method"] + "."
    pairs = [f"{k.removeprefix(own)}={value(result, k)}" for k in keys]
    return " ".join([result["method"], *pairs])

  names = [text(*pair) for pair in zip(results, told, strict=True)]
  for method in {result["method"] for result in results}:
    of = [i for i, result in enumerate(results) if result["method"] == method]
    longest = max(len(names[i]) for i in of)
    if longest <= LONGEST and max(len(told[i]) for i in of) <= _MOST_KEYS:
      continue
    alike = [results[i] for i in of]
    every = dict.fromkeys(key for i in of for key in told[i])
    # Runs of other settings are told apart by these.
    keys = telling(alike, list(every), apart=lambda r: place[id(r)])
    for i in of:
      names[i] = text(results[i], [k for k in keys if k in told[i]])
  return names


def left_out(
  results: Sequence[Result], differing: Sequence[str], names: Sequence[str]
) -> str:
  """What no name says, in a few words; "" if the names say all.

  Args:
    results: that are named.
    differing: keys that are worth a word.
    names: of the runs, with their settings.
  """
  methods = {f"{result['method']}." for result in results}
  words = {word.partition("=")[0] for name in names for word in name.split()}

  def is_said(key: str) -> bool:
    own = next((m for m in methods if key.startswith(m)), "")
    return key in words or key.removeprefix(own) in words

  unsaid = [key for key in differing if not is_said(key)]
  # The most telling ones are those of whole groups: the network, the rate.
  first = sorted(unsaid, key=lambda key: (_rank(key), key))
  named = ", ".join(first[:_NAMED])
  more = len(unsaid) - _NAMED
  return f"{named} and {more} more" if more > 0 else named


_FIRST = (
  *("model.name", "optimizer.name", "optimizer.learning_rate", "num_steps"),
  *("batch_size", "model.widths", "meta_fraction", "psi"),
)


def _rank(key: str) -> int:
  return _FIRST.index(key) if key in _FIRST else len(_FIRST)


def defaults() -> dict[str, Any]:
  """Dotted key -> default, as config.json has it."""
  return config_lib.flatten(config_lib.to_json(config_lib.base()))
