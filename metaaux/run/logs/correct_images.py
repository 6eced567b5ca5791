"""correct/STEP.npz of a run: on which test images each seed was right.

A run keeps a bit for each image in the evaluations that the reported accuracy
averages, so that its interval can cover the test images, too
(`confidence_intervals`).
"""

import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaaux import files
from metaaux.data import fingerprint
from metaaux.run import confidence_intervals
from metaaux.run import directory as run_directory

# What is no longer whole, or never was.
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile)


class Correct(NamedTuple):
  """The values whose mean is the reported accuracy.

  Attributes:
    seeds: numbers of the seeds.
    shares: float64 [S, n], share of the averaged evaluations in which the seed
      was right on the image.
    positions: int32 [S, n], positions of the images in the test set.
    test: digest of the labels, which identifies the test set.
  """

  seeds: tuple[int, ...]
  shares: np.ndarray
  positions: np.ndarray
  test: str


def is_kept(config: Any, step: int, num_steps: int) -> bool:
  """Whether the result will average the evaluation at this step.

  Args:
    config: `eval_every`, `average_last`.
    step: at which a stage is evaluated.
    num_steps: of the stage, the last one.
  """
  every = config.eval_every or num_steps
  later = -(-num_steps // every) - -(-step // every)
  return later < config.average_last


def write(
  workdir: str,
  step: int,
  correct_SxN: np.ndarray,
  positions_SxN: np.ndarray,
  labels: np.ndarray,
) -> None:
  """Keeps an evaluation if the disk has room for it.

  Args:
    workdir: of the run.
    step: updates of all stages.
    correct_SxN: whether each seed was right on each image.
    positions_SxN: positions of the images in the test set.
    labels: of the whole test set.
  """
  path = _path(workdir, step)
  arrays = {
    "correct": np.packbits(correct_SxN, axis=1),
    "positions": _short(positions_SxN),
    "images": np.asarray(correct_SxN.shape[1]),
    "test": np.asarray(fingerprint.of(labels)),
  }
  try:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with files.replacing(path) as file:
      np.savez_compressed(file, **arrays)
  except OSError:
    pass  # who makes the result says so


def read(workdir: str, result: Mapping[str, Any]) -> Correct | None:
  """The values behind a result; None where they are not, or no longer, known.

  Args:
    workdir: of the run.
    result: `seeds`, `per_seed`, `averaged_evaluations` as in result.json.
  """
  folder = os.path.join(workdir, run_directory.CORRECT)
  if not os.path.isdir(folder):
    return None
  names = sorted(n for n in os.listdir(folder) if n.endswith(".npz"))
  names = names[-result.get("averaged_evaluations", 1) :]
  try:
    found = [_read(os.path.join(folder, name)) for name in names]
    shares = np.mean([each.pop("correct") for each in found], axis=0)
    # Files of other evaluations than the averaged ones have another mean.
    if (
      len(shares) != len(result["per_seed"])
      or np.abs(shares.mean(1) - result["per_seed"]).max() > 1e-9
    ):
      return None
  except _UNREADABLE:
    return None
  first = found[0]
  if not all(
    np.array_equal(first[key], each[key]) for each in found for key in first
  ):
    return None
  return Correct(
    tuple(result["seeds"]), shares, first["positions"], str(first["test"])
  )


def half_width(found: Correct | None) -> float | None:
  """Half an interval of the accuracy, over seeds and images; None: unknown."""
  if found is None:
    return None
  return confidence_intervals.of_shares(found.shares, found.positions)


def half_width_of_difference(
  ours: Correct | None, theirs: Correct | None, seeds: Sequence[int]
) -> float | None:
  """Half an interval of a paired difference, over seeds and images.

  Returns:
    None where either side is not known, or the sides were tested on different
    images.
  """
  if ours is None or theirs is None or ours.test != theirs.test:
    return None
  one, two = (
    [found.seeds.index(seed) for seed in seeds] for found in (ours, theirs)
  )
  positions = ours.positions[one]
  if not np.array_equal(positions, theirs.positions[two]):
    return None
  gap = ours.shares[one] - theirs.shares[two]
  return confidence_intervals.of_differences(gap, positions)


def _path(workdir: str, step: int) -> str:
  return os.path.join(workdir, run_directory.CORRECT, f"{step:010d}.npz")


def _short(positions_SxN: np.ndarray) -> np.ndarray:
  """Nothing, where each seed is tested on 0 .. n - 1."""
  order = np.arange(positions_SxN.shape[1])
  if (positions_SxN == order[None]).all():
    return np.zeros((len(positions_SxN), 0), np.int32)
  return positions_SxN


def _read(path: str) -> dict[str, np.ndarray]:
  with files.open_regular(path) as file, np.load(file) as stored:
    found = {key: stored[key] for key in stored}
  number = int(found.pop("images"))
  bits = np.unpackbits(found["correct"], axis=1, count=number)
  positions = found["positions"]
  if not positions.shape[1]:
    positions = np.broadcast_to(
      np.arange(number, dtype=np.int32), (len(bits), number)
    )
  return found | {"correct": bits.astype(np.float64), "positions": positions}
