"""MAXL in a report: what the generated labels say, and of which images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaaux import losses
from metaaux.errors import UserError
from metaaux.run.logs.pictures import COLOURS

from .. import clusters, curves
from .. import output as output_lib
from ..opened_runs.generated_labels import Generated
from .parts import (
  WIDTH,
  Figure,
  Gallery,
  Section,
  Strip,
  image_uri,
  legend,
  svg,
)

_MAX_CLASSES, _MAX_LABELS = 6, 8
_MARKERS = "os^Dv*"


def section(
  rows: Sequence[dict[str, Any]],
  psi: Sequence[int] | None,
  found: Generated | UserError,
  name: str,
) -> Section:
  """What a report says of a run of MAXL.

  Args:
    rows: of metrics.jsonl.
    psi: auxiliary classes of each primary class, None where unknown.
    found: of `generated`, or why there is nothing.
    name: for the identifiers of the pictures.
  """
  figures = [_usage(rows, name), _entropies(rows, psi, name)]
  lead = (
    "Information is what the labels say beyond the primary label, as a share "
    "of the most they could; 0 is uniform or collapsed. Usage is the share of "
    "the auxiliary classes that are the likeliest label of some images."
  )
  title = "Generated labels"
  if isinstance(found, UserError):
    note = f"The galleries and the map of features are left out: {found}."
    return Section(title, lead, figures, notes=[note])
  return Section(
    title,
    lead,
    [*figures, *_maps(found, name)],
    galleries=_galleries(found),
    notes=[_about(found)],
  )


def _about(found: Generated) -> str:
  said = losses.label_statistics(found.labels, found.primary, found.psi)
  text = (
    f"Galleries and map: {len(found.images)} test images that neither network "
    f"was trained on, labelled by the generator of seed {found.seed} at step "
    f"{found.step}; an image stands at its likeliest label. The labels of "
    f"these images carry {100 * said['information_fraction']:.1f} % of what "
    "they could say"
  )
  if said["information_fraction"] < 0.02:
    text += (
      ": they are all but equal within a class, so that the galleries show "
      "next to chance"
    )
  return f"{text}."


def _lines(
  axes: Any,
  rows: Sequence[dict[str, Any]],
  wanted: Sequence[tuple[str, str, float]],
  highest: float,
) -> str:
  """Metrics of the meta split with their bands; the last values in words."""
  lines, said = [], []
  for metric, label, scale in wanted:
    values = curves.curve(rows, "meta", metric, scale)
    lines.append(curves.Line(label, *values))
    said.append(f"{label} ends at {values[1][-1]:.3g} ± {values[2][-1]:.2g}")
  # The first colour is that of text; here no line is the baseline.
  curves.plot(axes, lines, highest, first=1)
  axes.set_xlabel("training step")
  axes.set_ylim(0, 1.08 * max(line.means.max() for line in lines) or 1.0)
  axes.grid(alpha=0.3)
  return "; ".join(said)


def _usage(rows: Sequence[dict[str, Any]], name: str) -> Figure:
  figure = output_lib.new_figure(WIDTH, 2.9)
  axes = figure.subplots()
  wanted = [
    ("label_usage", "usage", 100.0),
    ("information_fraction", "information", 100.0),
  ]
  said = _lines(axes, rows, wanted, 100.0)
  axes.set_ylabel("of the possible (%)")
  legend(figure)
  return Figure(
    svg(figure, f"{name}-usage"),
    f"Label usage and information over training, in percent: {said}.",
    "Usage and information of the labels on the meta split, with 95% bands "
    "over seeds.",
  )


def _entropies(
  rows: Sequence[dict[str, Any]], psi: Sequence[int] | None, name: str
) -> Figure:
  figure = output_lib.new_figure(WIDTH, 2.9)
  axes = figure.subplots()
  wanted = [
    ("marginal_entropy", "of the mean label", 1.0),
    ("sample_entropy", "of a label, on average", 1.0),
  ]
  said = _lines(axes, rows, wanted, np.inf)
  uniform = ""
  if psi:
    uniform = f"; uniform labels have {np.mean(np.log(psi)):.3g}"
    axes.axhline(
      np.mean(np.log(psi)), color="#b0b0b0", ls="--", label="uniform labels"
    )
  axes.set_ylabel("entropy (nats)")
  legend(figure)
  return Figure(
    svg(figure, f"{name}-entropy"),
    f"Entropies over training, in nats: {said}{uniform}.",
    "Entropies on the meta split. A label as uncertain as the dashed line says "
    "nothing within its class.",
  )


def _maps(found: Generated, name: str) -> list[Figure]:
  """t-SNE of the features, by primary class and by generated label."""
  import threadpoolctl
  from sklearn.manifold import TSNE

  number = len(found.features)
  if number < 8:
    return []
  # Its many short parallel parts wait for each other on a machine with other
  # work: ten times slower than one thread.
  with threadpoolctl.threadpool_limits(1):
    points_Nx2 = TSNE(
      perplexity=min(30.0, (number - 1) / 3), init="random", random_state=0
    ).fit_transform(found.features)
  within = found.labels.argmax(-1) - np.cumsum((0, *found.psi))[found.primary]
  figures = []
  for kind, colour_N, names in (
    ("primary class", found.primary, found.primary_names),
    ("generated label", within, [str(k + 1) for k in range(max(found.psi))]),
  ):
    figure = output_lib.new_figure(WIDTH, 4.1)
    axes = figure.subplots()
    _scatter(axes, points_Nx2, colour_N, found.primary, names)
    by_label = kind == "generated label"
    figures.append(
      Figure(
        svg(figure, f"{name}-{'label' if by_label else 'primary'}"),
        f"t-SNE map of the evaluator's features of {number} test images, "
        f"coloured by {kind}; the shape is the primary class.",
        f"Features by {kind}"
        + (" within its class (the shape)." if by_label else "."),
      )
    )
  return figures


def _scatter(
  axes: Any,
  points_Nx2: np.ndarray,
  colour_N: np.ndarray,
  shape_N: np.ndarray,
  names: Sequence[str],
) -> None:
  """Points; the shape tells the primary class, also without colours."""
  for shape in np.unique(shape_N):
    some = shape_N == shape
    axes.scatter(
      *points_Nx2[some].T,
      c=[COLOURS[k % len(COLOURS)] for k in colour_N[some]],
      marker=_MARKERS[shape % len(_MARKERS)],
      s=12,
      linewidths=0,
      alpha=0.75,
    )
  axes.set(xticks=[], yticks=[])
  axes.spines[:].set_visible(False)
  if len(names) <= len(COLOURS):
    for text, colour in zip(names, COLOURS, strict=False):
      axes.scatter([], [], color=colour, s=20, label=str(text)[:18])
    legend(axes.figure)


def _galleries(found: Generated) -> list[Gallery]:
  """Images by likeliest label, within the largest primary classes."""
  chosen_N = found.labels.argmax(-1)
  pixels = clusters.displayable(found.images)
  starts = np.cumsum((0, *found.psi))
  sizes = np.bincount(found.primary, minlength=len(found.psi))
  largest = np.sort(np.argsort(-sizes, kind="stable")[:_MAX_CLASSES])
  galleries = []
  for c in largest:
    name = found.primary_names[c]
    title = f"{name}: {sizes[c]} images"
    count = min(found.psi[c], _MAX_LABELS)
    if count < found.psi[c]:
      title += f", the first {count} of {found.psi[c]} labels"
    strips = [
      _strip(found, pixels, chosen_N, starts[c] + k, f"label {k + 1}", name)
      for k in range(count)
    ]
    galleries.append(Gallery(title, strips))
  if len(largest) < len(found.psi):
    last = galleries[-1]
    title = f"{last.title} (the {len(largest)} largest of {len(found.psi)})"
    galleries[-1] = last._replace(title=title)
  return galleries


def _strip(
  found: Generated,
  pixels: np.ndarray,
  chosen_N: np.ndarray,
  column: int,
  label: str,
  name: str,
) -> Strip:
  member_N = chosen_N == column
  if not member_N.any():
    return Strip(label, "the likeliest of no image", "", "", 0)
  about = (
    f"{member_N.sum()} images, mean probability "
    f"{found.labels[member_N, column].mean():.2f}"
  )
  human, share = clusters.commonest(found.human[member_N], found.human_names)
  if human:
    about += f", {share:.0f} % {human}"
  if not clusters.are_images(pixels):
    return Strip(label, about, "", "", 0)
  picks = clusters.sample(chosen_N, column)
  uri, width = image_uri(pixels[picks])
  alt = f"{len(picks)} random images of {name} at {label}: {about}"
  return Strip(label, about, uri, alt, width)
