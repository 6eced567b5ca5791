import os
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux import checkpoint
from metaaux.errors import NonFiniteError, UserError


class State(NamedTuple):
  params: Any
  optimizer: Any
  step: Any


def state():
  rng = np.random.default_rng(0)
  return State(
    params={
      "Dense_0": {
        "kernel": rng.normal(size=(2, 3)).astype(np.float32),
        "bias": np.full((3,), 0.1, np.float32),
      },
      "a/b.c": rng.normal(size=(4,)),
    },
    optimizer=(
      (),
      {"mu": jnp.asarray([1.5, -0.0], jnp.bfloat16)},
      np.asarray([True, False]),
    ),
    step=np.asarray([3, 2**31 - 1], np.int32),
  )


def template(value):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), value)


@pytest.fixture
def folder(tmp_path):
  """A folder with checkpoint 7."""
  path = str(tmp_path / "checkpoints")
  with checkpoint.open_manager(path, 2) as manager:
    checkpoint.save(manager, 7, state())
  return path


def restore(folder, expected):
  with checkpoint.open_manager(folder) as manager:
    return checkpoint.restore(manager, 7, template(expected))


def test_round_trip_keeps_every_bit(folder):
  found = restore(folder, state())
  chex.assert_trees_all_equal_structs(found, state())
  for path, value in jax.tree_util.tree_leaves_with_path(state()):
    got = dict(jax.tree_util.tree_leaves_with_path(found))[path]
    assert (got.dtype, got.shape) == (value.dtype, value.shape)
    assert got.tobytes() == np.asarray(value).tobytes()


def with_leaf(value):
  params = {**state().params, "a/b.c": value}
  return state()._replace(params=params)


@pytest.mark.parametrize(
  ("expected", "message"),
  [
    (
      with_leaf(np.zeros((5,))),
      r"step 7 has \.params\['a/b\.c'\] float64\[4\], this run expects "
      r"float64\[5\]",
    ),
    (with_leaf(np.zeros((4, 1))), r"this run expects float64\[4, 1\]"),
    (
      with_leaf(np.zeros((4,), np.float32)),
      r"\.params\['a/b\.c'\] float64\[4\], this run expects float32\[4\]",
    ),
    (
      state()._replace(params={"Dense_0": state().params["Dense_0"]}),
      r"step 7 has an unexpected \.params\['a/b\.c'\]",
    ),
    (
      state()._replace(params={**state().params, "new": np.zeros(2)}),
      r"step 7 lacks \.params\['new'\]",
    ),
    (
      state()._replace(step=(state().step,)),
      r"step 7 (lacks|has an unexpected) \.step",
    ),
  ],
)
def test_other_states_are_refused_by_name(folder, expected, message):
  with pytest.raises(UserError, match=message):
    restore(folder, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_states_that_are_not_finite_are_not_saved(folder, value):
  bad = state()
  bad.optimizer[1]["mu"] = jnp.asarray([1.0, value], jnp.bfloat16)
  with checkpoint.open_manager(folder, 2) as manager:
    with pytest.raises(
      NonFiniteError, match=r"\.optimizer\[1\]\['mu'\] .* after step 8"
    ):
      checkpoint.save(manager, 8, bad)
    assert checkpoint.latest_step(manager) == 7
  restore(folder, state())


def test_only_the_newest_are_kept(folder):
  with checkpoint.open_manager(folder, 2) as manager:
    for step in (8, 12, 100):
      checkpoint.save(manager, step, state())
    assert checkpoint.latest_step(manager) == 100
  assert sorted(os.listdir(folder)) == ["100", "12"]


def test_some_are_kept_for_good(folder):
  for steps in ((8, 12), (13, 20, 21)):
    with checkpoint.open_manager(folder, 1, keep_steps=(8, 20, 99)) as manager:
      for step in steps:
        checkpoint.save(manager, step, state())
  with checkpoint.open_manager(folder) as manager:
    assert checkpoint.all_steps(manager) == [8, 20, 21]


def test_a_step_is_saved_once(folder):
  before = os.stat(os.path.join(folder, "7")).st_mtime_ns
  with checkpoint.open_manager(folder, 2) as manager:
    checkpoint.save(manager, 7, state())
  assert os.stat(os.path.join(folder, "7")).st_mtime_ns == before


def test_a_new_folder_has_no_checkpoint(tmp_path):
  with checkpoint.open_manager(str(tmp_path / "new"), 2) as manager:
    assert checkpoint.latest_step(manager) is None


def unfinish(folder):
  """Makes the folder look as if a process had died while writing step 9."""
  os.rename(
    os.path.join(folder, "9"), os.path.join(folder, "9.orbax-checkpoint-tmp")
  )


def test_half_written_checkpoints_are_removed_by_the_writer_alone(folder):
  with checkpoint.open_manager(folder, 2) as manager:
    checkpoint.save(manager, 9, state())
  unfinish(folder)
  with checkpoint.open_manager(folder) as manager:
    assert checkpoint.latest_step(manager) == 7
  assert sorted(os.listdir(folder)) == ["7", "9.orbax-checkpoint-tmp"]
  with checkpoint.open_manager(folder, 2) as manager:
    assert checkpoint.latest_step(manager) == 7
    checkpoint.save(manager, 9, state())
  assert sorted(os.listdir(folder)) == ["7", "9"]


@pytest.mark.parametrize("name", ["_METADATA", "manifest.ocdbt", ""])
def test_damage_is_a_users_matter(folder, name):
  for parent, _, files in os.walk(folder):
    for each in files:
      if name in each:
        open(os.path.join(parent, each), "w").close()
  with pytest.raises(UserError, match=r"checkpoints/7 cannot be read .*remove"):
    restore(folder, state())
