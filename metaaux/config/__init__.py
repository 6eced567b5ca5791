"""Configs: the defaults that every experiment starts from, and validation.

A config file defines `get_config(arg)`, which takes `base()`, sets the keys of
its experiment and returns the config. Importing this module does not import
JAX, so that `--help` and a mistake in a flag answer at once.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import ml_collections

from metaaux.config import keys as keys_lib
from metaaux.config.checks import (
  check_type,
  check_value,
  check_weighting_option,
)
from metaaux.errors import UserError, did_you_mean

# Prefix of the keys that are not ours, see `base`.
OWN = "own."
# A run goes on with another value of these, and one that is older than the key
# goes on, too.
_NOT_IN_DIGEST = {
  name for name, key in keys_lib.KEYS.items() if not key.in_digest
}


def base() -> ml_collections.ConfigDict:
  """Every key that a run reads, with its default; see `config.keys`.

  A config file may add a group `own` with keys for the user's own code, whose
  values are numbers, texts, bools or tuples of these.
  """
  return ml_collections.ConfigDict(keys_lib.defaults())


def parse_argument(
  arg: str | None, **defaults: Any
) -> ml_collections.ConfigDict:
  """Reads what follows the colon of `--config=FILE:argument`.

  `"runlocal,method=uniform,psi=5+5"`: a bare word sets a flag, `key=value` is
  converted to the type of the default, a tuple is written with `+`.

  Raises:
    UserError: an unknown name (the known ones are listed) or a value that does
      not convert.
  """
  values = dict(defaults)
  for item in filter(None, (arg or "").split(",")):
    name, equals, text = item.partition("=")
    if name not in defaults:
      raise UserError(
        f"config argument {name!r} is unknown{did_you_mean(name, defaults)}; "
        f"known: {', '.join(defaults)}"
      )
    values[name] = convert(name, text, defaults[name]) if equals else True
    if not equals and not isinstance(defaults[name], bool):
      raise UserError(f"config argument {name!r} needs a value: {name}=...")
  return ml_collections.ConfigDict(values)


def convert(name: str, text: str, default: Any, item: type = int) -> Any:
  """The value of a text from the command line.

  Args:
    name: name of the key in messages.
    text: as typed; a tuple is `5+5`, `5,5` or `(5, 5)`.
    default: the value to replace, whose type the result has.
    item: int or str, the type of a tuple's items; texts are joined by commas.

  Raises:
    UserError: the text does not convert.
  """
  try:
    if isinstance(default, bool):
      return {"true": True, "false": False}[text.lower()]
    if isinstance(default, tuple):
      separator = "[,+]" if item is int else ","
      parts = re.split(separator, text.strip().strip("()[]"))
      return tuple(item(p.strip(" '\"")) for p in parts if p.strip())
    return type(default)(text)
  except (KeyError, ValueError):
    kinds = {bool: "True or False", int: "a whole number", float: "a number"}
    wanted = kinds.get(type(default), "whole numbers joined by +")
    raise UserError(
      f"{name}={text!r} is of the wrong type; it must be {wanted}"
    ) from None


def set_variant(
  config: ml_collections.ConfigDict,
  variant: str,
  steps_per_epoch: int,
) -> None:
  """Sets the keys in which the MAXL paper and its official code differ.

  Args:
    config: changed in place; every key can be overridden alone afterwards.
    variant: "paper" or "code".
    steps_per_epoch: number of updates in one pass over the training split.

  Raises:
    UserError: the variant is unknown.
  """
  if variant == "paper":
    config.meta_fraction = 0.1
    config.generator.optimizer.learning_rate = 1e-5
    config.generator.optimizer.l1 = 5e-4
  elif variant == "code":
    config.meta_fraction = 0.0
    config.generator.optimizer.learning_rate = 1e-3
    config.generator.optimizer.weight_decay = 5e-4
    config.maxl.alternate_every = steps_per_epoch
    config.maxl.meta_updates_statistics = True
    config.augment.pad = 4
    config.augment.flip = True
  else:
    raise UserError(f"variant={variant!r} is unknown; use paper or code")


def label(config: Mapping[str, Any]) -> str:
  """The name of a config's method in results and tables.

  It is the method's name, or that of the rule where another rule than the
  method's own sets the weights of the tasks, such as `weights:gradnorm` or
  `fada:arml`. A "baseline" trains on the auxiliary tasks alone.
  """
  method, rule = config["method"], config["weighting"]["name"]
  if method == "fada":
    return method if rule == "uniform" else f"{method}:{rule}"
  if method != "arml":
    return method
  if config["primary_weight"] == 0:
    return "baseline" if rule == "uniform" else f"baseline:{rule}"
  return method if rule == "arml" else f"weights:{rule}"


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """Dotted key -> value of a nested config."""
  flat = {}
  for key, value in config.items():
    if isinstance(value, (Mapping, ml_collections.ConfigDict)):
      flat.update(flatten(value, f"{prefix}{key}."))
    else:
      flat[prefix + key] = value
  return flat


def validate(config: ml_collections.ConfigDict) -> None:
  """Checks names, types and ranges.

  Raises:
    UserError: names the first key that is wrong, its value and what is allowed.
  """
  known, given = flatten(base()), flatten(config)
  for key in given:
    if key.startswith(OWN):
      _check_own(key, given[key])
    elif key not in known:
      raise UserError(
        f"config key {key!r} is unknown{did_you_mean(key, known)}"
      )
  for key, default in known.items():
    if key not in given:
      raise UserError(
        f"config key {key!r} is missing; start from config.base()"
      )
    check_type(key, given[key], default)
    check_value(key, given[key])
  for name, value in config.weighting.options.items():
    default = known[f"weighting.options.{name}"]
    check_weighting_option(name, value, default, config.weighting.name)
  if config.seed + config.num_seeds > 2**31:
    raise UserError(
      f"seed={config.seed} and num_seeds={config.num_seeds} go beyond the "
      f"largest seed, {2**31 - 1}; lower one"
    )
  mean, std = config.pixels.mean, config.pixels.std
  if 0 in std or bool(mean) != bool(std):
    raise UserError(
      f"pixels.mean={mean} and pixels.std={std} do not normalise; give both, "
      "with deviations other than 0, or () for both to measure them"
    )
  if config.augment.shift and config.augment.pad:
    raise UserError(
      f"augment.shift={config.augment.shift} and augment.pad="
      f"{config.augment.pad} are two ways to say how far images are moved; set "
      "one to 0"
    )
  if config.keep_best and not (config.meta_fraction or config.meta_per_class):
    raise UserError(
      f"keep_best={config.keep_best!r} chooses on held-out training images, "
      "and meta_fraction=0.0 and meta_per_class=0 hold none out; set one, e.g. "
      "meta_fraction to 0.1"
    )


def _check_own(key: str, value: Any) -> None:
  """Raises UserError unless `value` can be written to config.json."""
  items = value if isinstance(value, tuple) else (value,)
  if not all(isinstance(item, bool | int | float | str) for item in items):
    raise UserError(
      f"{key}={value!r} is of type {type(value).__name__}; keys of your own "
      "are numbers, texts, bools or tuples of these"
    )


def to_json(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The config as it is stored in a run directory (tuples become lists)."""
  return json.loads(json.dumps(config.to_dict()))


def from_json(stored: Mapping[str, Any]) -> ml_collections.ConfigDict:
  """The inverse of `to_json`; keys that are unknown fail in `validate`."""
  config = ml_collections.ConfigDict()
  for name, value in stored.items():
    # A field keeps the type that it is first given: no list may get in.
    config[name] = (
      from_json(value)
      if isinstance(value, Mapping)
      else tuple(value)
      if isinstance(value, list)
      else value
    )
  return config


def digest(config: ml_collections.ConfigDict) -> str:
  """SHA-256 of the values that make a run, whatever the order of the keys."""
  made_of = {
    k: v for k, v in to_json(config).items() if k not in _NOT_IN_DIGEST
  }
  text = json.dumps(made_of, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def differences(
  config: ml_collections.ConfigDict, stored: Mapping[str, Any]
) -> list[str]:
  """`key (stored -> now)` for every key in which two configs' runs differ."""
  now, before = flatten(to_json(config)), flatten(stored)
  absent = "absent"
  return [
    f"{key} ({before.get(key, absent)!r} -> {now.get(key, absent)!r})"
    for key in sorted((now.keys() | before.keys()) - _NOT_IN_DIGEST)
    if now.get(key, absent) != before.get(key, absent)
  ]
