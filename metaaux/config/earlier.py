"""Stored configs of earlier versions, completed by keys that came later.

A key that is younger than a run has its default, which is what runs did before
there was the key; but for the normalisation of pixels, which hung on the name
of the data set.
"""

from collections.abc import Mapping
from typing import Any

from metaaux import config as config_lib

# Mean and standard deviation; of all other data those of `config.base()`.
_BY_NAME: Mapping[str, tuple[float, float]] = {
  "cifar10": (0.5, 0.2),
  "cifar100": (0.5, 0.2),
  "svhn_cropped": (0.5, 0.5),
  "mnist": (0.0, 1.0),
  "omniglot": (1.0, -1.0),
}


def completed(stored: Mapping[str, Any]) -> dict[str, Any]:
  """A config as config.json has it, with every key that it lacks.

  Args:
    stored: of any version; keys that are unknown today stay.
  """
  defaults = config_lib.to_json(config_lib.base())
  return _with_defaults(with_pixels(stored), defaults)


def with_pixels(stored: Mapping[str, Any]) -> dict[str, Any]:
  """A stored config that says how pixels are normalised, if not by default."""
  source = str(stored.get("dataset")).removeprefix("tfds:")
  name = source.partition(":")[0].partition("/")[0]
  if "pixels" in stored or name not in _BY_NAME:
    return dict(stored)
  mean, std = _BY_NAME[name]
  return {**stored, "pixels": {"mean": [mean], "std": [std]}}


def _with_defaults(
  stored: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
  found = {**defaults, **stored}
  for name, value in defaults.items():
    if isinstance(value, Mapping) and isinstance(found[name], Mapping):
      found[name] = _with_defaults(found[name], value)
  return found
