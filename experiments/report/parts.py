"""What a report is made of, and how its pictures get into a page."""

import base64
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metaaux.messages import count as count

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


def breakable(text: str) -> "Markup":
  """A text whose lines may end after what joins words, and not inside one.

  Runs, keys and folders have names without spaces: `runs/other_try/maxl`,
  `optimizer.learning_rate=0.1`.
  """
  from markupsafe import Markup, escape

  return Markup("<wbr>").join(map(escape, _parts(text)))


# Words as long as this stay whole.
_WHOLE = 16
# After what joins words, and after a = that something long follows.
_BREAK = re.compile(
  r"(?<=\w[/_:+,])(?=\w)|(?<=[a-z][.])(?=[a-z])|(?<=\w=)(?=\S{8})"
)


def _parts(text: str) -> list[str]:
  """A text in parts, between which a line may end; spaces aside."""
  found = [""]
  for word in re.split(r"(\s+)", text):
    first, *rest = _BREAK.split(word) if len(word) > _WHOLE else [word]
    found[-1] += first
    found += rest
  return found


def interval(mean: float, half: float | None, *, sign: bool = False) -> str:
  """`93.87 ± 2.47` of percentages; with a sign `+0.18 ± 1.54`."""
  text = points(mean) if sign else f"{mean:.2f}".replace("-", "−")
  return text if half is None else f"{text}{NBSP}±{NBSP}{half:.2f}"


# Letters of a legend that fit beside each other, of a drawing of `WIDTH`.
_LETTERS = 58


def legend(figure: Any) -> None:
  """A legend above a drawing, in as many columns as its names leave room for.

  The drawing grows by what the legend takes; names that are wider than it are
  broken between words.

  Args:
    figure: of matplotlib, with labels on what is drawn.
  """
  handles, names = [], []
  for axes in figure.axes:
    found = axes.get_legend_handles_labels()
    handles += found[0]
    names += [_wrapped(name) for name in found[1]]
  lines = [line for name in names for line in name.split("\n")]
  # A handle is as wide as some six letters.
  fitting = min(len(names), _LETTERS // (max(map(len, lines)) + 6)) or 1
  rows = -(-len(names) // fitting)
  high = [name.count("\n") + 1 for name in names]
  taken = sum(sorted(high)[-rows:])
  figure.set_figheight(figure.get_figheight() + 0.17 * max(0, taken - 2))
  figure.legend(
    handles,
    names,
    loc="outside upper left",
    ncols=-(-len(names) // rows),
    frameon=False,
    fontsize=9,
    columnspacing=1.2,
    handletextpad=0.5,
  )


def _wrapped(name: str) -> str:
  """Lines of a name that is wider than a drawing."""
  width = _LETTERS - 6
  if len(name) <= width:
    return name
  parts = [p for part in _parts(name) for p in re.split("(?<= )", part)]
  lines, line = [], ""
  for part in parts:
    while len(part) > width:  # no word at all
      lines, line, part = [*lines, line], part[:width], part[width:]
    if len(line + part) > width:
      lines, line = [*lines, line], ""
    line += part
  return "\n".join(text.strip() for text in [*lines, line] if text.strip())
