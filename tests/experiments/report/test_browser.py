"""The page in a real browser: nothing overflows, and nothing complains."""

import html
import json
import re
import shutil
import subprocess

import pages
import pytest

from experiments import report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--hide-scrollbars",
  "--enable-logging=stderr",
  "--host-resolver-rules=MAP * ~NOTFOUND",
  "--virtual-time-budget=5000",
  "--dump-dom",
)
WIDTHS = (400, 1400)

# Of each frame: its width, and what reaches beyond it without a scroll bar.
MEASURE = """
const found = [...document.querySelectorAll("iframe")].map(frame => {
  const page = frame.contentDocument, width = frame.clientWidth;
  const beyond = [...page.body.querySelectorAll("*")].filter(element =>
    !element.closest(".scroll, pre, svg") &&
    element.getBoundingClientRect().right > width + 1);
  return {
    width: page.documentElement.scrollWidth,
    beyond: beyond.map(element => element.outerHTML.slice(0, 80)),
    images: [...page.images].every(image => image.naturalWidth > 0),
    text: page.querySelector("h1").innerText,
  };
});
document.body.textContent = "found" + JSON.stringify(found) + "found";
"""


@pytest.fixture(scope="module")
def browser():
  found = next(filter(None, map(shutil.which, BROWSERS)), None)
  if found is None:
    pytest.skip(f"no browser is installed ({', '.join(BROWSERS)})")
  return found


def test_at_the_width_of_a_phone_and_of_a_desk(tmp_path, browser):
  long = {"partition.num_tasks": 10, "optimizer.learning_rate": 0.0123456}
  pages.finished(tmp_path, "single", [0.5, 0.6, 0.7])
  for name in ("uniform", "human", "maxl", "meta_mtl", "arml"):
    pages.finished(tmp_path, name, [0.51, 0.63, 0.71], **long)
  for path in tmp_path.glob("*/result.json"):
    values = [0.5, 0.6, 0.7]
    attributes = {
      f"Wearing_Necktie_{k}": {"average_precision": values} for k in range(5)
    }
    more = {"groups": {"task_0": values}, "attributes": attributes}
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
  text = report.render(str(tmp_path))
  frames = "".join(
    f'<iframe style="width: {width}px; height: 900px; border: 0" '
    f'srcdoc="{html.escape(text)}"></iframe>'
    for width in WIDTHS
  )
  outer = tmp_path / "outer.html"
  outer.write_text(
    f'<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
    f"<body>{frames}<script>addEventListener('load', () => {{{MEASURE}}})"
    "</script>"
  )
  done = subprocess.run(
    [browser, *FLAGS, f"--user-data-dir={tmp_path}/profile", outer.as_uri()],
    capture_output=True,
    text=True,
    timeout=120,
  )
  answer = re.search("found(.*)found", done.stdout, re.DOTALL)
  assert answer, done.stderr
  found = json.loads(html.unescape(answer[1]))
  for width, frame in zip(WIDTHS, found, strict=True):
    assert frame["beyond"] == [] and frame["width"] == width
    assert frame["images"] and frame["text"].startswith(("No method", "arml"))
  assert "CONSOLE" not in done.stderr
