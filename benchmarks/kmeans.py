"""k-means beside scikit-learn and faiss on the CPU, in one run.

  python -m benchmarks.kmeans [--quick] [--rounds=5] [--clock=wall|cpu]

Every contestant clusters the same 50,000 rows under T scalings of the columns
from the same first centroids, with the same most iterations, and returns
labels. Prints median times, their range, ratios (below 1: metaaux is faster),
inertia, and whether the targets are met. The peers are given scaled copies of
the rows, whose making is not timed. Needs `pip install metaaux[bench]`; without
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
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

import benchmarks

NUM_ROWS = 50_000
EACH, HALF = 0.7, 0.5  # ratios wanted of every comparison, of half of them
SAME_INERTIA = 1e-3


class Row(NamedTuple):
  """One line of the table: columns, clusters, partitions, iterations."""

  d: int
  k: int
  t: int
  iterations: int

  @property
  def title(self) -> str:
    """As the table and the contestants' processes name it."""
    return f"d{self.d}-k{self.k}-T{self.t}-i{self.iterations}"


ROWS = (
  Row(64, 10, 10, 10),
  Row(64, 100, 10, 10),
  Row(256, 100, 4, 10),
  Row(256, 512, 2, 5),
)


class Problem(NamedTuple):
  """What the contestants are given."""

  x_NxD: np.ndarray
  scale_TxD: np.ndarray
  init_TxKxD: np.ndarray


def make_problem(row: Row) -> Problem:
  """A mixture of 200 overlapping Gaussians, float32, the same at each call."""
  random = np.random.default_rng(0)
  middle = 0.5 * random.standard_normal((200, row.d), np.float32)
  x_NxD = random.standard_normal((NUM_ROWS, row.d), np.float32)
  x_NxD += middle[random.integers(200, size=NUM_ROWS)]
  scale_TxD = random.random((row.t, row.d), np.float32)
  scale_TxD[0] = 1
  first = [random.choice(NUM_ROWS, row.k, replace=False) for _ in range(row.t)]
  return Problem(x_NxD, scale_TxD, x_NxD[np.stack(first)])


def inertia(problem: Problem, c_TxKxD: np.ndarray) -> list[float]:
  """Inertia of each partition, in float64, of centroids in the space of x."""
  found = []
  for scale_D, c_KxD in zip(problem.scale_TxD, c_TxKxD, strict=True):
    total = 0.0
    c_KxD = np.asarray(c_KxD * scale_D, np.float64)
    for start in range(0, NUM_ROWS, 5000):
      x_BxD = problem.x_NxD[start : start + 5000] * scale_D.astype(np.float64)
      half_BxK = (c_KxD * c_KxD).sum(1) / 2 - x_BxD @ c_KxD.T
      total += (x_BxD * x_BxD).sum() + 2 * half_BxK.min(1).sum()
    found.append(total)
  return found


Solve = Callable[[], np.ndarray]  # centroids [T, k, d], in the space of x


def _ours(row: Row, problem: Problem) -> Solve:
  import jax

  from metaaux.kmeans import kmeans

  x = jax.numpy.asarray(problem.x_NxD)
  key = jax.random.key(0)

  def solve() -> np.ndarray:
    result = kmeans(
      key,
      x,
      row.k,
      num_iters=row.iterations,
      tol=0.0,
      init=problem.init_TxKxD,
      scale=problem.scale_TxD,
    )
    return np.asarray(jax.block_until_ready(result).centroids)

  return solve


def _scaled(problem: Problem) -> list[tuple[np.ndarray, np.ndarray]]:
  scale_Tx1xD = problem.scale_TxD[:, None]
  c_TxKxD = problem.init_TxKxD * scale_Tx1xD
  return [
    (problem.x_NxD * scale_D, c_KxD)
    for scale_D, c_KxD in zip(problem.scale_TxD, c_TxKxD, strict=True)
  ]


def _sklearn(row: Row, problem: Problem) -> Solve:
  from sklearn.cluster import KMeans

  warnings.simplefilter("ignore")  # that it did not converge
  scaled = _scaled(problem)

  def solve() -> np.ndarray:
    c_TxKxD = [
      KMeans(
        row.k,
        init=c_KxD,
        n_init=1,
        algorithm="lloyd",
        tol=0,
        max_iter=row.iterations,
      )
      .fit(x_NxD)
      .cluster_centers_
      for x_NxD, c_KxD in scaled
    ]
    return np.stack(c_TxKxD) / problem.scale_TxD[:, None]

  return solve


def _faiss(row: Row, problem: Problem) -> Solve:
  import faiss

  scaled = _scaled(problem)

  def solve() -> np.ndarray:
    c_TxKxD = []
    for x_NxD, c_KxD in scaled:
      model = faiss.Kmeans(
        row.d, row.k, niter=row.iterations, max_points_per_centroid=NUM_ROWS
      )
      model.train(x_NxD, init_centroids=c_KxD)
      model.index.search(x_NxD, 1)  # labels
      c_TxKxD.append(model.centroids)
    return np.stack(c_TxKxD) / problem.scale_TxD[:, None]

  return solve


CONTESTANTS = {"metaaux": _ours, "scikit-learn": _sklearn, "faiss": _faiss}


def _serve(name: str, folder: pathlib.Path, clock: str) -> None:
  """Answers as one contestant; leaves its inertia in `folder`."""
  if clock == "cpu":
    # On one core, since threads that wait for a busy one count as work.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

  def prepare(row: Row) -> Callable[[], object]:
    problem = make_problem(row)
    solve = CONTESTANTS[name](row, problem)
    found = inertia(problem, solve())
    (folder / f"{name}-{row.title}.json").write_text(json.dumps(found))
    return solve

  benchmarks.serve({row.title: lambda row=row: prepare(row) for row in ROWS})


@contextlib.contextmanager
def _process(name: str, folder: str, clock: str) -> Iterator[subprocess.Popen]:
  """A contestant's process, ended on the way out."""
  command = [sys.executable, "-m", "benchmarks.kmeans"]
  with subprocess.Popen(
    [*command, f"--serve={name}", f"--folder={folder}", f"--clock={clock}"],
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
  rows: Sequence[Row], names: Sequence[str], rounds: int, clock: str, to: str
) -> Times:
  """Milliseconds by (contestant, title), one run of each in turn a round."""
  times = {(name, row.title): [] for row in rows for name in names}
  with contextlib.ExitStack() as stack:
    processes = {
      name: stack.enter_context(_process(name, to, clock)) for name in names
    }
    for row in rows:
      for name in names:
        _ask(processes[name], row.title, clock)  # compiles
      for _ in range(rounds):
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
  parser.add_argument("--only", default="", help="rows with this in the title")
  parser.add_argument("--serve", help=argparse.SUPPRESS)
  parser.add_argument("--folder", help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.serve:
    _serve(options.serve, pathlib.Path(options.folder), options.clock)
    return
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
  rounds = 2 if options.quick else options.rounds
  with tempfile.TemporaryDirectory() as folder:
    times = _alternate(rows, names, rounds, options.clock, folder)
    print(f"\n{options.clock} ms: median (range) of {rounds} rounds")
    _print_times(times, rows, names)
    _print_inertia(rows, names, pathlib.Path(folder))


if __name__ == "__main__":
  main()
