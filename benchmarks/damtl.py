"""What a step of DAMTL costs beside one of plain fine-tuning.

  python -m benchmarks.damtl [--rounds=5] [--width=0.25] [--clock=cpu]

Two tasks of ten classes, 64 images of 32x32 each, and the network of five
convolutions that configs/damtl_cifar100.py has; blocks of ten steps take turns.
Prints the time of a step in terms of fine-tuning's ("transfer"), as the median
of the rounds' ratios with their range, for DAMTL as the paper has it and for
its variants, and whether the target is met: 1.5 for the first line of each
width. Ends with status 1 if it is missed. The machine should be idle.
"""

import functools
import statistics
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from metaaux import config as config_lib
from metaaux import methods
from metaaux.stage import Spec

BLOCK = 10
TARGET = 1.5
BASELINE = "transfer"
_BATCH, _SIDE, _CLASSES, _BIG = 64, 32, 10, 100

# By name: method, and what differs from the default config.
CONTESTANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
  BASELINE: ("transfer", {}),
  "damtl": ("damtl", {}),
  "without alignment": ("damtl", {"damtl.align": "none"}),
  "masks of filters": ("damtl", {"damtl.mask": "filter"}),
  "rbf kernel": ("damtl", {"damtl.align": "rbf"}),
  "paired": ("damtl", {"damtl.pairing": "paired"}),
  "two samples": ("damtl", {"damtl.pairing": "twosample"}),
}


class Bench(NamedTuple):
  """A compiled step, a state that it may not consume, and its batches."""

  step: Any
  state: Any
  batches: Any


def make(
  method: str, changes: Mapping[str, Any], width: float, **sizes: int
) -> Bench:
  """Compiles the step of a method.

  Args:
    method: of two tasks.
    changes: of the config, keys dotted.
    width: of the network.
    **sizes: `batch` and `side`, of images.
  """
  count, side = sizes.get("batch", _BATCH), sizes.get("side", _SIDE)
  config = config_lib.base()
  config.update_from_flattened_dict(
    {
      "method": method,
      "batch_size": count,
      "model.widths": (64, 128, 256, 512, 512)[: side.bit_length() - 1],
      "model.hidden": 512,
      "model.width": width,
      "optimizer.momentum": 0.9,
      **changes,
    }
  )
  spec = Spec(
    input_shape=(side, side, 3),
    psi=(1,) * (2 * _CLASSES),
    num_examples=1000,
    has_auxiliary=False,
    groups=(0,) * _CLASSES + (1,) * _CLASSES,
    origins=tuple(range(2 * _CLASSES)),
    num_big=_BIG,
  )
  rng = np.random.default_rng(0)
  batches = {
    name: {
      "image": rng.normal(size=(count, side, side, 3)).astype(np.float32),
      "primary": rng.integers(0, _CLASSES, count, np.int32) + offset,
      "auxiliary": rng.integers(0, _BIG, count, np.int32),
    }
    for name, offset in (("task_0", 0), ("task_1", _CLASSES), ("big", 0))
  }
  stages = methods.make(config, spec)
  batches = jax.tree.map(
    jnp.asarray,
    {name: batches[name] for name in (*stages[-1].streams, "big")},
  )
  state = None
  for stage in stages:
    state = stage.init(jax.random.key(0), batches["task_0"], state)
  own = {name: batches[name] for name in stages[-1].streams}
  step = (
    jax.jit(stages[-1].updates["update"], donate_argnums=0)
    .lower(state, own, jax.random.key(1), jnp.int32(0))
    .compile()
  )
  return Bench(step, state, own)


def run_block(bench: Bench) -> None:
  """Ten steps, each of which reuses the memory of the state."""
  state = jax.tree.map(jnp.copy, bench.state)
  for step in range(BLOCK):
    state, _ = bench.step(
      state, bench.batches, jax.random.key(1), jnp.int32(step)
    )
  jax.block_until_ready(state)


def times(
  benches: Mapping[str, Bench], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
  """Milliseconds a step, by name, a number a round."""
  found: dict[str, list[float]] = {name: [] for name in benches}
  for bench in benches.values():
    run_block(bench)  # fills the allocator
  for _ in range(rounds):
    for name, bench in benches.items():
      run = functools.partial(run_block, bench)
      found[name].append(timing.ms_per_step(run, BLOCK, clock))
  return found


def line(name: str, bench: Bench, found: Mapping[str, list[float]]) -> str:
  """A line of the table."""
  of = timing.ratios(found[name], found[BASELINE])
  verdict = timing.verdict(of, TARGET) if name == "damtl" else ""
  return (
    f"{name:18} {statistics.median(found[name]):8.1f} ms"
    f" {timing.spread(of):20}{verdict:18}"
    f"{timing.megabytes(bench.step):6.0f} MB"
  )


def main() -> None:
  """Prints a table for each width."""
  parser = timing.parser(__doc__)
  parser.add_argument("--width", type=float, action="append")
  options = parser.parse_args()
  print(
    f"two tasks, {_BATCH} images of {_SIDE}x{_SIDE} each, "
    f"{timing.machine(options.clock)}; memory beside the arguments"
  )
  met = True
  for width in options.width or [0.25, 1.0]:
    benches = {
      name: make(*contestant, width) for name, contestant in CONTESTANTS.items()
    }
    found = times(benches, options.rounds, timing.CLOCKS[options.clock])
    print(f"width {width:g}")
    for name, bench in benches.items():
      print(line(name, bench, found), flush=True)
    ratios = timing.ratios(found["damtl"], found[BASELINE])
    met = met and statistics.median(ratios) <= TARGET
  sys.exit(not met)


if __name__ == "__main__":
  main()
