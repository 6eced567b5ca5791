"""k-means beside scikit-learn and faiss on the CPU, in one run.

  python -m benchmarks.kmeans [--quick] [--rounds=5] [--clock=wall|cpu]
                              [--devices=2]

Every contestant clusters the same 50,000 rows under T scalings of the columns
from the same first centroids, with the same most iterations, and returns
labels. Prints median times, their range, ratios (below 1: metaaux is faster),
inertia, and whether the targets are met. The peers are given scaled copies of
the rows, whose making is not timed. With --devices metaaux has its rows spread
over as many virtual devices. Needs `pip install metaaux[bench]`; without
faiss its column is left out. The machine should be idle.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.kmeans_contestants import ROWS, Row

EACH, HALF = 0.7, 0.5  # ratios wanted of every comparison, of half of them
SAME_INERTIA = 1e-3


@contextlib.contextmanager
def _process(name: str, options: Sequence[str]) -> Iterator[subprocess.Popen]:
  """A contestant's process, ended on the way out."""
  with subprocess.Popen(
    [sys.executable, "-m", "benchmarks.kmeans_contestants", name, *options],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  ) as process:
    yield process
    process.stdin.close()


def _ask(process: subprocess.Popen, title: str, clock: str) -> float:
  process.stdin.write(f"{title} 1\n")
  process.stdin.flush()
  answer = process.stdout.readline()
  if not answer:
    sys.exit(f"a process ended before its answer to {title}.")
  return json.loads(answer)[clock][0]


Times = dict[tuple[str, str], list[float]]


def _alternate(
  rows: Sequence[Row],
  names: Sequence[str],
  options: argparse.Namespace,
  folder: str,
) -> Times:
  """Milliseconds by (contestant, title), one run of each in turn a round."""
  clock = options.clock
  times = {(name, row.title): [] for row in rows for name in names}
  arguments = folder, clock, str(options.devices)
  with contextlib.ExitStack() as stack:
    processes = {
      name: stack.enter_context(_process(name, arguments)) for name in names
    }
    for row in rows:
      for name in names:
        _ask(processes[name], row.title, clock)  # compiles
      for _ in range(options.rounds):
        for name in names:
          spent = _ask(processes[name], row.title, clock)
          times[name, row.title].append(spent)
  return times


def _cell(values: Sequence[float]) -> str:
  middle = statistics.median(values)
  return f"{middle:7.0f} ({min(values):.0f}-{max(values):.0f})"


def _print_times(
  times: Times, rows: Sequence[Row], names: Sequence[str]
) -> None:
  ratios = []
  print(f"{'':20}" + "".join(f"{name:>24}{'ratio':>7}" for name in names))
  for row in rows:
    ours = times["metaaux", row.title]
    line = f"{row.title:20}"
    for name in names:
      theirs = times[name, row.title]
      # Both of a pair of neighbours in time, so that slow spells cancel.
      pairs = zip(ours, theirs, strict=True)
      ratio = statistics.median(a / b for a, b in pairs)
      line += f"{_cell(theirs):>24}{ratio:7.2f}"
      if name != "metaaux":
        ratios.append(ratio)
    print(line)
  quick = sum(ratio <= HALF for ratio in ratios)
  for met, what in (
    (max(ratios) <= EACH, f"every ratio <= {EACH}"),
    (2 * quick >= len(ratios), f"{quick} of {len(ratios)} ratios <= {HALF}"),
  ):
    print(f"{'pass' if met else 'MISS'} ({what})")


def _print_inertia(
  rows: Sequence[Row], names: Sequence[str], folder: pathlib.Path
) -> None:
  """By how much ours lies above a peer's, at most over the partitions."""
  worst = []
  for row in rows:
    found = {
      name: np.array(
        json.loads((folder / f"{name}-{row.title}.json").read_text())
      )
      for name in names
    }
    above = {
      name: float(np.max(found["metaaux"] / found[name] - 1))
      for name in names[1:]
    }
    worst += above.values()
    text = ", ".join(f"{name} {x:+.1e}" for name, x in above.items())
    print(f"{row.title:20} inertia above that of {text}")
  met = max(worst) <= SAME_INERTIA
  print(f"{'pass' if met else 'MISS'} (inertia within {SAME_INERTIA:.1%})")


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--quick", action="store_true", help="two rounds")
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
  parser.add_argument("--devices", type=int, default=1, help="of metaaux")
  parser.add_argument("--only", default="", help="rows with this in the title")
  options = parser.parse_args()
  names = ["metaaux", "scikit-learn"]
  if importlib.util.find_spec("faiss"):
    names.append("faiss")
  else:
    print("no faiss: `pip install metaaux[bench]` installs it.")
  packages = ["jax", "numpy", "scikit-learn", *names[2:]]
  packages = [f"{p}-cpu" if p == "faiss" else p for p in packages]
  versions = [f"{p} {importlib.metadata.version(p)}" for p in packages]
  print(
    f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
    *versions,
    sep=", ",
  )
  rows = [row for row in ROWS if options.only in row.title]
  options.rounds = 2 if options.quick else options.rounds
  with tempfile.TemporaryDirectory() as folder:
    times = _alternate(rows, names, options, folder)
    print(f"\n{options.clock} ms: median (range) of {options.rounds} rounds")
    _print_times(times, rows, names)
    _print_inertia(rows, names, pathlib.Path(folder))


if __name__ == "__main__":
  main()
