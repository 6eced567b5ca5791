"""What it costs to learn the weights of K auxiliary tasks while training.

  python -m benchmarks.weighting [--rounds=5] [--model=resnet18] [--clock=cpu]

Trains one network on a primary and K = 2, 8, 39 auxiliary losses with uniform
weights, with ARML's updated in every 20th step, and with ARML's updated in
every step; blocks of 20 steps take turns. Prints times in terms of uniform
weights, the memory that each compiled step needs beside its arguments, and
whether each target is met. For comparison, the memory of a step that keeps the
gradients of all K tasks. Times are medians of the rounds' ratios with their
range. Ends with status 1 if a target is missed. The machine should be idle.
"""

import functools
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from metaaux import config as config_lib
from metaaux import losses, models
from metaaux.methods import optim, task_set
from metaaux.methods.arml import arml
from metaaux.methods.arml import rules as weight_rules
from metaaux.methods.optim import OptimizerOptions
from metaaux.methods.task_set import Losses, TaskSet
from metaaux.models import ModelOptions
from metaaux.stage import Array, Batch, Batches, Key

NUMBERS = (2, 8, 39)
BLOCK = 20
SELDOM_TARGET, ALWAYS_TARGET = 1.1, 2.5
_BATCH, _SIDE, _CLASSES = 64, 32, 10
MODELS = {
  "convnet": {"decoder": "linear"},
  "resnet18": {"width": 0.25},
  "wide_resnet": {"width": 0.5, "depth": 10},
}


class Bench(NamedTuple):
  """Compiled steps over one network and K tasks."""

  problem: arml.Problem
  state: Any
  batches: Batches
  plain: Any
  reweigh: Any


def make_tasks(network: models.Network, num_tasks: int) -> TaskSet:
  """Ten classes, and K binary attributes of the same images in one pass."""

  def init(key: Key, batch: Batch) -> tuple[Any, Any, tuple]:
    return *network.init(key, batch["image"]), ()

  def all_losses(
    params: Any, stats: Any, extra: Any, batches: Batches, key: Key
  ) -> Losses:
    del extra, key
    batch = batches["train"]
    logits, stats = network.apply(params, stats, batch["image"], train=True)
    primary = losses.softmax_cross_entropy(logits["primary"], batch["primary"])
    z_BxK = logits["attributes"]
    each_BxK = jax.nn.softplus(z_BxK) - batch["attributes"] * z_BxK
    return Losses(primary.mean(), each_BxK.mean(0), stats, {})

  return TaskSet(
    names=tuple(f"attribute {k}" for k in range(num_tasks)),
    streams={},
    init=init,
    losses=all_losses,
    predict=lambda params, stats, images: network.apply(
      params, stats, images, train=False
    )[0]["primary"],
  )


def make(num_tasks: int, model: str, **sizes: int) -> Bench:
  """Compiles both kinds of step.

  Args:
    num_tasks: K.
    model: of `MODELS`.
    **sizes: `batch` and `side`, of images.
  """
  config = config_lib.base()
  config.model.name = model
  config.model.update(MODELS[model])
  heads = {"primary": _CLASSES, "attributes": num_tasks}
  tasks = make_tasks(
    models.make(ModelOptions.of(config.model), heads), num_tasks
  )
  problem = arml.Problem(
    config=config,
    tasks=tasks,
    rule=weight_rules.from_config(config, tasks),
    optimizer=optim.make(OptimizerOptions.of(config.optimizer), 1000),
    axis_name=None,
    num_examples=1000,
  )
  count, side = sizes.get("batch", _BATCH), sizes.get("side", _SIDE)
  rng = np.random.default_rng(0)
  batch = {
    "image": rng.normal(size=(count, side, side, 3)).astype(np.float32),
    "primary": rng.integers(0, _CLASSES, count),
    "attributes": rng.integers(0, 2, (count, num_tasks)).astype(np.float32),
  }
  batches = {"train": jax.tree.map(jnp.asarray, batch)}
  state = arml.init_state(problem, jax.random.key(0), batches["train"], None)
  compiled = [
    jax.jit(functools.partial(arml.update, problem, due=due), donate_argnums=0)
    .lower(state, batches, jax.random.key(1), jnp.int32(0))
    .compile()
    for due in (False, True)
  ]
  return Bench(problem, state, batches, *compiled)


def keeping_gradients(bench: Bench) -> Any:
  """A compiled update of the weights that stacks the gradients of all tasks."""
  tasks = bench.problem.tasks

  def update(state: Any, batches: Batches, key: Key) -> Array:
    shared, heads = task_set.split(state.params)

    def of(shared: Any) -> tuple[Array, Array]:
      params = {**shared, **heads}
      found = tasks.losses(params, state.stats, state.extra, batches, key)
      return found.primary, found.auxiliary

    primary, auxiliary = jax.jacrev(of)(shared)
    a = state.weighting.weight_K
    slope = 0.0
    for g, G in zip(
      jax.tree.leaves(primary), jax.tree.leaves(auxiliary), strict=True
    ):
      rows = G.reshape(len(a), -1)
      slope += rows @ (g.ravel() - a @ rows)
    return a + 2 * bench.problem.config.weighting.eta * slope

  arguments = bench.state, bench.batches, jax.random.key(1)
  return jax.jit(update).lower(*arguments).compile()


def run_block(bench: Bench, every: int) -> None:
  """20 steps, of which the weights move in every `every`-th; 0: in none."""
  # The steps reuse the memory of their state.
  state = jax.tree.map(jnp.copy, bench.state)
  for step in range(BLOCK):
    due = every > 0 and step % every == 0
    update = bench.reweigh if due else bench.plain
    state, _ = update(state, bench.batches, jax.random.key(1), jnp.int32(step))
  jax.block_until_ready(state)


def times(
  bench: Bench, rounds: int, clock: Callable[[], float]
) -> Mapping[int, list[float]]:
  """Milliseconds a step, by `every`, a number a round."""
  found: dict[int, list[float]] = {0: [], BLOCK: [], 1: []}
  for every in found:
    run_block(bench, every)  # fills the allocator
  for _ in range(rounds):
    for every, values in found.items():
      run = functools.partial(run_block, bench, every)
      values.append(timing.ms_per_step(run, BLOCK, clock))
  return found


def _verdict(found: Sequence[float], target: float) -> str:
  return f"{timing.spread(found)} {timing.verdict(found, target)}"


def targets_met(found: Mapping[int, Sequence[float]]) -> bool:
  """Whether the medians of both ways of training are within their targets."""
  return all(
    statistics.median(timing.ratios(found[every], found[0])) <= target
    for every, target in ((BLOCK, SELDOM_TARGET), (1, ALWAYS_TARGET))
  )


def copy_bytes(bench: Bench) -> int:
  """Size of one copy of the shared parameters."""
  shared, _ = task_set.split(bench.state.params)
  return sum(x.nbytes for x in jax.tree.leaves(shared))


def report(bench: Bench, found: Mapping[int, Sequence[float]]) -> str:
  """A line of the table."""
  num_tasks = len(bench.problem.tasks.names)
  seldom, always = (
    timing.ratios(found[every], found[0]) for every in (BLOCK, 1)
  )
  copies = num_tasks * copy_bytes(bench) / 1e6
  return (
    f"{num_tasks:3d}  {statistics.median(found[0]):7.1f} ms"
    f"  {_verdict(seldom, SELDOM_TARGET)}  {_verdict(always, ALWAYS_TARGET)}"
    f"  {timing.megabytes(bench.plain):7.0f}"
    f" {timing.megabytes(bench.reweigh):7.0f}"
    f" {timing.megabytes(keeping_gradients(bench)):7.0f}  {copies:7.1f} MB"
  )


def main() -> None:
  """Prints the table."""
  parser = timing.parser(__doc__)
  parser.add_argument("--model", choices=tuple(MODELS), default="convnet")
  options = parser.parse_args()
  print(
    f"{options.model}, {_BATCH} images of {_SIDE}x{_SIDE}, "
    f"{timing.machine(options.clock)}"
  )
  print(
    f"{'  K   uniform':17}{'every 20th step':33}{'every step':33}"
    "MB beside arguments: uniform, ARML, all gradients kept; K gradients"
  )
  met, extra_bytes = True, []
  for num_tasks in NUMBERS:
    bench = make(num_tasks, options.model)
    found = times(bench, options.rounds, timing.CLOCKS[options.clock])
    met = targets_met(found) and met
    extra_bytes.append(
      1e6 * (timing.megabytes(bench.reweigh) - timing.megabytes(bench.plain))
    )
    print(report(bench, found), flush=True)
  growth, copy = extra_bytes[-1] - extra_bytes[0], copy_bytes(bench)
  print(
    f"What ARML needs beside uniform weights grows by {growth / 1e6:.2f} MB "
    f"from K = {NUMBERS[0]} to {NUMBERS[-1]}: "
    f"{'pass' if growth < copy else 'MISS'} (< {copy / 1e6:.2f} MB, one copy "
    "of the shared parameters)"
  )
  sys.exit(not (met and growth < copy))


if __name__ == "__main__":
  main()
