"""What a step costs at the size of ImageNet, and what devices tell each other.

  python -m benchmarks.imagenet [--batch_sizes=32,64] [--steps=20]
  python -m benchmarks.imagenet --communication

Random images of 224 x 224 in 1,000 classes, ResNet-50 for both networks, five
auxiliary classes a class: a step of MAXL and of the single task. The first form
needs an accelerator; by images a device, it prints the median time of a step,
images a second and the peak of the device's memory. The second form compiles
the step for eight virtual devices, on small images, and adds up what is summed
over them; nothing is trained, and the sums do not depend on the images' size.
"""

import argparse
import collections
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

CLASSES, PER_CLASS = 1000, 2
METHODS = ("single", "maxl")
_WARM_UP = 3
_SIDE, _SMALL_SIDE = 224, 64
_DEVICES = 8
_BYTES = {"f32": 4, "f64": 8, "s32": 4, "u32": 4, "u8": 1, "pred": 1}


def write_images(path: str, side: int) -> None:
  """Random uint8 images and labels, as an npz source."""
  import numpy as np

  rng = np.random.default_rng(0)
  labels = np.tile(np.arange(CLASSES), PER_CLASS)
  shape = (len(labels), side, side, 3)
  train = rng.integers(0, 256, shape, np.uint8)
  np.savez(
    path,
    x_train=train,
    y_train=labels,
    x_test=train[:CLASSES],
    y_test=labels[:CLASSES],
  )


def config_of(path: str, method: str, batch_size: int) -> Any:
  """ResNet-50 on those images, SGD with momentum."""
  from metaaux import config as config_lib

  config = config_lib.base()
  config.update_from_flattened_dict(
    {
      "method": method,
      "dataset": f"npz:{path}",
      "primary": str(CLASSES),
      "psi": (5,),
      "batch_size": batch_size,
      "model.name": "resnet50",
      "model.kernel_init": "he_fan_out",
      "model.stem": "imagenet",
      "optimizer.momentum": 0.9,
      "augment.flip": True,
      # One compiled program, which can be looked into.
      "seeds": "vmap",
    }
  )
  config_lib.validate(config)
  return config


def assembled(config: Any) -> tuple[Any, tuple[Any, ...]]:
  """The compiled-to-be update of the training stage, and its arguments."""
  import numpy as np

  from benchmarks import timing
  from metaaux.run import batches

  run, stage, states, update = timing.training(config)
  inputs = batches.inputs_at(run, stage, 0, None).value
  return update, (states, inputs, run.pool, np.int32(0))


def measure(steps: int, **settings: Any) -> dict[str, Any]:
  """Median ms of a step and peak memory, in this process."""
  import jax

  update, (states, *rest) = assembled(config_of(**settings))
  times = []
  for _ in range(steps + _WARM_UP):
    begun = time.perf_counter()
    states, _ = update(states, *rest)
    jax.block_until_ready(states)
    times.append(1e3 * (time.perf_counter() - begun))
  (device,) = jax.local_devices()[:1]
  memory = device.memory_stats() or {}
  return {
    "ms": statistics.median(times[_WARM_UP:]),
    "peak": memory.get("peak_bytes_in_use", math.nan),
    "kind": device.device_kind,
  }


def in_process(steps: int, **settings: Any) -> dict[str, Any] | None:
  """`measure` in a process of its own; None where memory does not suffice."""
  request = json.dumps({"steps": steps, **settings})
  command = [sys.executable, "-m", __spec__.name, f"--request={request}"]
  done = subprocess.run(command, capture_output=True, text=True)
  if done.returncode == 0:
    return json.loads(done.stdout.splitlines()[-1])
  if "RESOURCE_EXHAUSTED" not in done.stderr:
    sys.exit(done.stderr)
  return None


def over_batches(batch_sizes: list[int], steps: int, folder: str) -> None:
  """Prints a line for each method and number of images."""
  path = os.path.join(folder, "images.npz")
  write_images(path, _SIDE)
  print("method  images  ms a step  images/s  peak GiB")
  for batch_size in batch_sizes:
    for method in METHODS:
      found = in_process(steps, path=path, method=method, batch_size=batch_size)
      line = f"{method:6}  {batch_size:6}"
      if found is None:
        print(f"{line}  does not fit", flush=True)
        continue
      rate = 1e3 * batch_size / found["ms"]
      print(
        f"{line}  {found['ms']:9.1f}  {rate:8.0f}  {found['peak'] / 2**30:8.1f}"
        f"  {found['kind']}",
        flush=True,
      )


class Sums(NamedTuple):
  """The collective operations of one kind: most are small, a few are not."""

  number: int
  small: int  # of less than a megabyte
  megabytes: float


def sums_of(program: str) -> dict[str, Sums]:
  """The collective operations of a compiled program, by kind.

  Args:
    program: XLA's text of it.
  """
  found = collections.defaultdict(list)
  pattern = r" = (.*?) (all-reduce|all-gather|reduce-scatter)\("
  # Long tuples are numbered in comments.
  for shapes, kind in re.findall(pattern, re.sub(r"/\*.*?\*/", "", program)):
    size = 0
    for dtype, dims in re.findall(r"([a-z]+\d*)\[([\d,]*)\]", shapes):
      size += _BYTES[dtype] * math.prod(map(int, filter(None, dims.split(","))))
    found[kind].append(size / 1e6)
  return {
    kind: Sums(len(sizes), sum(size < 1 for size in sizes), sum(sizes))
    for kind, sizes in found.items()
  }


def communication(folder: str) -> None:
  """Prints what one step sums over eight devices, by method."""
  path = os.path.join(folder, "images.npz")
  write_images(path, _SMALL_SIDE)
  print("method  batch norm  sums over devices  of < 1 MB  MB in all")
  for method in METHODS:
    for synchronised in (True, False):
      config = config_of(path, method, _DEVICES)
      config.update(parallel="sharding", sync_batch_norm=synchronised)
      update, arguments = assembled(config)
      found = sums_of(update.lower(*arguments).compile().as_text())
      kind = "over all" if synchronised else "of each"
      for name, sums in sorted(found.items()):
        print(
          f"{method:6}  {kind:10}  {sums.number:6} {name:10}  {sums.small:9}  "
          f"{sums.megabytes:9.1f}",
          flush=True,
        )


def main() -> None:
  """Prints one of the tables."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--batch_sizes", default="32,64")
  parser.add_argument("--steps", type=int, default=20)
  parser.add_argument("--communication", action="store_true")
  parser.add_argument("--request", default="", help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.request:
    print(json.dumps(measure(**json.loads(options.request))))
    return
  with tempfile.TemporaryDirectory() as folder:
    if options.communication:
      communication(folder)
    else:
      sizes = [int(text) for text in options.batch_sizes.split(",")]
      over_batches(sizes, options.steps, folder)


if __name__ == "__main__":
  main()
