"""Batches as a pure function of (seed, stream, step), drawn inside the step.

The decoded examples lie on the device. A step receives its number and, for each
stream, the order of examples in the current block of epochs. The order depends
on the seed, the stream and the epoch alone, so that a run that is stopped and
started again sees the same batches.
"""

import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaaux import data, parallel
from metaaux.data import augment, epoch_order
from metaaux.errors import UserError
from metaaux.parallel import image_placement
from metaaux.run.opening import Run
from metaaux.stage import Array, Batch, Batches, Key, Stage, StreamSpec

# Orders are made for several short epochs at once, so that a small data set
# does not pay for it at every other step.
_BLOCK_STEPS = 256

# Splits whose batches hide the labels.
_WITHOUT_LABELS = ("all", "unlabelled")

_PURPOSES = ("init", "order", "augment", "update", "prepare")


def key_of(seed: Array, purpose: str) -> Key:
  """Root key of one purpose; keys of different purposes never meet."""
  return jax.random.fold_in(jax.random.key(seed), _PURPOSES.index(purpose))


def _stream_key(key: Key, name: str) -> Key:
  return jax.random.fold_in(key, zlib.crc32(name.encode()) & 0x7FFFFFFF)


def steps_per_epoch(run: Run, spec: StreamSpec) -> int:
  """Whole batches in one pass over the split of a stream."""
  return run.problem.positions(spec.split).shape[1] // batch_size(run, spec)


def batch_size(run: Run, spec: StreamSpec) -> int:
  """Examples of a batch of a stream, over all devices."""
  return spec.batch_size or run.config.batch_size


def check_batches(run: Run, stages: Sequence[Stage]) -> None:
  """Refuses streams that cannot be drawn, before the first stage begins.

  Raises:
    UserError: a batch is larger than its split, or cannot be divided evenly
      among the devices; or there are no unlabelled images to learn from.
  """
  for stage in stages:
    if stage.needs_unlabelled and not _has_unlabelled(run.problem):
      raise UserError(
        f"method={run.config.method} learns from images without labels, but "
        f"all {run.problem.spec.num_examples} training images have one; keep "
        "the labels of some with labels_per_class or label_fraction, or use "
        "method=single"
      )
    for spec in stage.streams.values():
      size, parts = batch_size(run, spec), run.plan.num_shards
      found = run.problem.positions(spec.split).shape[1]
      what = f"batch_size={size} of stage {stage.name!r}"
      key = spec.size_key if spec.batch_size else "batch_size"
      if size > found:
        raise UserError(
          f"{what}, but the {spec.split} split has {found} examples; set "
          f"config.{key} to 1..{found}"
        )
      if size % parts:
        raise UserError(
          f"{what} cannot be split over {parts} devices; set config.{key} to "
          f"a multiple of {parts}, e.g. {max(1, size // parts) * parts}"
        )


def _has_unlabelled(problem: data.Problem) -> bool:
  # Of several tasks, what no task has is the big one's.
  found = problem.splits.get("unlabelled", problem.splits["all"])
  return found.shape[1] > 0


class Inputs(NamedTuple):
  """Per-seed inputs of a step, and the blocks of epochs that they hold."""

  blocks: Mapping[str, int]
  value: Any  # seeded {"seed": [], "orders": {stream: [rows, B]}}


@partial(jax.jit, static_argnames=("name", "epochs", "batch_size"))
def _block_order(
  seed: Array,
  block: Array,
  positions: Array,
  *,
  name: str,
  epochs: int,
  batch_size: int,
) -> Array:
  key = _stream_key(key_of(seed, "order"), name)
  order = partial(
    epoch_order.epoch_order, key, positions=positions, batch_size=batch_size
  )
  first = block * epochs
  rows = jax.vmap(lambda e: order(epoch=first + e))(jnp.arange(epochs))
  return rows.reshape(-1, batch_size)


def inputs_at(
  run: Run, stage: Stage, step: int, previous: Inputs | None
) -> Inputs:
  """Inputs of a step; `previous` again while its block of epochs lasts."""
  epochs, blocks = {}, {}
  for name, spec in stage.streams.items():
    length = steps_per_epoch(run, spec)
    epochs[name] = -(-_BLOCK_STEPS // length)
    blocks[name] = step // (length * epochs[name])
  if previous is not None and previous.blocks == blocks:
    return previous
  orders = {
    name: np.stack(
      [
        _block_order(
          seed,
          np.int32(blocks[name]),
          positions,
          name=name,
          epochs=epochs[name],
          batch_size=batch_size(run, spec),
        )
        for seed, positions in zip(
          run.seeds, run.problem.positions(spec.split), strict=True
        )
      ]
    )
    for name, spec in stage.streams.items()
  }
  value = parallel.from_host({"seed": run.seeds, "orders": orders}, run.plan)
  return Inputs(blocks, value)


def draw(
  run: Run, examples: Mapping[str, Array], index_B: Array, key: Key | None
) -> Batch:
  """A batch of normalised images with their labels; a key augments them."""
  images = image_placement.images(examples, index_B, run.plan)
  moves = run.config.augment.to_dict()
  noise, mode, shift = (moves.pop(name) for name in ("noise", "mode", "shift"))
  if run.problem.spec.is_image:
    moves["pad"] = augment.padding(moves["pad"], shift, images.shape[1:])
  if key is not None and any(moves.values()):
    images = augment.augment(images, key, index_B, mode=mode, **moves)
  images = normalised(run, images)
  if key is not None and noise:
    images = augment.noisy(images, key, index_B, noise)
  labels = ("primary", "auxiliary", "attributes")
  return {
    "image": images,
    **{name: examples[name][index_B] for name in labels if name in examples},
    "index": index_B,
  }


def normalised(run: Run, images: Array) -> Array:
  """Stored images as a network sees them: normalised floats."""
  spec = run.problem.spec
  return augment.normalise(images, spec.pixel_mean, spec.pixel_std)


def batches_at(
  run: Run, stage: Stage, inputs: Any, pool: Any, step: Array, state: Any
) -> Batches:
  """This device's part of every stream's batch, inside the mapped step.

  Args:
    run: data and devices.
    stage: the stage that the streams belong to.
    inputs: of this seed, see `inputs_at`.
    pool: training examples.
    step: number of the step within the stage, from 0.
    state: state of the stage, for streams that draw by it; None before there is
      one.
  """
  batches = {}
  for name, spec in stage.streams.items():
    order = inputs["orders"][name]
    index_B = order[step % len(order)]
    if spec.draw is not None and state is not None:
      key = _stream_key(key_of(inputs["seed"], "order"), name)
      key = jax.random.fold_in(key, step)
      index_B = spec.draw(state, key, batch_size(run, spec))
    index_B = parallel.shard(index_B, run.plan)

    def drawn(view: str, index_B: Array = index_B, spec: Any = spec) -> Batch:
      key = _stream_key(key_of(inputs["seed"], "augment"), view)
      key = jax.random.fold_in(key, step) if spec.augment else None
      return draw(run, pool, index_B, key)

    batch = drawn(name)
    if spec.second_view:
      batch = {**batch, "view": drawn(f"{name}/view")["image"]}
    if spec.split in _WITHOUT_LABELS:
      unknown = jnp.full_like(batch["primary"], -1)
      batch = {**batch, "primary": unknown, "auxiliary": unknown}
    batches[name] = batch
  return batches
