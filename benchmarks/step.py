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
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


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


# Huge pages for large blocks, on either side: glibc takes such a block from the
# system and gives it back at each step, and a page at a time that costs XLA a
# fifth of a VGG-16 training step, PyTorch a thirtieth.
_HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
OURS, PEER = "benchmarks.step_jax", "benchmarks.step_torch"


@contextlib.contextmanager
def _process(module: str, cache: str) -> Iterator[subprocess.Popen]:
  """A contestant's process, ended on the way out."""
  with subprocess.Popen(
    [sys.executable, "-m", module],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    env=os.environ | _HUGE_PAGES | {"JAX_COMPILATION_CACHE_DIR": cache},
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
  # Of three, since the system takes its time to hand out the first memory.
  warm = [_first_step(OURS, "meta", cache) for _ in range(3)]
  warm_secs, warm_rss = map(statistics.median, zip(*warm, strict=True))
  print("\nfresh process to the end of its first meta step")
  for name, seconds, target in (
    ("cold (empty compilation cache)", cold_secs, COLD_START_SECS),
    ("warm (median of three)", warm_secs, WARM_START_SECS),
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
  """Prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--quick", action="store_true", help="three rounds")
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
  parser.add_argument("--only", help="rows whose title has this in it")
  options = parser.parse_args()
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
