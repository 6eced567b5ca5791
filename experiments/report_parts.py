"""What a report is made of, and how its pictures get into a page."""

import base64
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metaaux.metrics import count as count

if TYPE_CHECKING:
  from markupsafe import Markup

# No line ends here.
NBSP = "\N{NO-BREAK SPACE}"

# Width of a picture in inches: its letters stay legible on a phone.
WIDTH = 4.7

# Matplotlib's colours -> names of the page's, which know light and dark.
_THEME = {
  "#000000": "ink",
  "#ffffff": "paper",
  "#b0b0b0": "rule",
  "#bbbbbb": "faint",
  "#0072b2": "blue",
  "#009e73": "green",
  "#e69f00": "orange",
  "#d55e00": "red",
  "#cc79a7": "pink",
  "#56b4e9": "sky",
}
# Larger images are made smaller; colour ones are then cheaper as JPEG.
_MAX_SIDE, _PNG_SIDE = 48, 16


class Figure(NamedTuple):
  """A drawing with what it says in words."""

  svg: "Markup"
  alt: str
  caption: str


class Table(NamedTuple):
  """Cells as text; the first column names the rows."""

  caption: str
  header: Sequence[str]
  rows: Sequence[Sequence[str]]


class Strip(NamedTuple):
  """Images side by side; `uri` is "" where there are none."""

  label: str
  about: str
  uri: str
  alt: str
  width: int


class Gallery(NamedTuple):
  """Strips under a heading."""

  title: str
  strips: Sequence[Strip]


class Section(NamedTuple):
  """What is said of a run.

  Attributes:
    title: heading.
    lead: what to see here, in a sentence or two.
    figures: drawings.
    tables: tables.
    galleries: images.
    notes: a line each, such as why something is left out.
  """

  title: str
  lead: str
  figures: Sequence[Figure] = ()
  tables: Sequence[Table] = ()
  galleries: Sequence[Gallery] = ()
  notes: Sequence[str] = ()


def svg(figure: Any, name: str) -> "Markup":
  """A matplotlib figure as an element of the page, in the page's colours.

  Args:
    figure: drawn; its texts become texts of the page.
    name: unlike that of any other figure of the page; begins its identifiers.
  """
  from markupsafe import Markup
  from matplotlib import rc_context

  for axes in figure.axes:
    axes.spines[["top", "right"]].set_visible(False)
  file = io.StringIO()
  nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
  with rc_context({"svg.fonttype": "none", "svg.hashsalt": "metaaux"}):
    figure.savefig(
      file, format="svg", transparent=True, dpi=150, metadata=nothing
    )
  text = file.getvalue()
  text = text[text.index("<svg") :]
  text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
  # Its rule for every element would hold for the whole page.
  text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
  text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text)
  text = text.replace("xlink:href", "href")
  text = re.sub(
    r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", text, count=1
  )
  text = text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
  return Markup(_named(_themed(text), name))


def _themed(text: str) -> str:
  """Colours and fonts of the page in place of matplotlib's."""

  def colour(match: re.Match[str]) -> str:
    own = _THEME.get(match[0].lower())
    return f"var(--{own})" if own else match[0]

  text = re.sub(r"#[0-9a-fA-F]{6}\b", colour, text)
  # What has no colour of its own is black.
  text = text.replace('<text style="', '<text style="fill: var(--ink); ')
  # In one property or in two, as the version of matplotlib has it.
  text = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", text)
  return re.sub(r"font: ([^;\"]*?px) [^;\"]*", r"font: \1 var(--sans)", text)


def _named(text: str, name: str) -> str:
  """Identifiers that no other picture has; those without use are dropped."""
  used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))

  def identifier(match: re.Match[str]) -> str:
    return f' id="{name}-{match[1]}"' if match[1] in used else ""

  text = re.sub(r' id="([^"]*)"', identifier, text)
  return re.sub(r'(href="|url\()#', rf"\g<1>#{name}-", text)


def image_uri(images: np.ndarray) -> tuple[str, int]:
  """Images side by side as a data URI, and its width in pixels.

  Args:
    images: uint8 [m, H, W, 3].
  """
  from PIL import Image

  side = max(images.shape[1:3])
  wide = np.concatenate(
    [np.pad(x, ((0, 0), (0, 1), (0, 0))) for x in images], axis=1
  )
  opaque = np.concatenate(
    [
      np.pad(np.full(x.shape[:2], 255, np.uint8), ((0, 0), (0, 1)))
      for x in images
    ],
    axis=1,
  )
  picture = Image.fromarray(np.dstack([wide, opaque]), "RGBA")
  if side > _MAX_SIDE:
    scale = _MAX_SIDE / side
    size = (round(picture.width * scale), round(picture.height * scale))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
  grey = bool((images[..., 0] == images[..., 1]).all())
  file = io.BytesIO()
  if grey or side <= _PNG_SIDE:
    kind = "png"
    picture.convert("LA" if grey else "RGBA").save(file, kind, optimize=True)
  else:
    kind = "webp"
    picture.save(file, kind, quality=80)
  data = base64.b64encode(file.getvalue()).decode()
  return f"data:image/{kind};base64,{data}", picture.width


def points(value: float, digits: int = 2) -> str:
  """A signed number with a true minus: +0.18, −1.36."""
  return f"{value:+.{digits}f}".replace("-", "−")


def interval(mean: float, half: float | None, *, sign: bool = False) -> str:
  """`93.87 ± 2.47` of percentages; with a sign `+0.18 ± 1.54`."""
  text = points(mean) if sign else f"{mean:.2f}".replace("-", "−")
  return text if half is None else f"{text}{NBSP}±{NBSP}{half:.2f}"


def legend(figure: Any) -> None:
  """A legend above a drawing, in as many columns as its names leave room for.

  Args:
    figure: of matplotlib, with labels on what is drawn.
  """
  names = [
    name for axes in figure.axes for name in axes.get_legend_handles_labels()[1]
  ]
  fitting = max(1, min(len(names), 45 // (max(map(len, names)) + 6)))
  lines = -(-len(names) // fitting)
  figure.legend(
    loc="outside upper left",
    ncols=-(-len(names) // lines),
    frameon=False,
    fontsize=9,
    columnspacing=1.2,
    handletextpad=0.5,
  )
