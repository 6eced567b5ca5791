"""Devices and seeds: the only file that knows pmap, meshes and replicas.

It runs a function written for one seed on one device, `fn(state, inputs,
shared, arg)`, over all seeds and all devices. It makes two independent choices
that no method sees:

* devices: `pmap` or `jit` over a mesh where there are several, `jit` on one;
* seeds: `vmap` on accelerators; a loop over one compiled program on CPU, where
  batched convolutions are slow; one device takes several seeds at a time.

Values of the seeds ("seeded" below) are a tuple of trees in a loop, and one
tree with a leading seed axis under `vmap`; with several devices every leaf has
the device axis in front of that. On the host a seeded tree always has the seed
axis first and no device axis, whatever runs it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from metaaux.errors import UserError
from metaaux.parallel import hosts, memory, threads

AXIS = "devices"
Tree = Any
Seeded = Any


class Plan(NamedTuple):
  """How this run uses its devices and seeds."""

  devices: tuple[jax.Device, ...]
  form: str  # none: one device | pmap | sharding: jit over a mesh
  vmap_seeds: bool
  num_seeds: int
  sync_batch_norm: bool
  divide_pool: bool = False  # see `image_placement`

  @property
  def is_mapped(self) -> bool:
    """Whether values have a device axis."""
    return self.form != "none"

  @property
  def mesh(self) -> Mesh:
    """The mesh of all devices, along one axis."""
    return Mesh(np.asarray(self.devices), (AXIS,))

  @property
  def axis_name(self) -> str | None:
    """Name of the axis to average over, None on one device."""
    return AXIS if self.is_mapped else None

  @property
  def num_shards(self) -> int:
    """Number of parts into which a batch is split."""
    return len(self.devices) if self.is_mapped else 1


def plan(config: Any) -> Plan:
  """Chooses devices and the treatment of seeds.

  Args:
    config: `parallel` ("auto", "pmap", "sharding" or "none"), `seeds` ("auto",
      "vmap" or "loop"), `num_seeds`, `batch_size`, `sync_batch_norm`, `pool`.

  Raises:
    UserError: the batch cannot be split evenly over the devices, or the form is
      not one for several hosts.
  """
  # Of all hosts, in the same order on each.
  devices = tuple(jax.devices())
  form = _form(config.parallel, len(devices))
  if form != "none" and config.batch_size % len(devices):
    fitting = max(1, config.batch_size // len(devices)) * len(devices)
    raise UserError(
      f"batch_size={config.batch_size} cannot be split over {len(devices)} "
      f"devices; use a multiple of {len(devices)}, "
      f"e.g. --config.batch_size={fitting}"
    )
  vmap_seeds = config.seeds == "vmap" or (
    config.seeds == "auto"
    and config.num_seeds > 1
    and devices[0].platform != "cpu"
  )
  return Plan(
    devices[:1] if form == "none" else devices,
    form,
    vmap_seeds,
    config.num_seeds,
    config.sync_batch_norm,
    form != "none"
    and (
      config.pool == "divide" or (config.pool == "auto" and hosts.count() > 1)
    ),
  )


def free_memory(run: Plan) -> int | None:
  """Bytes for arrays on each device, or on a CPU on all; None: not known."""
  first = run.devices[0]
  if first.platform == "cpu":
    return memory.available()
  stats = first.memory_stats() or {}
  if "bytes_limit" not in stats:
    return None
  return stats["bytes_limit"] - stats.get("bytes_in_use", 0)


def _form(wanted: str, num_devices: int) -> str:
  """The form in which the devices run the step."""
  num_hosts = hosts.count()
  if num_hosts > 1:
    if wanted in ("none", "pmap"):
      raise UserError(
        f"parallel={wanted!r} is for one host, and there are {num_hosts}; use "
        "--config.parallel=auto"
      )
    return "sharding"
  if wanted == "auto":
    return "pmap" if num_devices > 1 else "none"
  return wanted


def pmean(tree: Tree, axis_name: str | None) -> Tree:
  """Mean of every leaf over the devices; the tree itself on one device."""
  return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def pmax(tree: Tree, axis_name: str | None) -> Tree:
  """Maximum of every leaf over the devices; the tree itself on one device."""
  return tree if axis_name is None else jax.lax.pmax(tree, axis_name)


def shard(index_B: jax.Array, run: Plan) -> jax.Array:
  """This device's part of a global batch's indices, inside the mapped step."""
  if not run.is_mapped:
    return index_B
  parts = index_B.reshape(run.num_shards, -1)
  return parts[jax.lax.axis_index(AXIS)]


def compile_step(
  fn: Callable[..., tuple], run: Plan, *, donate: bool = False
) -> Callable[..., tuple]:
  """Runs `fn` over seeds and devices.

  Args:
    fn: (state, inputs, shared, arg) -> a tuple of trees, for one seed on one
      device. `inputs` belong to the seed, `shared` (replicated) and `arg` (a
      host scalar) are common to all.
    run: the plan.
    donate: whether the memory of `state` may be reused for the results.

  Returns:
    The same function of seeded `state` and `inputs`, whose results are seeded.
  """
  donated = (0,) if donate else ()
  one = jax.vmap(fn, in_axes=(0, 0, None, None)) if run.vmap_seeds else fn
  if run.form == "pmap":
    compiled = jax.pmap(
      one,
      axis_name=AXIS,
      in_axes=(0, 0, 0, None),
      devices=run.devices,
      donate_argnums=donated,
    )
  elif run.form == "sharding":
    program = jax.jit(_over_mesh(one, run), donate_argnums=donated)
    compiled = hosts.in_turn(program)
  else:
    compiled = jax.jit(one, donate_argnums=donated)
  if run.vmap_seeds:
    return compiled
  calls = [compiled] * run.num_seeds
  if not run.is_mapped and run.devices[0].platform == "cpu":
    calls = threads.callers(compiled, run.num_seeds)

  def over_seeds(states: Seeded, inputs: Seeded, *common: Any) -> tuple:
    results = [
      call(state, own, *common)
      for call, state, own in zip(calls, states, inputs, strict=True)
    ]
    return tuple(zip(*results, strict=True))

  return over_seeds


def _over_mesh(one: Callable[..., tuple], run: Plan) -> Callable[..., tuple]:
  """Runs `one` on every device of a mesh, with values laid out as by pmap."""

  def on_device(state: Tree, inputs: Tree, shared: Tree, arg: Any) -> tuple:
    own = jax.tree.map(lambda x: x[0], (state, inputs, shared))
    return jax.tree.map(lambda x: x[None], one(*own, arg))

  split, same = PartitionSpec(AXIS), PartitionSpec()
  return jax.shard_map(
    on_device,
    mesh=run.mesh,
    in_specs=(split, split, split, same),
    out_specs=split,
    # As under pmap, replicas are equal by how they are computed.
    check_vma=False,
  )


def replicate(tree: Tree, run: Plan) -> Tree:
  """Puts a host tree on every device of the plan."""
  if not run.is_mapped:
    return jax.device_put(tree, run.devices[0])
  sharding = NamedSharding(run.mesh, PartitionSpec(AXIS))

  def copy(x: np.ndarray) -> jax.Array:
    x = np.asarray(x)
    shape = (len(run.devices), *x.shape)
    return jax.make_array_from_callback(shape, sharding, lambda _: x[None])

  return jax.tree.map(copy, tree)


def divide(x: Any, run: Plan) -> jax.Array:
  """Equal parts of the rows on all devices: [D, N / D, ...], zeros at the end.

  `x` is an array or `lazy_images.Images`; a host reads only the rows of its
  own devices.
  """
  each = -(-len(x) // run.num_shards)
  sharding = NamedSharding(run.mesh, PartitionSpec(AXIS))

  def part(index: tuple[slice, ...]) -> np.ndarray:
    first = (index[0].start or 0) * each
    rows = np.asarray(x[first : first + each])
    missing = np.zeros((each - len(rows), *x.shape[1:]), x.dtype)
    return np.concatenate([rows, missing])[None]

  shape = (run.num_shards, each, *x.shape[1:])
  return jax.make_array_from_callback(shape, sharding, part)


def from_host(tree: Tree, run: Plan) -> Seeded:
  """Seeded device values of a host tree whose first axis is the seed."""
  if run.vmap_seeds:
    return replicate(tree, run)
  return tuple(
    replicate(jax.tree.map(lambda x, s=seed: x[s], tree), run)
    for seed in range(run.num_seeds)
  )


def _first_replica(x: jax.Array, run: Plan) -> np.ndarray:
  if not run.is_mapped:
    return np.asarray(x)
  return np.asarray(x.addressable_shards[0].data)[0]


def to_host(seeded: Seeded, run: Plan) -> Tree:
  """Host copy of values that all devices share; the first axis is the seed."""
  host = jax.tree.map(lambda x: _first_replica(x, run), seeded)
  if run.vmap_seeds:
    return host
  return jax.tree.map(lambda *leaves: np.stack(leaves), *host)


def gather(seeded: Seeded, run: Plan) -> Tree:
  """Host copy of per-example values, with the shards joined: [S, B, ...]."""

  def join(x: jax.Array) -> np.ndarray:
    x = hosts.fetch(x)
    if not run.is_mapped:
      return x
    if run.vmap_seeds:
      x = np.moveaxis(x, 0, 1)  # [D, S, b, ...] -> [S, D, b, ...]
      return x.reshape(x.shape[0], -1, *x.shape[3:])
    return x.reshape(-1, *x.shape[2:])

  host = jax.tree.map(join, seeded)
  if run.vmap_seeds:
    return host
  return jax.tree.map(lambda *leaves: np.stack(leaves), *host)


def host_template(seeded: Seeded, run: Plan) -> Tree:
  """Shapes and dtypes of what `to_host` returns, from those of seeded values.

  Args:
    seeded: tree of `jax.ShapeDtypeStruct`, as `jax.eval_shape` returns them.
    run: the plan.
  """
  one = seeded if run.vmap_seeds else seeded[0]
  seeds = () if run.vmap_seeds else (run.num_seeds,)
  skip = 1 if run.is_mapped else 0
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((*seeds, *x.shape[skip:]), x.dtype), one
  )


def seeded_template(tree: Tree, run: Plan) -> Seeded:
  """Shapes and dtypes of what `from_host` returns, as `ShapeDtypeStruct`s.

  Args:
    tree: of shapes and dtypes for one seed.
    run: the plan.
  """
  lead = (run.num_shards,) if run.is_mapped else ()
  lead += (run.num_seeds,) if run.vmap_seeds else ()
  one = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype), tree
  )
  return one if run.vmap_seeds else (one,) * run.num_seeds
