"""All commands under one name: `metaaux COMMAND`, or `python -m metaaux`."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from metaaux.errors import UserError, did_you_mean
from metaaux.run import cli


class Command(NamedTuple):
  """What the name of a command stands for.

  Attributes:
    module: whose `main` it is; imported when the command is given, so that
      help costs nothing.
    purpose: a sentence for --help.
  """

  module: str
  purpose: str


TRAIN = "train"
COMMANDS: Mapping[str, Command] = {
  TRAIN: Command(
    "metaaux.main", "Trains and evaluates what a config file describes."
  ),
  "evaluate": Command(
    "metaaux.evaluate", "Evaluates a run again, also on other images."
  ),
  "table": Command(
    "metaaux.experiments.table", "Compares runs in a table, paired by seed."
  ),
  "report": Command(
    "metaaux.experiments.report", "Writes all about runs as one HTML file."
  ),
  "sweep": Command(
    "metaaux.experiments.sweep",
    "Runs everything that a sweep file lists, here, by Slurm or by Ray.",
  ),
  "curves": Command(
    "metaaux.experiments.curves", "Draws the accuracy of runs by step."
  ),
  "labels": Command(
    "metaaux.experiments.labels", "Draws images at the labels that MAXL made."
  ),
  "clusters": Command(
    "metaaux.experiments.clusters", "Draws the clusters of a Meta-MTL run."
  ),
  "interpolations": Command(
    "metaaux.experiments.interpolations",
    "Draws what a run's autoencoder makes between images.",
  ),
  "event_files": Command(
    "metaaux.run.logs.event_files", "Writes a run's rows for TensorBoard."
  ),
}


def _help() -> str:
  width = max(map(len, COMMANDS)) + 2
  lines = [f"  {name:{width}}{c.purpose}" for name, c in COMMANDS.items()]
  return "\n".join(
    [
      "Learning with auxiliary tasks.",
      "",
      "  metaaux --config=maxl_digits          short for metaaux train ...",
      "  metaaux table --workdir=runs",
      "  metaaux COMMAND --help",
      "",
      "commands:",
      *lines,
    ]
  )


def _split(argv: list[str]) -> tuple[str, list[str]]:
  """The name of a command, and its arguments; flags alone are of `train`."""
  if argv in (["--help"], ["-h"]):
    return argv[0], []
  if not argv or argv[0].startswith("-"):
    return TRAIN, argv
  return argv[0], argv[1:]


def _print_or_fail(name: str) -> None:
  """Prints help, or raises UserError for a command that there is not."""
  if not name.startswith("-"):
    raise UserError(
      f"no command {name!r}{did_you_mean(name, COMMANDS)}; metaaux --help "
      "lists them"
    )
  print(_help())


def main(argv: Sequence[str]) -> int:
  """Runs the command that the first argument names; returns its exit status.

  But `train` is an absl program, which ends the process itself.
  """
  name, rest = _split(list(argv))
  if name not in COMMANDS:
    return cli.status_of(lambda: _print_or_fail(name), {})
  cli.find_code_here()
  module = importlib.import_module(COMMANDS[name].module)
  return module.run(rest) if name == TRAIN else module.main(rest)


def run() -> None:
  """Console entry point."""
  sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
  run()
