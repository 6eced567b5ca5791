"""What a step draws: fresh at every step, and of no other purpose."""

import jax
import numpy as np
import pytest
import tiny

from metaaux import methods, parallel
from metaaux.run import batches as batches_lib
from metaaux.run import opening
from metaaux.stage import StreamSpec

PURPOSES = ("init", "order", "augment", "update", "prepare")


@pytest.fixture(scope="module")
def run():
  changes = {"method": "single", "num_seeds": 2, "augment.pad": 2}
  return opening.open_run(tiny.config(**changes))


def stage_of(run, **streams):
  (stage,) = methods.make(run.config, run.problem.spec)
  return stage._replace(streams=streams)


def test_the_same_images_are_augmented_anew_at_every_step(run):
  def always_the_same(state, key, batch_size):
    del key
    return state[:batch_size]

  spec = StreamSpec("train", True, batch_size=16, draw=always_the_same)
  stage = stage_of(run, train=spec)
  inputs = batches_lib.inputs_at(run, stage, 0, None)

  def step_fn(state, inputs, pool, step):
    batches = batches_lib.batches_at(run, stage, inputs, pool, step, state)
    return (batches["train"],)

  compiled = parallel.compile_step(step_fn, run.plan)
  rows = run.problem.train[:, :16].astype(np.int32)
  states = parallel.from_host(rows, run.plan)
  found = []
  for step in range(3):
    (batch,) = compiled(states, inputs.value, run.pool, np.int32(step))
    batch = parallel.gather(batch, run.plan)
    np.testing.assert_array_equal(batch["index"], rows)
    found.append(batch["image"])
  for one, other in ((0, 1), (0, 2), (1, 2)):
    # One of 25 crops is drawn again by chance.
    moved = (found[one] != found[other]).any((2, 3, 4))
    assert moved.mean() > 0.8


def test_keys_of_seeds_and_purposes_never_meet():
  keys = [
    jax.random.key_data(batches_lib.key_of(np.int32(seed), purpose)).tolist()
    for seed in range(3)
    for purpose in PURPOSES
  ]
  assert len(set(map(tuple, keys))) == len(keys)


def epochs_of(run, stage, number, name="train"):
  """The order of each epoch, of the first seed: one tuple an epoch."""
  length = batches_lib.steps_per_epoch(run, stage.streams[name])
  inputs, found = None, []
  for epoch in range(number):
    inputs = batches_lib.inputs_at(run, stage, epoch * length, inputs)
    rows = parallel.to_host(inputs.value, run.plan)["orders"][name][0]
    at = epoch * length % len(rows)
    found.append(tuple(rows[at : at + length].ravel().tolist()))
  return found


def test_no_epoch_repeats_the_order_of_another(run):
  """Over several of the blocks in which orders are made."""
  stage = stage_of(run, train=StreamSpec("train", False))
  found = epochs_of(run, stage, 200)
  assert {len(order) for order in found} == {80}
  assert len(set(found)) == 200


def test_the_order_of_an_epoch_is_its_own(run, monkeypatch):
  """Whatever other epochs its order is made together with."""
  stage = stage_of(run, train=StreamSpec("train", False))
  found = epochs_of(run, stage, 40)
  # `_block_order` is compiled for a number of epochs.
  monkeypatch.setattr(batches_lib, "_BLOCK_STEPS", 35)
  assert epochs_of(run, stage, 40) == found


def test_a_run_that_begins_later_sees_the_same_order(run):
  stage = stage_of(run, train=StreamSpec("train", False))
  step = 700
  inputs = None
  for before in range(0, step + 1, 50):
    inputs = batches_lib.inputs_at(run, stage, before, inputs)
  anew = batches_lib.inputs_at(run, stage, step, None)
  assert anew.blocks == inputs.blocks
  jax.tree.map(np.testing.assert_array_equal, anew.value, inputs.value)


def test_streams_have_orders_of_their_own(run):
  """Of the same images, and by their names: which others there are is alike."""
  names = ("train", "inner", "pool", "meta", "task_0", "task_1")
  specs = {name: StreamSpec("train", True) for name in names}
  stage = stage_of(run, **specs)
  inputs = batches_lib.inputs_at(run, stage, 0, None)
  orders = parallel.to_host(inputs.value, run.plan)["orders"]
  assert len({orders[name].tobytes() for name in names}) == len(names)
  alone = stage_of(run, pool=specs["pool"])
  value = parallel.to_host(
    batches_lib.inputs_at(run, alone, 0, None).value, run.plan
  )
  np.testing.assert_array_equal(value["orders"]["pool"], orders["pool"])
