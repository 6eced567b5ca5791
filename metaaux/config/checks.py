"""Whether the values of a config are what its keys may have."""

import math
from typing import Any

from metaaux.config import user_code
from metaaux.config.keys import KEYS, WEIGHTING_OPTIONS
from metaaux.config.keys.key import Key
from metaaux.errors import UserError, did_you_mean

# Whole numbers are counted with 32 bits where they are computed with.
_LARGEST = 2**31 - 1


def check_type(key: str, value: Any, default: Any) -> None:
  """Raises UserError unless `value` is of the type of the key's default."""
  ok, wanted = type(value) is type(default), type(default).__name__
  item_type = KEYS[key].item
  if item_type is not None:
    ok = ok and all(type(item) is item_type for item in value)
    wanted = f"tuple of {item_type.__name__}"
  if not ok:
    raise UserError(
      f"{key}={value!r} is of the wrong type ({type(value).__name__}); it must "
      f"be {wanted}"
    )


def check_value(key: str, value: Any) -> None:
  """Raises UserError unless `value` is a known word or inside its range."""
  for text in value if isinstance(value, tuple) else (value,):
    if isinstance(text, str) and "\0" in text:
      raise UserError(f"{key}={value!r} has a zero byte in it; leave it out")
  known = KEYS[key]
  for word in _words(known, value):
    if known.own_code and user_code.is_path(word):
      continue  # found, or not, when it is made
    if word not in known.choices:
      raise UserError(
        f"{key}={word!r} is unknown{did_you_mean(word, known.choices)}; "
        f"use one of {', '.join(known.choices)}"
      )
  low, high = known.low, known.high
  if low is None:
    return
  for number in value if isinstance(value, tuple) else (value,):
    if high is None and isinstance(number, int) and number > _LARGEST:
      high = _LARGEST
    # Written so that NaN fails.
    inside = low <= number < math.inf and (high is None or number <= high)
    if not inside:
      upper = "" if high is None else f" and at most {_shown(high)}"
      raise UserError(
        f"{key}={value!r} is out of range; it must be at least {low:g}{upper}"
      )


def check_weighting_option(
  name: str, value: Any, default: Any, rule: str
) -> None:
  """Raises UserError if a key of `weighting.options` is set in vain."""
  if value == default or rule in WEIGHTING_OPTIONS[name]:
    return
  taken = [key for key, rules in WEIGHTING_OPTIONS.items() if rule in rules]
  raise UserError(
    f"weighting.options.{name}={value!r} is of "
    f"{', '.join(WEIGHTING_OPTIONS[name])}, and weighting.name={rule!r} takes "
    f"{', '.join(taken) or 'no options'}; leave it at {default!r}"
  )


def _shown(limit: float) -> str:
  return str(limit) if isinstance(limit, int) else f"{limit:g}"


def _words(key: Key, value: Any) -> tuple[Any, ...]:
  """What has to be among the choices of a key."""
  if not key.choices:
    return ()
  return value if isinstance(value, tuple) else (value,)
