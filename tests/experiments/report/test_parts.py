"""Pictures as parts of a page."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from experiments import output
from experiments.report import parts as report_parts


def drawing(name):
  figure = output.new_figure(3, 2)
  axes = figure.subplots()
  axes.plot([0, 1], [0, 1], color="#0072B2", label="<method> & more")
  axes.scatter([0], [1], color="#123456", rasterized=True)
  report_parts.legend(figure)
  return str(report_parts.svg(figure, name))


def test_a_drawing_follows_the_page():
  text = drawing("one")
  assert text.startswith("<svg ") and "var(--blue)" in text
  assert "#0072b2" not in text and "xmlns" not in text and "<style" not in text
  # A font of the page, and texts that can be searched.
  assert set(
    re.findall(r"font(?:-family)?: (?:[\d.]+px )?([^;\"]+)", text)
  ) == {"var(--sans)"}
  assert "&lt;method&gt; &amp; more" in text
  assert 'width="100%"' not in text and "viewBox=" in text


def test_identifiers_of_two_drawings_never_meet():
  found = [set(re.findall(r' id="([^"]+)"', drawing(n))) for n in ("a", "b")]
  assert all(found) and not found[0] & found[1]
  text = drawing("a")
  for target in re.findall(r'(?:href="|url\()#([^")]+)', text):
    assert f' id="{target}"' in text


@pytest.mark.parametrize(
  "side, channels, kind, width",
  [
    (8, 1, "png", 27),
    (16, 3, "png", 51),
    (32, 3, "webp", 99),
    (96, 1, "png", 146),
  ],
)
def test_images_side_by_side(side, channels, kind, width):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (3, side, side, channels), np.uint8)
  images = np.broadcast_to(images, (3, side, side, 3))
  uri, found = report_parts.image_uri(images)
  assert found == width and uri.startswith(f"data:image/{kind};base64,")
  data = base64.b64decode(uri.partition(",")[2])
  picture = Image.open(io.BytesIO(data)).convert("RGBA")
  assert picture.width == width
  pixels = np.asarray(picture)
  if kind == "png" and side < 48:
    for i in range(3):
      part = pixels[:, i * (side + 1) : (i + 1) * (side + 1)]
      np.testing.assert_array_equal(part[:, :side, :3], images[i])
      # The gap is clear, whatever the page's colour.
      assert (part[:, side, 3] == 0).all() and (part[:, :side, 3] == 255).all()


def test_numbers_have_a_true_minus():
  assert report_parts.points(-1.357) == "−1.36"
  text = report_parts.interval(-1.357, 0.5, sign=True)
  assert text.replace("\N{NO-BREAK SPACE}", " ") == "−1.36 ± 0.50"
  assert report_parts.interval(93.1, None) == "93.10"
  assert report_parts.count(1, "seed") == "1 seed"
