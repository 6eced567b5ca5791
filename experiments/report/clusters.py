"""Clusters in a report: a gallery, and how far they agree with true labels."""

import glob
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from metaaux import files
from metaaux.errors import UserError
from metaaux.run import confidence_intervals
from metaaux.run import directory as run_directory

from .. import clusters
from ..opened_runs.clusters import Clusters
from .parts import (
  Gallery,
  Section,
  Strip,
  Table,
  count,
  image_uri,
)

_MAX_STRIPS = 12
_NAME = re.compile(r"partitions-seed(\d+)\.json$")


def reports(workdir: str) -> dict[int, dict[str, Any]]:
  """What a run wrote of its partitions, by seed; {} where it has none.

  Raises:
    UserError: a file cannot be read.
  """
  pattern = os.path.join(
    glob.escape(workdir), run_directory.REPORTS, "partitions-seed*.json"
  )
  found = {}
  for path in glob.glob(pattern):
    seed = _NAME.search(path)
    if seed is None:
      continue
    try:
      found[int(seed[1])] = files.read_json(path)
    except (OSError, ValueError) as error:
      raise UserError(f"{path} cannot be read ({error})") from None
  return dict(sorted(found.items()))


def section(
  written: dict[int, dict[str, Any]], found: Clusters | UserError
) -> Section:
  """What a report says of a run's clusters.

  Args:
    written: of `reports`, of one seed at least.
    found: clusters of one seed with their images, or why there are none.
  """
  lead = (
    "NMI with the true labels stands beside that of permuted labels, which is "
    "chance. Purity is the share of images whose cluster is mostly of their "
    "class."
  )
  tables = [_agreement(written)]
  title = "Clusters that make the auxiliary tasks"
  if isinstance(found, UserError):
    note = f"The gallery is left out: {found}."
    return Section(title, lead, tables=tables, notes=[note])
  return Section(title, lead, tables=tables, galleries=[_gallery(found)])


def _agreement(written: dict[int, dict[str, Any]]) -> Table:
  """A row for each partition, means over seeds with their intervals."""
  number = max(len(report["partitions"]) for report in written.values())
  columns = [
    ("NMI", "nmi"),
    ("NMI, permuted", "nmi_permuted"),
    ("ARI", "ari"),
    ("purity", "purity"),
  ]
  rows = []
  for i in range(number):
    entries = [
      report["partitions"][i]
      for report in written.values()
      if i < len(report["partitions"])
    ]
    sizes = " / ".join(
      f"{np.median([entry[key] for entry in entries]):.0f}"
      for key in ("min", "median", "max")
    )
    cells = [_mean([e[key] for e in entries if key in e]) for _, key in columns]
    rows.append([str(i + 1), *cells, sizes])
  between = [r["between"]["nmi"] for r in written.values() if r.get("between")]
  alike = f"; NMI between partitions {_mean(between)}" if between else ""
  seeds = count(len(written), "seed")
  return Table(
    f"Agreement with true labels, {seeds}{alike}",
    ["partition", *(head for head, _ in columns), "size: min / median / max"],
    rows,
  )


def _mean(values: Sequence[float]) -> str:
  if not values:
    return "-"
  return confidence_intervals.format_ci(
    *confidence_intervals.mean_ci(values), percent=False
  )


def _gallery(found: Clusters) -> Gallery:
  """Random images of the largest clusters of the first partition."""
  row_N = found.partitions[0]
  shown = clusters.largest(row_N)[:_MAX_STRIPS]
  pixels = clusters.displayable(found.images)
  total = len(np.unique(row_N[row_N >= 0]))
  which = (
    f"the {len(shown)} largest of {total}" if len(shown) < total else total
  )
  return Gallery(
    f"Partition 1 of {len(found.partitions)}, seed {found.seed}: {which} "
    "clusters, random images",
    [_strip(found, pixels, row_N, int(k)) for k in shown],
  )


def _strip(
  found: Clusters, pixels: np.ndarray, row_N: np.ndarray, cluster: int
) -> Strip:
  member_N = row_N == cluster
  shown = clusters.are_images(pixels)
  about = f"{member_N.sum()} {'images' if shown else 'rows'}"
  name, share = clusters.commonest(found.primary[member_N], found.primary_names)
  if name:
    about += f", {share:.0f} % {name}"
  if not shown:
    return Strip(f"cluster {cluster}", about, "", "", 0)
  picks = clusters.sample(row_N, cluster)
  uri, width = image_uri(pixels[picks])
  alt = f"{len(picks)} random images of cluster {cluster}: {about}"
  return Strip(f"cluster {cluster}", about, uri, alt, width)
