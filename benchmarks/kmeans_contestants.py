"""The contestants of `benchmarks.kmeans`, one a process.

  python -m benchmarks.kmeans_contestants NAME FOLDER CLOCK DEVICES

reads titles of rows from standard input, see `benchmarks.serve`, and leaves the
inertia that it reaches in FOLDER/NAME-TITLE.json.
"""

import json
import os
import pathlib
import sys
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import benchmarks

NUM_ROWS = 50_000


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

  from metaaux.kmeans import KMeansResult, kmeans

  rows = jax.sharding.PartitionSpec("devices")
  everywhere = jax.sharding.PartitionSpec()
  mesh = jax.sharding.Mesh(np.array(jax.devices()), ("devices",))
  sharding = jax.sharding.NamedSharding(mesh, rows)
  x = jax.device_put(problem.x_NxD, sharding)
  several = jax.device_count() > 1

  def run(x: jax.Array) -> KMeansResult:
    return kmeans(
      None,
      x,
      row.k,
      num_iters=row.iterations,
      tol=0.0,
      init=problem.init_TxKxD,
      scale=problem.scale_TxD,
      axis_name="devices" if several else None,
    )

  if several:
    labels = jax.sharding.PartitionSpec(None, "devices")
    specs = KMeansResult(everywhere, labels, everywhere, everywhere)
    run = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=rows, out_specs=specs))

  return lambda: np.asarray(jax.block_until_ready(run(x)).centroids)


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


def main() -> None:
  """Answers until standard input is closed."""
  name, folder, clock, devices = sys.argv[1:]
  if clock == "cpu":
    # On one core, since threads that wait for a busy one count as work.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  if name == "metaaux":
    import jax

    jax.config.update("jax_num_cpu_devices", int(devices))

  def prepare(row: Row) -> Callable[[], object]:
    problem = make_problem(row)
    solve = CONTESTANTS[name](row, problem)
    found = inertia(problem, solve())
    path = pathlib.Path(folder) / f"{name}-{row.title}.json"
    path.write_text(json.dumps(found))
    return solve

  benchmarks.serve({row.title: lambda row=row: prepare(row) for row in ROWS})


if __name__ == "__main__":
  main()
