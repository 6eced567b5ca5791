"""Training and meta steps beside PyTorch on the CPU, in one run.

  python -m benchmarks.step [--quick] [--rounds=7]

Prints median times, their range, the ratio to PyTorch (below 1: metaaux is
faster), start-up times, peak memory, and whether each target is met. Needs
`pip install metaaux[bench]`. The machine should be idle.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import Run, serve
from metaaux import hypergrad, losses, models

Array = jax.Array

BATCH = 32
PSI = (5,) * 20
STEP_SIZE = 0.01
ENTROPY_WEIGHT = 0.2


class Row(NamedTuple):
  """One line of the table: our contestant, the peer's, and the ratio wanted."""

  title: str
  ours: str
  peer: str
  target: float


ROWS = (
  Row("VGG-16 forward", "forward", "forward", 0.85),
  Row("VGG-16 train step", "train", "train", 1.0),
  Row("meta step / .backward()", "meta", "meta_backward", 0.75),
  Row("meta step / autograd.grad", "meta", "meta_grad", 0.85),
  Row("small ConvNet train step", "convnet", "convnet", 1.0),
)
WARM_START_SECS, COLD_START_SECS = 6.0, 45.0


def _network(name: str, heads: dict[str, int]) -> models.Network:
  return models.make(
    types.SimpleNamespace(
      name=name,
      width=1.0,
      lowering="auto",
      widths=(32, 64),
      kernels=(5, 4),
      padding="VALID",
      hidden=128,
      batch_norm=False,
    ),
    heads,
  )


def _batch(side: int, channels: int, classes: int) -> dict[str, Array]:
  draw = np.random.default_rng(0).normal(size=(BATCH, side, side, channels))
  return {
    "image": jnp.asarray(draw, jnp.float32),
    "primary": jnp.arange(BATCH) % classes,
  }


def _vgg() -> tuple[models.Network, Any, Any, dict[str, Array]]:
  network = _network("vgg16", {"primary": len(PSI), "auxiliary": sum(PSI)})
  batch = _batch(32, 3, len(PSI))
  return network, *network.init(jax.random.key(0), batch["image"]), batch


def _joint_loss(logits: dict[str, Array], primary: Array, soft: Array) -> Array:
  return jnp.mean(
    losses.focal_loss(logits["primary"], primary)
    + losses.focal_loss(logits["auxiliary"], soft)
  )


def _descend(params: Any, gradient: Any) -> Any:
  return jax.tree.map(lambda p, g: p - STEP_SIZE * g, params, gradient)


def forward() -> Run:
  """Logits of a batch and updated running statistics, no gradient."""
  network, params, stats, batch = _vgg()
  step = jax.jit(lambda p, s, x: network.apply(p, s, x, train=True))
  return lambda: jax.block_until_ready(step(params, stats, batch["image"]))


def train() -> Run:
  """One SGD step of both tasks on given soft labels."""
  network, params, stats, batch = _vgg()
  soft = jax.nn.softmax(_batch(1, sum(PSI), 1)["image"][:, 0, 0])

  def loss(params: Any, stats: Any, batch: Any, soft: Array) -> Any:
    logits, stats = network.apply(params, stats, batch["image"], train=True)
    return _joint_loss(logits, batch["primary"], soft), stats

  def step(params: Any, stats: Any, *given: Any) -> tuple[Any, Any]:
    gradient, stats = jax.grad(loss, has_aux=True)(params, stats, *given)
    return _descend(params, gradient), stats

  return _repeat(step, (params, stats), batch, soft)


def meta() -> Run:
  """One step of MAXL's label generator, through a virtual SGD step."""
  network, params, stats, batch = _vgg()
  generator = _network("vgg16", {"labels": sum(PSI)})
  meta_params, meta_stats = generator.init(jax.random.key(1), batch["image"])
  allowed = losses.class_mask(batch["primary"], PSI)

  def labels(meta_params: Any, image: Array) -> Array:
    logits, _ = generator.apply(meta_params, meta_stats, image, train=True)
    return losses.masked_softmax(logits["labels"], allowed)

  def inner_loss(params: Any, soft: Array, batch: Any) -> Array:
    logits, _ = network.apply(params, stats, batch["image"], train=True)
    return _joint_loss(logits, batch["primary"], soft)

  def outer_loss(params: Any, soft: Array, batch: Any) -> Array:
    logits, _ = network.apply(params, stats, batch["image"], train=True)
    primary = losses.focal_loss(logits["primary"], batch["primary"]).mean()
    return primary - ENTROPY_WEIGHT * losses.marginal_entropy(soft)

  gradient_of = hypergrad.hypergradient(
    inner_loss, outer_loss, inner_lr=STEP_SIZE, estimator="exact"
  )

  def step(meta_params: Any, params: Any, batch: Any) -> tuple[Any]:
    # The labels are the meta-parameters, and their gradient is pulled back
    # through the generator once; as a function of the generator's parameters
    # each of the two losses would go through it.
    soft, pullback = jax.vjp(lambda m: labels(m, batch["image"]), meta_params)
    inner = jax.tree.map(lambda x: x[None], batch)
    _, slope = gradient_of(params, soft, inner, batch)
    return (_descend(meta_params, *pullback(slope)),)

  return _repeat(step, (meta_params,), params, batch)


def convnet() -> Run:
  """One SGD step of the small network on 28x28 images, cross-entropy."""
  network, batch = _network("convnet", {"primary": 10}), _batch(28, 1, 10)
  params, _ = network.init(jax.random.key(0), batch["image"])

  def loss(params: Any, batch: Any) -> Array:
    logits, _ = network.apply(params, {}, batch["image"], train=True)
    return losses.softmax_cross_entropy(
      logits["primary"], batch["primary"]
    ).mean()

  def step(params: Any, batch: Any) -> tuple[Any]:
    return (_descend(params, jax.grad(loss)(params, batch)),)

  return _repeat(step, (params,), batch)


def _repeat(step: Any, state: tuple[Any, ...], *constants: Any) -> Run:
  """Runs a step from the state that it last returned, which is donated."""
  step = jax.jit(step, donate_argnums=tuple(range(len(state))))

  def run() -> None:
    nonlocal state
    state = jax.block_until_ready(step(*state, *constants))

  return run


CONTESTANTS = {
  "forward": forward,
  "train": train,
  "meta": meta,
  "convnet": convnet,
}
OURS, PEER = "benchmarks.step", "benchmarks.torch_step"


@contextlib.contextmanager
def _process(module: str, cache: str) -> Iterator[subprocess.Popen]:
  """A contestant's process, ended on the way out."""
  arguments = ["--serve"] if module == OURS else []
  with subprocess.Popen(
    [sys.executable, "-m", module, *arguments],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    env=os.environ | {"JAX_COMPILATION_CACHE_DIR": cache},
    text=True,
  ) as process:
    yield process
    process.stdin.close()


def _ask(process: subprocess.Popen, name: str, repeats: int) -> dict[str, Any]:
  process.stdin.write(f"{name} {repeats}\n")
  process.stdin.flush()
  answer = process.stdout.readline()
  if not answer:
    sys.exit(f"the process of {name!r} ended before its answer.")
  return json.loads(answer)


def _first_step(module: str, name: str, cache: str) -> tuple[float, float]:
  """Seconds from start to the end of a first step, MiB after three more."""
  start = time.perf_counter()
  with _process(module, cache) as process:
    _ask(process, name, 1)
    seconds = time.perf_counter() - start
    return seconds, _ask(process, name, 3)["rss"]


Times = dict[tuple[str, str], list[float]]


def _alternate(
  rounds: int, rows: Sequence[Row], clock: str, cache: str
) -> Times:
  """Milliseconds of each contestant, by (module, name), one median a round."""
  names = dict.fromkeys(
    pair for row in rows for pair in ((OURS, row.ours), (PEER, row.peer))
  )
  times = {pair: [] for pair in names}
  with _process(OURS, cache) as ours, _process(PEER, cache) as peer:
    sides = {OURS: ours, PEER: peer}
    for module, name in names:
      _ask(sides[module], name, 2)  # compiles, fills the allocators
    for _ in range(rounds):
      for module, name in names:
        repeats = 20 if name == "convnet" else 3
        answer = _ask(sides[module], name, repeats)
        times[module, name].append(statistics.median(answer[clock]))
  return times


def _verdict(value: float, target: float) -> str:
  return f"{'pass' if value <= target else 'MISS'} (<= {target:g})"


def _cell(values: Sequence[float]) -> str:
  middle = statistics.median(values)
  return f"{middle:8.1f} ({min(values):.1f}-{max(values):.1f})"


def _print_times(times: Times, rows: Sequence[Row], clock: str) -> None:
  print(f"\n{clock} ms: median (range) of the rounds")
  print(f"{'':28}{'metaaux':>26}{'PyTorch':>26}{'ratio':>7}")
  for row in rows:
    ours, peer = times[OURS, row.ours], times[PEER, row.peer]
    # Both of a pair of neighbours in time, so that slow spells cancel.
    ratio = statistics.median(a / b for a, b in zip(ours, peer, strict=True))
    print(
      f"{row.title:28}{_cell(ours):>26}{_cell(peer):>26}{ratio:7.2f}  "
      f"{_verdict(ratio, row.target)}"
    )


def _print_start_and_memory(cache: str) -> None:
  cold_secs, cold_rss = _first_step(OURS, "meta", cache)
  warm_secs, warm_rss = _first_step(OURS, "meta", cache)
  print("\nfresh process to the end of its first meta step")
  for name, seconds, target in (
    ("cold (empty compilation cache)", cold_secs, COLD_START_SECS),
    ("warm", warm_secs, WARM_START_SECS),
  ):
    print(f"{name:32}{seconds:7.1f} s   {_verdict(seconds, target)}")
  print("\nlargest resident set in MiB after four steps, fresh process")
  print(f"{'metaaux, meta step, cold':32}{cold_rss:7.0f}")
  print(f"{'metaaux, meta step, warm':32}{warm_rss:7.0f}")
  for name in ("meta_backward", "meta_grad"):
    _, rss = _first_step(PEER, name, cache)
    print(f"{'PyTorch, ' + name:32}{rss:7.0f}")


def _print_setting() -> None:
  model = platform.processor() or platform.machine()
  with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
    names = [x for x in lines if x.startswith("model name")]
    model = names[0].split(":")[1].strip() if names else model
  load = os.getloadavg()[0]
  print(f"{model}, {os.cpu_count()} cores, load {load:.1f}")
  versions = {
    name: importlib.metadata.version(name)
    for name in ("jax", "jaxlib", "flax", "numpy", "torch")
  }
  versions["python"] = platform.python_version()
  print(", ".join(f"{name} {version}" for name, version in versions.items()))


def main() -> None:
  """Prints the table, or serves one side of it."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--quick", action="store_true", help="three rounds")
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
  parser.add_argument("--only", help="rows whose title has this in it")
  parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.serve:
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    serve(CONTESTANTS)
    return
  if importlib.util.find_spec("torch") is None:
    print("no torch: `pip install metaaux[bench]` installs the peer.")
    return
  _print_setting()
  rows = [row for row in ROWS if (options.only or "") in row.title]
  with tempfile.TemporaryDirectory() as cache:
    if not options.only:
      _print_start_and_memory(cache)
    rounds = 3 if options.quick else options.rounds
    times = _alternate(rounds, rows, options.clock, cache)
  _print_times(times, rows, options.clock)


if __name__ == "__main__":
  main()
