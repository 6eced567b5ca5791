"""Trained stages that several runs share through `config.cache`.

An ablation of a later stage need not train the first one again. The cache keeps
its states under a hash of all that made them, the very images included, so that
a run with other images, another seed or another network trains its own.
"""

from typing import Any

import jax
import numpy as np

from metaaux import messages, parallel
from metaaux.data import fingerprint
from metaaux.data.sources import lazy_images
from metaaux.parallel import hosts
from metaaux.run import batches, cache
from metaaux.run import states as states_lib
from metaaux.run.opening import Run
from metaaux.stage import Stage

Seeded = Any


def load(run: Run, stage: Stage) -> Seeded | None:
  """States at the end of a first stage that another run has trained.

  Args:
    run: data, devices and `config.cache`.
    stage: the first one, with `reuse`.

  Returns:
    The states; None where the cache lacks a seed, or the stage shares nothing.
  """
  if stage.reuse is None or not run.config.cache:
    return None
  shapes = states_lib.shapes(run, stage, None)
  wanted = parallel.host_template(shapes, run.plan)
  leaves, tree = jax.tree.flatten(wanted)
  found: list[np.ndarray] = []

  def read() -> bool:
    entries = [_entry(run, stage, s) for s in range(len(run.seeds))]
    seeds = [cache.read(entry) for entry in entries]
    if any(seed is None for seed in seeds):
      cache.check(entries[0])  # before hours of work
      return False
    found.extend(
      np.stack([seed[f"leaf_{i}"] for seed in seeds])
      for i in range(len(leaves))
    )
    return True

  if not hosts.on_first(read):
    return None
  messages.say(
    f"stage {stage.name}: trained before, taken from {run.config.cache}"
  )
  arrays = hosts.broadcast(found or leaves)
  return parallel.from_host(jax.tree.unflatten(tree, arrays), run.plan)


def store(run: Run, stage: Stage, states: Seeded) -> None:
  """Keeps the states at the end of a stage that other runs may share.

  Raises:
    UserError: the cache cannot be written.
  """
  if stage.reuse is None or not run.config.cache:
    return
  if not hosts.is_first():
    return
  leaves = jax.tree.leaves(parallel.to_host(states, run.plan))
  for s in range(len(run.seeds)):
    arrays = {f"leaf_{i}": leaf[s] for i, leaf in enumerate(leaves)}
    cache.write(_entry(run, stage, s), arrays)


def _entry(run: Run, stage: Stage, seed: int) -> cache.Entry:
  """The entry named by `stage.reuse`, the images and labels, and the seed."""
  pool = run.problem.pool
  data = {}
  for name, spec in stage.streams.items():
    rows = run.problem.positions(spec.split)[seed]
    data[name] = [
      fingerprint.of(lazy_images.whole(pool[key])[rows]) for key in sorted(pool)
    ]
    data[name] += [fingerprint.of(rows), batches.batch_size(run, spec)]
  made_of = {
    "stage": dict(stage.reuse),
    "num_steps": stage.num_steps,
    "data": data,
    "pixels": [run.problem.spec.pixel_mean, run.problem.spec.pixel_std],
    "augment": run.config.augment.to_dict(),
    "seed": int(run.seeds[seed]),
  }
  return cache.entry(run.config.cache, stage.name, made_of)
