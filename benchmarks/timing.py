"""What the benchmarks of compiled steps share: clocks, ratios, verdicts."""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from metaaux import methods
from metaaux import stage as stage_lib
from metaaux.run import compiled_programs, opening, states

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def parser(description: str) -> argparse.ArgumentParser:
  """A parser with --rounds and --clock."""
  found = argparse.ArgumentParser(
    description=description,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  found.add_argument("--rounds", type=int, default=5)
  found.add_argument("--clock", choices=tuple(CLOCKS), default="wall")
  return found


def machine(clock: str) -> str:
  """Cores, load, version and clock, for the first line."""
  return (
    f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
    f"jax {jax.__version__}, {clock} time"
  )


class Training(NamedTuple):
  """The only stage of a run, at its start, and its compiled update."""

  run: opening.Run
  stage: stage_lib.Stage
  states: Any
  update: Callable[..., tuple[Any, Any]]


def training(config: Any) -> Training:
  """A config's run as the loop would begin it; nothing is written."""
  run = opening.open_run(config)
  (stage,) = methods.make(
    config, run.problem.spec, axis_name=run.plan.axis_name
  )
  update = compiled_programs.compile_update(run, stage, stage.phase(0))
  return Training(run, stage, states.begin(run, stage, None, ""), update)


def ms_per_step(
  run: Callable[[], None], steps: int, clock: Callable[[], float]
) -> float:
  """Milliseconds a step of a block of them."""
  start = clock()
  run()
  return 1e3 * (clock() - start) / steps


def ratios(values: Sequence[float], baseline: Sequence[float]) -> list[float]:
  """A ratio a round: of neighbours in time, so that slow spells cancel."""
  return [a / b for a, b in zip(values, baseline, strict=True)]


def spread(found: Sequence[float]) -> str:
  """`1.06 (0.90-1.77)`: the median and the range."""
  middle = statistics.median(found)
  return f"{middle:5.2f} ({min(found):.2f}-{max(found):.2f})"


def verdict(found: Sequence[float], target: float) -> str:
  """`pass (<= 1.5)`, by the median."""
  met = "pass" if statistics.median(found) <= target else "MISS"
  return f"{met} (<= {target:g})"


def megabytes(compiled: Any) -> float:
  """What a compiled step needs beside its arguments."""
  return compiled.memory_analysis().temp_size_in_bytes / 1e6
