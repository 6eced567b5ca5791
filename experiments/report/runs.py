"""The runs of a report: what their folders say without opening the data."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metaaux import config as config_lib
from metaaux import files
from metaaux.errors import UserError
from metaaux.run import directory as run_directory
from metaaux.run.logs import rows as rows_lib

from .. import curves
from .. import output as output_lib
from .. import results as results_lib
from ..results import Result
from . import repeat as report_repeat
from .parts import (
  WIDTH,
  Figure,
  Section,
  Table,
  count,
  legend,
  svg,
)

_SHOWN_SHA = 12


class Entry(NamedTuple):
  """A run of a report.

  Attributes:
    result: of `results.load`, or of `results.unfinished`.
    label: method and what sets the run apart.
    setting: of the data, where that differs between runs; else "".
    finished: whether there is a result.
    rows: of metrics.jsonl.
    stored: what config.json holds.
  """

  result: Result
  label: str
  setting: str
  finished: bool
  rows: Sequence[dict[str, Any]]
  stored: Mapping[str, Any]

  @property
  def name(self) -> str:
    """Label and setting, and whether the run is at its end."""
    name = " ".join(filter(None, (self.label, self.setting)))
    return name if self.finished else f"{name} (unfinished)"

  @property
  def workdir(self) -> str:
    """The run directory."""
    return self.result["workdir"]


def find(folder: str, baseline: str = "") -> list[Entry]:
  """All runs of a folder, or the one that it is itself.

  Args:
    folder: a run directory, or a folder of them.
    baseline: as of `report.render`.

  Raises:
    UserError: it holds none, or a file of one cannot be read.
  """
  begun = results_lib.unfinished(folder) if os.path.isdir(folder) else []
  try:
    finished = results_lib.load(folder)
  except UserError:
    if not begun:
      raise
    finished = []
  found = results_lib.in_order([*finished, *begun])
  # As the table calls them; what is left over makes no name longer.
  named = _names(found, baseline) | _names(finished, baseline)
  return [
    Entry(
      result,
      *named[result["workdir"]],
      finished="mean" in result,
      rows=rows_lib.read_rows(
        os.path.join(result["workdir"], run_directory.METRICS)
      ),
      stored=_stored(result["workdir"]),
    )
    for result in found
  ]


def _names(
  found: Sequence[Result], baseline: str
) -> dict[str, tuple[str, str]]:
  """Workdir -> label and setting, as far as they differ among these runs."""
  chosen = baseline or results_lib.default_baseline(found)
  keys = results_lib.setting_keys(found)
  keys += results_lib.baseline_keys(found, chosen, keys)
  labels = results_lib.labels(found, keys)
  return {
    result["workdir"]: pair
    for result, *pair in zip(
      found, labels, results_lib.settings(found, keys), strict=True
    )
  }


def _stored(workdir: str) -> Mapping[str, Any]:
  path = os.path.join(workdir, run_directory.CONFIG)
  if not os.path.exists(path):
    return {}
  return files.read_json(path)


def progress(entry: Entry) -> str:
  """`finished`, or how far the run has got."""
  if entry.finished:
    return "finished"
  if not entry.rows:
    return "unfinished, nothing logged yet"
  last = entry.rows[-1]
  return f"unfinished, at step {last['step']} of stage {last['stage']}"


def overview(entries: Sequence[Entry]) -> Table:
  """A row a run: how far, how long, on what."""
  rows = []
  for entry in entries:
    result = entry.result
    devices = result.get("devices") or entry.stored.get("devices") or ["-"]
    seconds = result.get("seconds")
    rows.append(
      [
        entry.name,
        progress(entry),
        str(len(result["seeds"])),
        str(result.get("steps", "-")),
        "-" if seconds is None else f"{seconds:.0f}",
        " ".join(f"{devices.count(d)} × {d}" for d in dict.fromkeys(devices)),
        result.get("config_sha256", "-")[:_SHOWN_SHA],
        result["name"],
      ]
    )
  header = ["run", "state", "seeds", "steps", "seconds", "devices"]
  header += ["config sha256", "folder"]
  return Table("Runs", header, rows)


def curve_section(entries: Sequence[Entry]) -> Section | None:
  """Accuracy over training on the test and the training split."""
  figures = []
  for split in ("test", "train"):
    lines = []
    for entry in entries:
      try:
        values = curves.curve(entry.rows, split)
      except UserError:
        continue  # not evaluated yet
      lines.append(curves.Line(entry.name, *values))
    if lines:
      figures.append(_curves(lines, split))
  missing = [e.name for e in entries if not any(map(_evaluated, e.rows))]
  notes = [f"Not evaluated yet: {', '.join(missing)}."] if missing else []
  if not figures:
    return None
  lead = "Means over seeds; the bands are 95% intervals of the mean."
  return Section("Accuracy over training", lead, figures, notes=notes)


def _evaluated(row: Mapping[str, Any]) -> bool:
  return row["split"] == "test" and "accuracy" in row


def _curves(lines: Sequence[curves.Line], split: str) -> Figure:
  figure = output_lib.new_figure(WIDTH, 3.2)
  axes = figure.subplots()
  curves.plot(axes, lines)
  axes.set(xlabel="training step", ylabel=f"{split} accuracy (%)")
  low, high = axes.get_ylim()
  axes.set_ylim(min(low, 95), min(high, 100.5))
  axes.grid(alpha=0.3)
  legend(figure)
  ends = "; ".join(
    f"{line.name} {line.means[-1]:.1f} ± {line.halves[-1]:.1f}"
    for line in lines
  )
  word = "Test" if split == "test" else "Training"
  return Figure(
    svg(figure, f"curves-{split}"),
    f"{word} accuracy over training in percent; at the last evaluation: "
    f"{ends}.",
    f"{word} accuracy.",
  )


def differences(entries: Sequence[Entry]) -> Table | None:
  """Keys of the config whose values differ between runs.

  Of a single run, the keys that differ from the defaults.
  """
  known = [entry for entry in entries if entry.result["config"]]
  if not known:
    return None
  if len(known) == 1:
    return _unusual(known[0])
  keys = dict.fromkeys(key for e in known for key in e.result["config"])
  rows = []
  for key in keys:
    values = [_value(e.result["config"], key) for e in known]
    if len(set(values)) > 1:
      rows.append([key, *values])
  header = ["key", *(entry.name for entry in known)]
  return Table("Keys of the config that differ between the runs", header, rows)


def _unusual(entry: Entry) -> Table:
  defaults = config_lib.flatten(config_lib.to_json(config_lib.base()))
  rows = [
    [key, results_lib.shown(value), _value(defaults, key)]
    for key, value in entry.result["config"].items()
    if _value(defaults, key) != results_lib.shown(value)
  ]
  header = ["key", entry.name, "default"]
  return Table("Keys of the config that differ from the defaults", header, rows)


def _value(config: Mapping[str, Any], key: str) -> str:
  return results_lib.shown(config[key]) if key in config else "-"


def environment(entries: Sequence[Entry]) -> Table | None:
  """Versions of the libraries; where runs differ, whose they are."""
  names = dict.fromkeys(
    name for entry in entries for name in entry.stored.get("versions", {})
  )
  rows = []
  for name in names:
    of: dict[str, list[str]] = {}
    for entry in entries:
      version = entry.stored.get("versions", {}).get(name, "not recorded")
      of.setdefault(version, []).append(entry.name)
    text = next(iter(of))
    if len(of) > 1:
      text = "; ".join(f"{v} ({', '.join(who)})" for v, who in of.items())
    rows.append([name, text])
  header = ["library", "version"]
  return Table("Versions the runs began with", header, rows) if rows else None


def repeats(entries: Sequence[Entry]) -> list[tuple[str, str]]:
  """Of each run its name and the command that repeats it, "" if unknown."""
  found = []
  for entry in entries:
    workdir = os.path.normpath(entry.workdir) + "-again"
    try:
      config = run_directory.load_config(entry.workdir)
      text = report_repeat.command(config, workdir) or ""
    except UserError:
      text = ""
    found.append((entry.name, text))
  return found


def title(folder: str, entries: Sequence[Entry]) -> tuple[str, str]:
  """Name of a folder, and what is in it."""
  name = os.path.basename(os.path.abspath(folder))
  sets = dict.fromkeys(e.result["config"].get("dataset", "") for e in entries)
  done = sum(entry.finished for entry in entries)
  text = count(len(entries), "run")
  if done < len(entries):
    text += f", {done} of them finished"
  about = ", ".join(filter(None, sets))
  return name, f"{text} on {about}" if about else text
