"""DAMTL in a report: how sparse the masks of each layer are, and the tasks."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaaux import parallel
from metaaux.errors import UserError
from metaaux.run import confidence_intervals
from metaaux.run.checkpoints import reopen
from metaaux.run.logs import pictures

from .. import curves
from .. import output as output_lib
from .parts import WIDTH, Figure, Section, Table, legend, svg

PREFIX = pictures.MASKS.prefix


class Masks(NamedTuple):
  """Mask entries of all tasks and seeds.

  Attributes:
    layers: name of a layer -> float [S, n], those of all tasks side by side.
    step: that the checkpoint is of.
  """

  layers: Mapping[str, np.ndarray]
  step: int


def load(workdir: str) -> Masks:
  """Masks at the newest checkpoint.

  Raises:
    UserError: there is no checkpoint, or the data is not at hand.
  """
  restored = reopen.restore(workdir)
  host = parallel.to_host(restored.states, restored.run.plan).masks
  layers = {
    _layer(path): np.concatenate(
      [np.asarray(one[path]).reshape(len(one[path]), -1) for one in host], 1
    )
    for path in host[0]
  }
  return Masks(layers, restored.step)


def _layer(path: str) -> str:
  """conv_0 of ['conv_0']['kernel']."""
  return ".".join(re.findall(r"'([^']+)'", path)[:-1])


def section(
  rows: Sequence[dict[str, Any]],
  groups: Mapping[str, Sequence[float]],
  found: Masks | UserError,
  name: str,
) -> Section:
  """What a report says of the masks of a run.

  Args:
    rows: of metrics.jsonl, some with masks.
    groups: accuracies of each task by seed, fractions; {} before the end.
    found: of `load`.
    name: for the identifiers of the pictures.
  """
  keys = sorted(
    {key for row in rows for key in row if key.startswith(PREFIX)},
    key=lambda key: int(key.removeprefix(PREFIX)),
  )
  known = not isinstance(found, UserError)
  layers = list(found.layers) if known else []
  names = [
    layers[i] if i < len(layers) else f"convolution {i + 1}"
    for i in range(len(keys))
  ]
  figures = [_over_time(rows, dict(zip(keys, names, strict=True)), name)]
  tables, notes = [_tasks(groups)] if groups else [], []
  if known:
    figures.append(_histogram(found, name))
    tables.append(_sparsity(found))
  else:
    notes.append(f"The values of the masks are left out: {found}.")
  figures += _distances(rows, name)
  lead = (
    "A mask entry of 0 cuts a weight of the big task's network, one of 1 keeps "
    "it. Near zero means below 0.001."
  )
  return Section("Masks", lead, figures, tables, notes=notes)


def _over_time(
  rows: Sequence[dict[str, Any]], names: Mapping[str, str], name: str
) -> Figure:
  figure = output_lib.new_figure(WIDTH, 2.9)
  axes = figure.subplots()
  lines = [
    curves.Line(label, *curves.curve(rows, "batch", key))
    for key, label in names.items()
  ]
  curves.plot(axes, lines, first=1)
  axes.set(xlabel="training step", ylabel="near zero (%)")
  pictures.from_zero(axes, 100 * pictures.MASKS.least)
  axes.grid(alpha=0.3)
  legend(figure)
  ends = ", ".join(f"{line.name} {line.means[-1]:.1f} %" for line in lines)
  return Figure(
    svg(figure, f"{name}-sparsity"),
    f"Share of mask entries near zero over training; at the end {ends}.",
    "Sparsity of each layer over training, mean over tasks, with 95% bands "
    "over seeds.",
  )


def _histogram(found: Masks, name: str) -> Figure:
  """Distribution of the mask entries of each layer."""
  figure = output_lib.new_figure(WIDTH, 2.9)
  axes = figure.subplots()
  top = max(float(values.max()) for values in found.layers.values())
  edges = np.linspace(0, max(top, 1.0), 41)
  for i, (layer, values) in enumerate(found.layers.items()):
    share = 100 * np.histogram(values, edges)[0] / values.size
    colour = curves.COLOURS[(i + 1) % len(curves.COLOURS)]
    axes.stairs(share, edges, color=colour, label=layer, lw=1.5)
  axes.set(xlabel="mask entry", ylabel="of the layer (%)")
  axes.grid(alpha=0.3)
  legend(figure)
  middles = ", ".join(
    f"{layer} {np.median(values):.2f}" for layer, values in found.layers.items()
  )
  return Figure(
    svg(figure, f"{name}-masks"),
    f"Distribution of the mask entries of each layer; medians: {middles}.",
    f"Mask entries at step {found.step}, all tasks and seeds.",
  )


def _distances(rows: Sequence[dict[str, Any]], name: str) -> list[Figure]:
  """How far each class's features are from the big task's network's."""
  steps, values = pictures.curves(rows, pictures.DISTANCES)
  if not values:
    return []
  figure = output_lib.new_figure(WIDTH, 2.9)
  axes = figure.subplots()
  pictures.DISTANCES.draw(axes, pictures.DISTANCES, steps, values)
  axes.set_ylabel(pictures.DISTANCES.label)
  first, last = (np.mean([of[i] for of in values.values()]) for i in (0, -1))
  return [
    Figure(
      svg(figure, f"{name}-distances"),
      "Squared distance of each class's mean features from those of the big "
      f"task's network: mean {first:.3g} at step {steps[0]}, {last:.3g} at "
      f"step {steps[-1]}.",
      "Distance of each class's features from the big task's network, at the "
      "first and the last evaluation, with 95% intervals.",
    )
  ]


def _sparsity(found: Masks) -> Table:
  rows = []
  for layer, values_SxN in found.layers.items():
    cells = [
      confidence_intervals.format_ci(
        *confidence_intervals.mean_ci(np.mean(values_SxN < limit, axis=1))
      )
      for limit in (1e-3, 0.5)
    ]
    mean = confidence_intervals.mean_ci(values_SxN.mean(1))
    rows.append(
      [
        layer,
        str(values_SxN.shape[1]),
        *cells,
        confidence_intervals.format_ci(*mean, percent=False),
      ]
    )
  return Table(
    "Masks at the end, all tasks",
    ["layer", "entries", "near zero (%)", "below 0.5 (%)", "mean"],
    rows,
  )


def _tasks(groups: Mapping[str, Sequence[float]]) -> Table:
  return Table(
    "Test accuracy of each task",
    ["task", "accuracy (%)"],
    [
      [
        task,
        confidence_intervals.format_ci(*confidence_intervals.mean_ci(values)),
      ]
      for task, values in groups.items()
    ],
  )
