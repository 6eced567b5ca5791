"""Folders of runs for reports, and what a page is made of."""

import html.parser
import json
import re

from finished_runs import write

from metaaux.run import confidence_intervals

OPEN = ("meta", "link", "img", "br", "hr", "input", "wbr")


class Page(html.parser.HTMLParser):
  """Collects what the tests ask of a page."""

  def __init__(self, text):
    super().__init__()
    self.images, self.drawings, self.addresses, self.ids = [], [], [], []
    self.tables_outside, self.headings, self.unclosed = 0, [], []
    self.words, self._path, self._scrolls = [], [], 0
    self._goes_on = False
    self.feed(text)
    self.close()
    self.unclosed = self._path
    self.text = " ".join(" ".join(self.words).split())

  def handle_starttag(self, tag, attrs):
    given = dict(attrs)
    self._goes_on = tag == "wbr"  # a word that may be broken here
    self.ids += [given["id"]] if "id" in given else []
    self.addresses += [given[name] for name in ("src", "href") if name in given]
    if tag == "img":
      self.images.append(given.get("alt"))
    if given.get("role") == "img":
      self.drawings.append(given.get("aria-label"))
    if tag == "svg":
      hidden = given.get("aria-hidden") == "true"
      parent = self._path[-1][1] if self._path else {}
      self.drawings.append(hidden and parent.get("aria-label"))
    if tag == "table" and not any(
      "scroll" in (of.get("class") or "").split() for _, of in self._path
    ):
      self.tables_outside += 1
    if re.fullmatch("h[1-6]", tag):
      self.headings.append(int(tag[1]))
    if tag not in OPEN:
      self._path.append((tag, given))

  def handle_startendtag(self, tag, attrs):
    self.handle_starttag(tag, attrs)
    if tag not in OPEN:
      self._path.pop()

  def handle_endtag(self, tag):
    if tag not in OPEN:
      assert self._path.pop()[0] == tag

  def handle_data(self, data):
    if not self._path or self._path[-1][0] != "style":
      if self._goes_on:
        self.words[-1] += data
      else:
        self.words.append(data)
    self._goes_on = False


def check(text):
  """Holds a page to what every report has to be; returns it."""
  page = Page(text)
  assert not page.unclosed
  assert all(page.images) and all(page.drawings)
  assert all(a.startswith(("data:", "#")) for a in page.addresses)
  assert not re.search(r"https?://|@import|<script", text)
  assert set(re.findall(r"url\(([^#)])", text)) == set()
  assert page.tables_outside == 0
  assert len(page.ids) == len(set(page.ids))
  for target in re.findall(r'(?:href="|url\()#([^")]+)', text):
    assert target in page.ids
  assert page.headings[0] == 1 and page.headings.count(1) == 1
  steps = zip(page.headings, page.headings[1:], strict=False)
  assert all(after <= before + 1 for before, after in steps)
  assert '<html lang="en">' in text and 'name="viewport"' in text
  return page


def rows(accuracies, step, stage="train"):
  """Rows of an evaluation, a seed each."""
  return [
    {
      "step": step,
      "total_step": step,
      "stage": stage,
      "split": split,
      "seed": seed,
      "accuracy": accuracy,
    }
    for split in ("train", "test")
    for seed, accuracy in enumerate(accuracies)
  ]


def log(folder, name, *of_steps):
  """Writes metrics.jsonl of a run."""
  text = "".join(json.dumps(row) + "\n" for part in of_steps for row in part)
  (folder / name / "metrics.jsonl").write_text(text)


def finished(folder, name, per_seed, **config):
  """A finished run that improved from half its accuracy."""
  seeds = tuple(range(len(per_seed)))
  write(folder, name, per_seed, seeds, {"method": name, **config})
  path = folder / name / "result.json"
  result = json.loads(path.read_text())
  result["ci95"] = confidence_intervals.mean_ci(per_seed)[1]
  path.write_text(json.dumps(result))
  log(folder, name, rows([a / 2 for a in per_seed], 5), rows(per_seed, 10))
