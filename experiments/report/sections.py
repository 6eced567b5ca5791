"""What a report says of single runs: each by what it logged, not its name."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from metaaux.errors import UserError

from ..opened_runs import clusters as opened_clusters
from ..opened_runs import generated_labels
from . import clusters as report_clusters
from . import masks as report_masks
from . import maxl as report_maxl
from . import weights as report_weights
from .parts import Section
from .runs import Entry

# Opening a run, with its data and its networks, takes some ten seconds.
_MAX_OPENED = 6


def of_runs(entries: Sequence[Entry]) -> list[tuple[str, list[Section]]]:
  """Name of each run that has pictures of its own, and its sections."""
  found, opened = [], 0
  for i, entry in enumerate(entries):
    sections = list(_of_run(entry, f"run{i}", opened < _MAX_OPENED))
    if sections:
      opened += 1
      found.append((entry.name, sections))
  return found


def _of_run(entry: Entry, name: str, may_open: bool) -> Iterator[Section]:
  rows, workdir = entry.rows, entry.workdir

  def look(function: Callable[[str], Any]) -> Any:
    """What a function finds in the run, or why it does not."""
    if not may_open:
      return UserError(
        f"of a folder the first {_MAX_OPENED} runs are opened; give the folder "
        "of this run alone to see it"
      )
    try:
      return function(workdir)
    except UserError as error:
      return error

  config = entry.result["config"]
  if _logged(rows, "meta", "label_usage"):
    found = look(generated_labels.generated)
    psi = config.get("psi") if len(config.get("psi", ())) > 1 else None
    if not isinstance(found, UserError):
      psi = found.psi
    yield report_maxl.section(rows, psi, found, name)
  written = report_clusters.reports(workdir)
  if written:
    yield report_clusters.section(written, look(opened_clusters.load))
  if _logged(rows, "batch", "weight_"):
    has_rule = config.get("method") == "arml"
    found = look(report_weights.similarity) if has_rule else None
    yield report_weights.section(rows, found, name)
  if _logged(rows, "batch", report_masks.PREFIX):
    groups = entry.result.get("groups", {})
    found = look(report_masks.load)
    yield report_masks.section(rows, groups, found, name)


def _logged(rows: Sequence[dict[str, Any]], split: str, prefix: str) -> bool:
  return any(
    row["split"] == split and any(key.startswith(prefix) for key in row)
    for row in rows
  )
