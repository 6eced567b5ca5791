"""What stages compute on the pool: cache, reports, functions of all images."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux import methods
from metaaux.data import augment
from metaaux.errors import UserError
from metaaux.run import directory as run_directory
from metaaux.run import opening
from metaaux.run import prepare as prepare_lib
from metaaux.stage import Prepare


@pytest.fixture(scope="module")
def run():
  return opening.open_run(tiny.config(method="single", num_seeds=2, seed=3))


@pytest.fixture(scope="module")
def stage(run):
  (stage,) = methods.make(run.config, run.problem.spec)
  return stage


def ramp(size=5):
  return {"x": np.arange(size, dtype=np.float32)}


def counted(calls, value):
  def compute():
    calls.append(value)
    return {"x": np.full(3, value, np.int32)}

  return compute


def npz_files(folder):
  return sorted(path.name for path in folder.glob("*.npz"))


@pytest.mark.parametrize(
  ("name", "makers", "computed", "files"),
  [
    ("thing", {"dim": 2, "a": "b"}, [1], 1),
    ("thing", {"a": "b", "dim": 2}, [1], 1),  # the order of keys is no matter
    ("thing", {"dim": 3, "a": "b"}, [1, 2], 2),
    ("thing", {"dim": 2}, [1, 2], 2),
    ("other", {"dim": 2, "a": "b"}, [1, 2], 2),
  ],
)
def test_cache_keeps_what_has_the_same_name_and_makers(
  run, stage, tmp_path, name, makers, computed, files
):
  pool, calls = prepare_lib.view(run, stage, None, 0, str(tmp_path)), []
  first = pool.cache("thing", {"dim": 2, "a": "b"}, counted(calls, 1))
  again = pool.cache(name, makers, counted(calls, 2))
  assert calls == computed
  np.testing.assert_array_equal(first["x"], [1, 1, 1])
  np.testing.assert_array_equal(again["x"], [computed[-1]] * 3)
  assert again.keys() == first.keys() and again["x"].dtype == np.int32
  assert len(npz_files(tmp_path / "cache")) == files
  # Nothing half-written is left.
  assert len(list((tmp_path / "cache").iterdir())) == files


def test_cache_of_other_images_is_another_file(run, stage, tmp_path):
  problem = run.problem
  image = problem.pool["image"].copy()
  image[0, 0, 0, 0] += 1
  other = run._replace(
    problem=problem._replace(pool={**problem.pool, "image": image})
  )
  calls = []
  for number, each in enumerate((run, other, run)):
    pool = prepare_lib.view(each, stage, None, 0, str(tmp_path))
    pool.cache("thing", {}, counted(calls, number))
  assert calls == [0, 1]


def test_without_a_run_directory_nothing_is_kept(run, stage, tmp_path):
  pool, calls = prepare_lib.view(run, stage, None, 0, ""), []
  for number in range(2):
    pool.cache("thing", {}, counted(calls, number))
  pool.report("thing", {"a": 1})
  assert calls == [0, 1]
  assert not list(tmp_path.iterdir())


def test_runs_share_the_cache_that_the_config_names(run, stage, tmp_path):
  config = run.config.copy_and_resolve_references()
  config.cache = str(tmp_path / "shared")
  calls = []
  for number, workdir in enumerate(("first", "second", "")):
    path = str(tmp_path / workdir) if workdir else ""
    pool = prepare_lib.view(run._replace(config=config), stage, None, 0, path)
    pool.cache("thing", {}, counted(calls, number))
  assert calls == [0]
  assert npz_files(tmp_path / "shared") and not (tmp_path / "first").exists()


@pytest.mark.parametrize("damage", ["half", "empty", "flipped", "text"])
def test_damaged_cache_is_made_again(run, stage, tmp_path, capsys, damage):
  pool, calls = prepare_lib.view(run, stage, None, 0, str(tmp_path)), []
  pool.cache("thing", {}, lambda: ramp(1000))
  (path,) = (tmp_path / "cache").glob("*.npz")
  whole = path.read_bytes()
  path.write_bytes(
    {
      "half": whole[: len(whole) // 2],
      "empty": b"",
      "flipped": whole[:900]
      + bytes(b ^ 255 for b in whole[900:940])
      + whole[940:],
      "text": b"not an archive",
    }[damage]
  )
  found = pool.cache("thing", {}, counted(calls, 7))
  assert calls == [7]
  np.testing.assert_array_equal(found["x"], [7, 7, 7])
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith(f"warning: {path} cannot be read (")
  assert line.endswith("it is made again")
  pool.cache("thing", {}, counted(calls, 8))
  assert calls == [7]  # what was made again is whole


def test_unwritable_cache_is_found_before_the_work(run, stage, tmp_path):
  (tmp_path / "file").write_text("in the way")
  config = run.config.copy_and_resolve_references()
  config.cache = str(tmp_path / "file" / "cache")
  pool = prepare_lib.view(
    run._replace(config=config), stage, None, 0, str(tmp_path)
  )
  calls = []
  with pytest.raises(UserError, match=r"cannot write .*file.*config\.cache"):
    pool.cache("thing", {}, counted(calls, 1))
  assert calls == []


def test_a_failed_write_leaves_nothing_half_done(
  run, stage, tmp_path, monkeypatch
):
  def full(file, **arrays):
    file.write(b"begin")
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(prepare_lib.np, "savez", full)
  pool = prepare_lib.view(run, stage, None, 0, str(tmp_path))
  with pytest.raises(UserError, match=r"No space left on device.*free space"):
    pool.cache("thing", {}, ramp)
  assert not list((tmp_path / "cache").iterdir())


def test_reports_are_named_by_seed(run, stage, tmp_path):
  for s in range(2):
    pool = prepare_lib.view(run, stage, None, s, str(tmp_path))
    assert pool.seed == 3 + s
    pool.report("sizes", {"seed": pool.seed, "of": [1, 2]})
  for seed in (3, 4):
    path = tmp_path / "reports" / f"sizes-seed{seed}.json"
    assert json.loads(path.read_text()) == {"seed": seed, "of": [1, 2]}
  assert len(list((tmp_path / "reports").iterdir())) == 2


def test_key_depends_on_seed_and_stage(run, stage):
  keys = [
    prepare_lib.view(run, stage._replace(name=name), None, s, "").key
    for name in ("train", "embed")
    for s in range(2)
  ]
  data = {tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys}
  assert len(data) == 4
  again = prepare_lib.view(run, stage._replace(name="train"), None, 0, "").key
  assert jnp.array_equal(
    jax.random.key_data(again), jax.random.key_data(keys[0])
  )


def test_view_is_of_its_seed(run, stage):
  pools = [prepare_lib.view(run, stage, None, s, "") for s in range(2)]
  for s, pool in enumerate(pools):
    np.testing.assert_array_equal(pool.train, run.problem.train[s])
    assert len(pool.images) == len(pool.primary) == len(pool.auxiliary)
  assert not np.array_equal(pools[0].train, pools[1].train)


@pytest.mark.parametrize("count", [None, 512, 513, 3, 1])
def test_map_equals_a_direct_application(run, stage, count):
  problem = run.problem
  rows = {name: x[:count] for name, x in problem.pool.items()}
  run = run._replace(problem=problem._replace(pool=rows))
  state = {"scale": np.float32(2)}
  pool = prepare_lib.view(run, stage, state, 0, "")

  def darkest_column(state, images):
    return images.min((1, 3)) * state["scale"]

  found = pool.map(darkest_column)
  total = len(rows["image"])
  assert found.shape == (total, rows["image"].shape[2])
  assert count or (total > 512 and total % 512)  # the last block is partial
  images = augment.normalise(jnp.asarray(rows["image"]), 0.5, 0.25)
  np.testing.assert_allclose(found, images.min((1, 3)) * 2, rtol=1e-6)


@pytest.mark.parametrize("seeds", ["loop", "vmap"])
def test_prepare_gives_every_seed_its_own(run, stage, seeds):
  config = run.config.copy_and_resolve_references()
  config.seeds = seeds
  run = opening.open_run(config)
  previous = {"w": np.float32([10, 20])}
  seeded = prepare_lib.parallel.from_host(previous, run.plan)
  shape = jax.ShapeDtypeStruct((2,), jnp.float32)
  prepared = prepare_lib.prepare(
    run,
    stage._replace(
      prepare=Prepare(
        shape, lambda pool: np.float32([pool.seed, pool.previous["w"]])
      )
    ),
    seeded,
    "",
  )
  found = prepare_lib.parallel.to_host(prepared, run.plan)
  np.testing.assert_array_equal(found, [[3, 10], [4, 20]])


@pytest.mark.parametrize(
  "value",
  [
    np.zeros(3, np.int32),
    np.zeros((2, 1), np.int32),
    np.zeros(2, np.float32),
    np.zeros(2, np.int64),
    (np.zeros(2, np.int32),),
  ],
)
def test_prepared_must_be_what_was_promised(run, stage, value):
  prepare = Prepare(jax.ShapeDtypeStruct((2,), jnp.int32), lambda pool: value)
  with pytest.raises(
    ValueError, match=r"stage train prepared .*, but promised"
  ):
    prepare_lib.prepare(run, stage._replace(prepare=prepare), None, "")


def test_a_stage_without_prepare_gets_nothing(run, stage):
  assert prepare_lib.prepare(run, stage, None, "") is None


def test_overwrite_removes_cache_and_reports(run, stage, tmp_path):
  run_directory.prepare(str(tmp_path), run.config)
  pool = prepare_lib.view(run, stage, None, 0, str(tmp_path))
  pool.cache("thing", {}, ramp)
  pool.report("sizes", {"of": [1]})
  (tmp_path / run_directory.CACHE / "thing.npz.7.partial").write_text(
    "cut short"
  )
  run_directory.prepare(str(tmp_path), run.config)
  assert (
    len(list((tmp_path / run_directory.CACHE).iterdir())) == 2
  )  # it goes on
  run_directory.prepare(str(tmp_path), tiny.config(), overwrite=True)
  assert [path.name for path in tmp_path.iterdir()] == [run_directory.CONFIG]
