import errno
import os
import pathlib
import shutil
import sys
import types
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from damages import DAMAGES, flip, parts, truncate
from full_disk import full_disk

from metaaux.errors import DamagedError, NonFiniteError, UserError
from metaaux.run.checkpoints import format as checkpoint_format


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
  with checkpoint_format.open_manager(path, 2) as manager:
    checkpoint_format.save(manager, 7, state())
  return path


def restore(folder, expected):
  with checkpoint_format.open_manager(folder) as manager:
    return checkpoint_format.restore(manager, 7, template(expected))


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
  with checkpoint_format.open_manager(folder, 2) as manager:
    with pytest.raises(
      NonFiniteError, match=r"\.optimizer\[1\]\['mu'\] .* after step 8"
    ):
      checkpoint_format.save(manager, 8, bad)
    assert checkpoint_format.latest_step(manager) == 7
  restore(folder, state())


def test_only_the_newest_are_kept(folder):
  with checkpoint_format.open_manager(folder, 2) as manager:
    for step in (8, 12, 100):
      checkpoint_format.save(manager, step, state())
    assert checkpoint_format.latest_step(manager) == 100
  assert sorted(os.listdir(folder)) == ["100", "12"]


def test_some_are_kept_for_good(folder):
  for steps in ((8, 12), (13, 20, 21)):
    with checkpoint_format.open_manager(
      folder, 1, keep_steps=(8, 20, 99)
    ) as manager:
      for step in steps:
        checkpoint_format.save(manager, step, state())
  with checkpoint_format.open_manager(folder) as manager:
    assert checkpoint_format.all_steps(manager) == [8, 20, 21]


def test_a_step_is_saved_once(folder):
  before = os.stat(os.path.join(folder, "7")).st_mtime_ns
  with checkpoint_format.open_manager(folder, 2) as manager:
    checkpoint_format.save(manager, 7, state())
  assert os.stat(os.path.join(folder, "7")).st_mtime_ns == before


def test_a_new_folder_has_no_checkpoint(tmp_path):
  with checkpoint_format.open_manager(str(tmp_path / "new"), 2) as manager:
    assert checkpoint_format.latest_step(manager) is None


def unfinish(folder):
  """Makes the folder look as if a process had died while writing step 9."""
  os.rename(
    os.path.join(folder, "9"), os.path.join(folder, "9.orbax-checkpoint-tmp")
  )


def test_half_written_checkpoints_are_removed_by_the_writer_alone(folder):
  with checkpoint_format.open_manager(folder, 2) as manager:
    checkpoint_format.save(manager, 9, state())
  unfinish(folder)
  with checkpoint_format.open_manager(folder) as manager:
    assert checkpoint_format.latest_step(manager) == 7
  assert sorted(os.listdir(folder)) == ["7", "9.orbax-checkpoint-tmp"]
  with checkpoint_format.open_manager(folder, 2) as manager:
    assert checkpoint_format.latest_step(manager) == 7
    checkpoint_format.save(manager, 9, state())
  assert sorted(os.listdir(folder)) == ["7", "9"]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_no_damage_goes_through(folder, tmp_path, damage):
  newer = {"x": np.random.default_rng(0).normal(size=2000)}
  with checkpoint_format.open_manager(folder, 2) as manager:
    checkpoint_format.save(manager, 8, newer)
  for name, path in parts(pathlib.Path(folder, "8")).items():
    copy = tmp_path / name
    shutil.copytree(folder, copy)
    damage(copy / path.relative_to(folder))
    reports = []
    with checkpoint_format.open_manager(copy, 2) as manager:
      assert checkpoint_format.recover(manager, reports.append) == 7, name
      (line,) = reports
      assert line.startswith(f"checkpoint {copy}/8 cannot be read (")
      assert line.endswith("; it is removed, and the run goes on from step 7")
      assert checkpoint_format.all_steps(manager) == [7]


def test_a_flipped_bit_of_an_array_is_found_by_its_digest(folder):
  big = {"x": np.random.default_rng(0).normal(size=4000)}
  with checkpoint_format.open_manager(folder, 2) as manager:
    checkpoint_format.save(manager, 8, big)
  flip(parts(pathlib.Path(folder, "8"))["data"])
  with (
    checkpoint_format.open_manager(folder) as manager,
    pytest.raises(DamagedError, match=r"checkpoints/8 cannot be .*digest"),
  ):
    checkpoint_format.restore(manager, 8, template(big))


def test_a_checkpoint_without_a_digest_is_of_an_older_version(
  folder, monkeypatch
):
  with monkeypatch.context() as patch:
    patch.setattr(checkpoint_format, "_DIGEST", "['extra']")
    with checkpoint_format.open_manager(folder, 1) as manager:
      checkpoint_format.save(manager, 8, {"x": np.ones(3)})
  with checkpoint_format.open_manager(folder) as manager:
    expected = {"x": np.ones(3), "extra": np.zeros(32, np.uint8)}
    found = checkpoint_format.restore(manager, 8, template(expected))
    np.testing.assert_array_equal(found["x"], 1.0)


def test_nothing_is_removed_where_all_is_damaged(folder):
  with checkpoint_format.open_manager(folder, 2) as manager:
    checkpoint_format.save(manager, 8, state())
  for path in pathlib.Path(folder).rglob("_METADATA"):
    path.write_text("{}")
  with checkpoint_format.open_manager(folder, 2) as manager:
    with pytest.raises(
      DamagedError, match=r"points/8 cannot be read .*older one; .*--overwrite"
    ):
      checkpoint_format.recover(manager, pytest.fail)
    assert checkpoint_format.all_steps(manager) == [7, 8]


def test_the_best_is_kept_besides(folder):
  with checkpoint_format.open_manager(folder, 1, best=min) as manager:
    for step in (8, 9, 10):
      checkpoint_format.save(manager, step, state())
    assert checkpoint_format.all_steps(manager) == [7, 10]


def test_what_cannot_be_written_leaves_nothing(folder):
  with checkpoint_format.open_manager(folder, 2) as manager:
    with full_disk(), pytest.raises(OSError, match="File too large") as caught:
      checkpoint_format.save(manager, 8, state())
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(folder) == ["7"]
    checkpoint_format.save(manager, 9, state())
    assert checkpoint_format.all_steps(manager) == [7, 9]


def test_what_is_left_of_damage_may_speak_late(folder, monkeypatch):
  heard = []
  monkeypatch.setattr(sys, "unraisablehook", heard.append)
  with checkpoint_format.open_manager(folder, 2) as manager:
    checkpoint_format.save(manager, 8, state())
  assert sys.unraisablehook == heard.append  # nothing has gone wrong
  truncate(parts(pathlib.Path(folder, "8"))["manifest"])
  for _ in range(2):
    with (
      checkpoint_format.open_manager(folder) as manager,
      pytest.raises(DamagedError),
    ):
      checkpoint_format.restore(manager, 8, state())
  late, other = (
    types.SimpleNamespace(object=None, exc_value=RuntimeError(text))
    for text in ("Event loop is closed", "of somebody else")
  )
  sys.unraisablehook(late)
  sys.unraisablehook(other)
  assert heard == [other]
  assert sys.unraisablehook.args == (heard.append,)  # one hook, not two
