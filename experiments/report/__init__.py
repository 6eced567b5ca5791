"""A report of runs: one HTML file that needs no network and no server.

  metaaux report --workdir=runs/digits
  metaaux report --workdir=runs/digits/maxl --output=maxl.html

The folder is a run, or holds runs at any depth, finished or not. The page
begins with which method is best, by how much, and whether that is more than
noise; below are curves, what each method shows of itself, the config keys that
differ, versions, and the commands that repeat the runs.
"""

import datetime
import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import metaaux
from metaaux.errors import UserError
from metaaux.run import cli

from .. import output
from . import measures as report_measures
from . import parts as report_parts
from . import runs as report_runs
from . import sections as report_sections
from . import summary as report_summary

NAME = "report.html"


def render(folder: str, baseline: str = "", made: str = "") -> str:
  """The page.

  Args:
    folder: a run directory, or a folder of them.
    baseline: method, or folder of a run, that the others are compared with; "":
      single-task training where there is a run of it.
    made: when, for the foot of the page.

  Raises:
    UserError: no run, a baseline that is not there, or a library is missing.
  """
  template = _template()
  entries = report_runs.find(folder, baseline)
  finished = [entry for entry in entries if entry.finished]
  summary, measures = None, None
  if finished:
    names = {entry.workdir: entry.label for entry in finished}
    results = [entry.result for entry in finished]
    summary = report_summary.summarise(results, names, baseline)
    names = {entry.workdir: entry.name for entry in finished}
    measures = report_measures.section(results, names, summary.bases)
  title, about = report_runs.title(folder, entries)
  return template.render(
    title=title,
    about=about,
    summary=summary,
    unfinished=[
      (entry.name, report_runs.progress(entry))
      for entry in entries
      if not entry.finished
    ],
    measures=measures,
    curves=report_runs.curve_section(entries),
    runs=report_sections.of_runs(entries),
    overview=report_runs.overview(entries),
    differences=report_runs.differences(entries),
    environment=report_runs.environment(entries),
    repeats=report_runs.repeats(entries),
    made=made,
    version=metaaux.__version__,
  )


def _template() -> Any:
  # matplotlib is needed later, when much has been read already.
  for name in ("jinja2", "matplotlib"):
    if importlib.util.find_spec(name) is None:
      raise UserError(f"{name} is missing; pip install 'metaaux[report]'")
  import jinja2

  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(os.path.dirname(__file__)),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters["breakable"] = report_parts.breakable
  return environment.get_template("report.html.jinja")


def _run(argv: Sequence[str]) -> None:
  parser = cli.parser("metaaux report", __doc__)
  parser.add_argument(
    "--workdir",
    type=cli.path,
    required=True,
    metavar="DIR",
    help="run directory, or a folder of them at any depth",
  )
  parser.add_argument(
    "--output",
    type=cli.path,
    default="",
    metavar="FILE",
    help=f"file to write ({NAME} in the folder)",
  )
  parser.add_argument(
    "--baseline",
    default="",
    metavar="METHOD",
    help="method that the others are compared with, or the folder of a run "
    "(single, or else the first control)",
  )
  flags = parser.parse_args(argv)
  path = flags.output or os.path.join(flags.workdir, NAME)
  made = datetime.datetime.now().astimezone().isoformat(" ", "minutes")
  output.text(path, render(flags.workdir, flags.baseline, made))
  print(path)


def main(argv: Sequence[str]) -> int:
  """Writes the report and prints where it is; returns the exit status."""
  return cli.status_of(lambda: _run(argv), {})
