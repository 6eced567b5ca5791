"""Small real problems that several tests share: digits and little networks."""

import functools
import os
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from metaaux import config as config_lib
from metaaux import methods, parallel
from metaaux.data.sources import digits, split_names
from metaaux.methods.damtl import damtl
from metaaux.methods.damtl import losses as damtl_losses
from metaaux.methods.damtl.big_task import BigTaskState
from metaaux.methods.maxl import maxl
from metaaux.methods.meta_mtl import meta_mtl
from metaaux.models import layered
from metaaux.run import batches as batches_lib
from metaaux.run import compiled_programs, opening, prepare
from metaaux.run import states as states_lib

# Methods that need several tasks.
SEVERAL = (
  "separate",
  "hard_sharing",
  "cross_stitch",
  "nddr",
  "transfer",
  "damtl",
)
_FOLDER = tempfile.TemporaryDirectory(prefix="metaaux-tests-")


@functools.cache
def domains_file():
  """Digits in three domains: as they are, as negatives, and transposed."""
  source = digits.load("", split_names.Slice("train"))
  x, y = source.images[:600], source.labels["10"][:600]
  domain = np.arange(600) % 3
  x = np.where((domain == 1)[:, None, None, None], x.max() - x, x)
  turned = np.swapaxes(x, 1, 2)
  x = np.where((domain == 2)[:, None, None, None], turned, x)
  path = os.path.join(_FOLDER.name, "domains.npz")
  names = np.array(["plain", "negative", "transposed"])
  np.savez(path, x=x, y=y, domain=domain, domain_names=names)
  return path


def of_domains():
  """Settings of a problem with a target domain."""
  return {
    "dataset": f"npz:{domains_file()}",
    "train_split": "all",
    "test_split": "all",
    "target_domain": "negative",
    "setting": "domains",
    "labels_per_class": 2,
    "weighting.every": 2,
    "domains.batch_size": 0,
  }


def of_several_tasks():
  """Settings of a problem with two tasks that share three digits."""
  return {
    "dataset": "digits",
    "primary": "10",
    "task_classes": ("0-5", "3-9"),
    "labels_per_class": 5,
    "optimizer.learning_rate": 0.1,
    "optimizer.momentum": 0.9,
  }


# What a method needs beside the common settings.
_OF_METHOD = {
  "kmeans": {"embedding.name": "pixels"},
  "prototypical": {"embedding.name": "pixels"},
  "joint": {"auxiliary_weight": 0.25},
  "meta_mtl": {"inner.learning_rate": 0.1},
  "arml": {
    "semi_supervised.tasks": ("rotation", "exemplar", "useless"),
    "weighting.every": 2,
  },
  "fine_tune": {
    "embedding.name": "acai",
    "embedding.width": 4,
    "embedding.batch_size": 16,
  },
}

# What only the variants of Meta-MTL's official code read.
OFFICIAL_CODE = {
  "inner.num_steps": 2,
  "meta_mtl.code_momentum": 0.9,
  "meta_mtl.code_weight_decay": 0.01,
  "meta_mtl.code_clip_norm": 1.0,
}


def config(**changes):
  """A config on digits that trains in a moment; keys may be dotted."""
  tiny = config_lib.base()
  tiny.update_from_flattened_dict(
    {
      "dataset": "digits",
      "labels_per_class": 40,
      "batch_size": 16,
      "num_steps": 20,
      "log_every": 5,
      "eval_every": 10,
      "checkpoint_every": 0,
      "parallel": "none",
      "model.widths": (4, 8),
      "model.hidden": 8,
      "model.lowering": "native",
      "generator.optimizer.learning_rate": 0.01,
      "partition.labels": "random",
      "partition.num_tasks": 3,
      "partition.num_classes": 5,
      "pseudo_labels.rounds": 1,
      **_OF_METHOD.get(changes.get("method"), {}),
      **(of_domains() if changes.get("method") == "fada" else {}),
      **(of_several_tasks() if changes.get("method") in SEVERAL else {}),
      **changes,
    }
  )
  config_lib.validate(tiny)
  return tiny


def in_float64(tree):
  """The tree with its float32 leaves in float64."""
  return jax.tree.map(
    lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, tree
  )


def run_steps(settings, num_steps):
  """States, metrics of every step, run and stage, by the loop's functions.

  Earlier stages take as many steps; the results are those of the last one.
  All of it is in float64 where a test is.
  """
  states, metrics, run, stage, _ = _run_stages(settings, num_steps)
  return states, metrics, run, stage


def host_states(settings, num_steps, keep=None, before=None):
  """Host states after 0, 1, ... steps of the last stage, and the rest.

  Args:
    settings: the config.
    num_steps: of the last stage.
    keep: after how many steps states are no longer kept; None: never.
    before: steps of each earlier stage; None: as many as of the last.

  Returns:
    A list of states, and metrics, run and stage of `run_steps`.
  """
  keep = num_steps if keep is None else keep
  _, metrics, run, stage, hosts = _run_stages(settings, num_steps, keep, before)
  return hosts, metrics, run, stage


def _run_stages(settings, num_steps, keep=-1, before=None):
  run = opening.open_run(settings)
  stages = methods.make(
    settings, run.problem.spec, axis_name=run.plan.axis_name
  )
  states = None
  for stage in stages:
    last = stage is stages[-1]
    steps = num_steps if last or before is None else before
    states, metrics, kept = _run_stage(
      run, stage, states, steps, keep if last else -1
    )
  return states, metrics, run, stage, kept


def _run_stage(run, stage, previous, num_steps, keep=-1):
  states = states_lib.begin(run, stage, previous, "")
  if jax.config.jax_enable_x64:
    states = in_float64(states)
    # Steps would make float32 of the bytes, each program by its own rounding.
    images = run.pool["image"].astype(jnp.float64) / 255
    run = run._replace(pool={**run.pool, "image": images})
  updates = compiled_programs.compile_updates(run, stage)
  metrics, inputs = [], None
  kept = [parallel.to_host(states, run.plan)] if keep >= 0 else []
  for step in range(num_steps):
    inputs = batches_lib.inputs_at(run, stage, step, inputs)
    states, values = updates[stage.phase(step)](
      states, inputs.value, run.pool, np.int32(step)
    )
    metrics.append(parallel.to_host(values, run.plan))
    if step < keep:
      kept.append(parallel.to_host(states, run.plan))
  return states, metrics, kept


def maxl_problem(settings, *, float64=True):
  """MAXL's fixed parts, a state and a batch; everything in float64."""
  run = opening.open_run(settings)
  problem = maxl.assemble(settings, run.problem.spec)
  batch = batches_lib.draw(
    run, run.pool, jnp.asarray(run.problem.train[0][:16]), None
  )
  state = maxl.init_state(problem, jax.random.key(0), batch, None)
  if float64:
    state, batch = in_float64((state, batch))
  return problem, state, batch


def meta_mtl_problem(**changes):
  """Meta-MTL's fixed parts, a state and a batch of each stream, in float64."""
  settings = config(method="meta_mtl", gamma=0.0, **changes)
  run = opening.open_run(settings)
  problem = meta_mtl.assemble(settings, run.problem.spec)
  (stage,) = meta_mtl.make(settings, run.problem.spec)
  labels = stage.prepare.compute(prepare.view(run, stage, None, 0, ""))
  train = run.problem.train[0]
  batches = {
    name: batches_lib.draw(run, run.pool, jnp.asarray(index), None)
    for name, index in (
      ("train", train[:16]),
      ("inner", train[16:32]),
      ("pool", np.arange(16)),
    )
  }
  state = meta_mtl.init_state(
    problem, jax.random.key(0), batches["train"], (None, jnp.asarray(labels))
  )
  return problem, *in_float64((state, batches))


def damtl_problem(method="damtl", **changes):
  """Fixed parts, a state after an untrained big task, a batch of each task."""
  settings = config(method=method, **changes)
  run = opening.open_run(settings)
  spec = run.problem.spec
  options = damtl_losses.Options(
    **{name: settings.damtl[name] for name in damtl_losses.Options._fields}
  )
  problem = damtl.assemble(settings, spec, options, None)
  batches = {
    f"task_{j}": batches_lib.draw(
      run, run.pool, jnp.asarray(run.problem.positions(f"task_{j}")[0]), None
    )
    for j in range(2)
  }
  batches["big"] = batches_lib.draw(
    run, run.pool, jnp.asarray(run.problem.positions("big")[0][:30]), None
  )
  big = layered.init(
    problem.net, jax.random.key(0), batches["task_0"]["image"], spec.num_big
  )
  state = damtl.init_state(
    problem, jax.random.key(0), batches["task_0"], BigTaskState(big, ())
  )
  return problem, state, batches
