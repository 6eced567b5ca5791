"""Step times over devices and seeds, and whether devices change a number.

  python -m benchmarks.scaling [--steps=60] [--batch_size=64] [--rounds=3]
                               [--only=seeds] [--widths=16,32]

Trains MAXL on scikit-learn's digits. First on 1, 2 and 4 devices, under pmap
and by jit over a mesh: the time of a step, and how far the hypergradient of the
first step and the parameters after ten are from those of one device. Then 1, 4
and 8 seeds, in a loop and under vmap: the time of a step of all of them, which
form is faster, and which one `seeds=auto` takes; processes of both take turns,
and a time is that of the least disturbed of the rounds. The devices are virtual
ones on the same cores, so that their times say what the division costs and not
what it gains; --accelerators takes the machine's own, of which it needs four.
Seeds run on the machine's accelerator, where it has one. Ends with status 1 if
numbers differ by more than 1e-5, or `auto` takes a form that is more than a
tenth slower. The machine should be idle.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

DEVICES = (1, 2, 4)
SEEDS = (1, 4, 8)
BOUND = 1e-5
# How much slower than the faster form may be what `auto` takes.
SLACK = 1.1
_EARLY = 10


def config_of(**changes: Any) -> Any:
  """MAXL on digits; the generator's momentum is its first gradient."""
  from metaaux import config as config_lib

  config = config_lib.base()
  config.update_from_flattened_dict(
    {
      "labels_per_class": 50,
      "model.widths": (16, 32),
      "model.hidden": 64,
      "generator.optimizer.momentum": 0.9,
      **changes,
    }
  )
  config_lib.validate(config)
  return config


def measure(steps: int, **changes: Any) -> dict[str, Any]:
  """Trains for some steps in this process, on all its devices.

  Returns:
    `ms`, the median time of a step; `auto`, whether seeds would be vmapped;
    `devices`, how many, and their `kind`; of the first seed `hypergradient` of
    the first step and `params`, the main network's parameters after ten.
  """
  import jax
  import numpy as np

  from benchmarks import timing
  from metaaux import parallel
  from metaaux.run import batches

  run, stage, states, update = timing.training(config_of(**changes))

  def flat(tree: Any) -> np.ndarray:
    leaves = jax.tree.leaves(tree)
    return np.concatenate([np.ravel(leaf[0]) for leaf in leaves])

  found, times, inputs = {}, [], None
  for step in range(steps):
    inputs = batches.inputs_at(run, stage, step, inputs)
    begun = time.perf_counter()
    states, _ = update(states, inputs.value, run.pool, np.int32(step))
    jax.block_until_ready(states)
    times.append(1e3 * (time.perf_counter() - begun))
    if step == 0:
      momentum = parallel.to_host(states, run.plan).meta_optimizer
      found["hypergradient"] = flat(momentum).tolist()
    if step == _EARLY - 1:
      params = parallel.to_host(states, run.plan).params
      found["params"] = flat(params).tolist()
  auto = parallel.plan(config_of(**{**changes, "seeds": "auto"})).vmap_seeds
  return {
    **found,
    "ms": statistics.median(times[_EARLY:]),
    "auto": auto,
    "devices": len(run.plan.devices),
    "kind": run.plan.devices[0].device_kind,
  }


def in_process(
  devices: int, steps: int, *, virtual: bool = False, **changes: Any
) -> dict[str, Any]:
  """`measure` in a process with so many devices, virtual or the machine's."""
  environment = dict(os.environ)
  if virtual:
    environment["JAX_PLATFORMS"] = "cpu"
    environment["JAX_NUM_CPU_DEVICES"] = str(devices)
  environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(devices)))
  request = json.dumps({"steps": steps, **changes})
  command = [sys.executable, "-m", "benchmarks.scaling", f"--request={request}"]
  output = subprocess.run(
    command, env=environment, stdout=subprocess.PIPE, check=True, text=True
  ).stdout
  return json.loads(output.splitlines()[-1])


def gap(values: list[float], baseline: list[float]) -> float:
  """Norm of the difference over that of the baseline."""
  square = sum((a - b) ** 2 for a, b in zip(values, baseline, strict=True))
  return (square / sum(b**2 for b in baseline)) ** 0.5


def over_devices(steps: int, batch_size: int, virtual: bool) -> bool:
  """Prints a line for each number of devices; whether all numbers agree."""
  run = functools.partial(
    in_process, steps=steps, batch_size=batch_size, virtual=virtual
  )
  one = run(1, parallel="none")
  print("devices  form      ms a step  hypergradient  parameters")
  print(f"{1:7}  {'jit':8}  {one['ms']:9.1f}", flush=True)
  met = True
  for devices in DEVICES[1:]:
    for form in ("pmap", "sharding"):
      found = run(devices, parallel=form)
      if found["devices"] != devices:
        sys.exit(f"there are {found['devices']} accelerators, not {devices}")
      gaps = [gap(found[key], one[key]) for key in ("hypergradient", "params")]
      met = met and max(gaps) <= BOUND
      print(
        f"{devices:7}  {form:8}  {found['ms']:9.1f}  {gaps[0]:13.1e}  "
        f"{gaps[1]:10.1e}",
        flush=True,
      )
  print(f"{'pass' if met else 'MISS'} (differences <= {BOUND:g})")
  return met


def over_seeds(
  steps: int, batch_size: int, rounds: int, widths: Sequence[int]
) -> bool:
  """Prints a line for each number of seeds; whether `auto` chooses well."""
  print("seeds  loop ms  vmap ms  auto")
  met = True
  for seeds in SEEDS:
    run = functools.partial(
      in_process,
      1,
      steps,
      parallel="none",
      num_seeds=seeds,
      batch_size=batch_size,
      **{"model.widths": widths},
    )
    found = {"loop": [], "vmap": []}
    for _ in range(rounds):
      for form, runs in found.items():
        runs.append(run(seeds=form))
    first = found["loop"][0]
    if seeds == SEEDS[0]:
      print(f"on {first['kind']}")
    chosen = "vmap" if first["auto"] else "loop"
    ms = {
      form: min(each["ms"] for each in runs) for form, runs in found.items()
    }
    well = ms[chosen] <= SLACK * min(ms.values())
    met = met and well
    print(
      f"{seeds:5}  {ms['loop']:7.1f}  {ms['vmap']:7.1f}  {chosen} "
      f"{'pass' if well else 'MISS'}",
      flush=True,
    )
  return met


def main() -> None:
  """Prints both tables."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--steps", type=int, default=60)
  parser.add_argument("--batch_size", type=int, default=64)
  parser.add_argument("--rounds", type=int, default=3, help="of seeds")
  parser.add_argument("--widths", default="16,32", help="channels, for seeds")
  parser.add_argument("--accelerators", action="store_true")
  parser.add_argument("--only", choices=("devices", "seeds"))
  parser.add_argument("--request", default="", help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.request:
    print(json.dumps(measure(**json.loads(options.request))))
    return
  print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
  virtual = not options.accelerators
  met = True
  if options.only != "seeds":
    met = over_devices(options.steps, options.batch_size, virtual)
  if options.only != "devices":
    widths = [int(width) for width in options.widths.split(",")]
    seeds = over_seeds(
      options.steps, options.batch_size, options.rounds, widths
    )
    met = seeds and met
  sys.exit(not met)


if __name__ == "__main__":
  main()
