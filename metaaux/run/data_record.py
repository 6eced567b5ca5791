"""data.json of a run directory: a record of the data that the run learns from.

The config names the data; the record tells whether it is still the same. It
holds an identity of each source (`data.identity`), the class names by number,
the shape of an image and how pixels are normalised, so that a figure of other
data is never taken for one of this data. Directories of older versions have no
such file and go on as before.
"""

import os
from collections.abc import Mapping
from typing import Any

from metaaux import messages
from metaaux.errors import UserError
from metaaux.run import directory as run_directory

Record = dict[str, Any]

# What has to be the same; the sources are looked at first.
_COMPARED = ("level", "class_names", "image_shape", "normalisation")


def read(workdir: str) -> Record | None:
  """The record of a run; None if there is none, or only a damaged one."""
  path = os.path.join(workdir, run_directory.DATA)
  if not os.path.exists(path):
    return None
  try:
    found = run_directory.read_object(
      path, "nothing else of the run depends on it"
    )
    if _is_sound(found):
      return found
    messages.warn(f"{path} is not of a run; it is passed over")
  except UserError as error:
    messages.warn(str(error))
  return None


def _is_sound(found: Record) -> bool:
  sources = found.get("sources")
  return (
    isinstance(sources, dict)
    and isinstance(found.get("class_names"), list)
    and all(
      isinstance(each, dict) and {"content", "count"} <= each.keys()
      for each in sources.values()
    )
  )


def describe(config: Any, problem: Any, known: Record | None) -> Record:
  """The record of data as it is now.

  Args:
    config: of the run.
    problem: what `data.build` made of the config.
    known: an earlier record; files that look as they did then are not read.

  Raises:
    UserError: the data is not at hand.
  """
  from metaaux.data import identity

  spec = problem.spec
  before = (known or {}).get("sources", {})
  return {
    "sources": identity.of(config, before, lambda: problem),
    "level": problem.levels[0],
    "class_names": list(problem.primary_names),
    "image_shape": list(spec.input_shape),
    "normalisation": {
      "mean": _one_or_list(spec.pixel_mean),
      "std": _one_or_list(spec.pixel_std),
    },
    "training_images": len(problem.pool["primary"]),
    "test_images": int(problem.tested().shape[1]),
  }


def _one_or_list(values: tuple[float, ...]) -> float | list[float]:
  return values[0] if len(values) == 1 else list(values)


def finished(
  workdir: str, config: Any, *, own_code: bool = True
) -> dict[str, Any] | None:
  """The result of a finished run; None if work is left.

  As `directory.finished`, but refuses a result of other data. JAX stays
  unimported where there is no result, or where the data is not made of files.

  Args:
    workdir: may be missing.
    config: of the run.
    own_code: whether to load data that the user's own code makes, and compare
      it, too.

  Raises:
    UserError: as `directory.finished`; or the data has changed.
  """
  result = run_directory.finished(workdir, config)
  stored = None if result is None else read(workdir)
  sources = (stored or {}).get("sources", {})
  if not (sources and (own_code or not config.dataset.startswith("python:"))):
    return result
  from metaaux import data
  from metaaux.data import identity

  try:
    now = identity.of(config, sources, lambda: data.build(config))
  except Exception as error:  # A source of one's own may raise anything.
    messages.warn(f"whether the data is still the same is not known: {error}")
    return result
  changed = _changes(sources, now)
  if changed:
    raise UserError(
      f"the result in {workdir!r} is not of this data: {changed} since the run "
      f"began; {run_directory.ANEW}"
    )
  return result


def check(workdir: str, stored: Record | None, now: Record) -> None:
  """Raises UserError if the run began with other data than there is now."""
  changed = stored and differences(stored, now)
  if changed:
    raise UserError(
      f"workdir {workdir!r} holds a run on other data: {changed} since it "
      f"began; restore the data, {run_directory.ANEW}"
    )


def differences(stored: Record, now: Record) -> str:
  """The changes between two records, in a few words; "": there are none."""
  found = _changes(stored.get("sources", {}), now["sources"])
  if found:
    return found
  return ", ".join(
    f"{key} changed from {_short(stored[key])} to {_short(now[key])}"
    for key in _COMPARED
    if key in stored and stored[key] != now[key]
  )


def _changes(
  stored: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> str:
  found = []
  for name in sorted(stored.keys() & now.keys()):
    before, after = stored[name], now[name]
    if before["content"] == after["content"]:
      continue
    counts = before["count"], after["count"]
    how = "{} files then, {} now" if counts[0] != counts[1] else "other content"
    found.append(f"{name} has changed ({how.format(*counts)})")
  return ", ".join(found)


def _short(value: Any) -> str:
  return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
