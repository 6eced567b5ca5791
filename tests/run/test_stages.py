"""Streams of a stage, and runs whose stages differ in what they know."""

import collections
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux import evaluate, methods, parallel, train
from metaaux.errors import UserError
from metaaux.run import batches, opening
from metaaux.run.logs import rows as rows_lib
from metaaux.stage import StreamSpec

ACAI = {
  "embedding.name": "acai",
  "embedding.width": 4,
  "embedding.num_steps": 10,
  "embedding.batch_size": 16,
}


def open_run(**changes):
  changes = {"method": "single", "augment.pad": 1, **changes}
  return opening.open_run(tiny.config(**changes))


@pytest.fixture(scope="module")
def run():
  return open_run(num_seeds=2)


def stage_of(run, **streams):
  (stage,) = methods.make(
    run.config, run.problem.spec, axis_name=run.plan.axis_name
  )
  return stage._replace(streams=streams)


def drawer(run, stage):
  """(step, state) -> the batches of all seeds, host arrays [S, B, ...]."""
  seeded = [None]

  def step_fn(state, inputs, pool, step):
    return (batches.batches_at(run, stage, inputs, pool, step, state),)

  compiled = parallel.compile_step(step_fn, run.plan)

  def at(step, state=None):
    seeded[0] = batches.inputs_at(run, stage, step, seeded[0])
    states = (state,) * len(run.seeds)
    if state is not None:
      states = parallel.from_host(
        jax.tree.map(lambda x: np.stack([x] * len(run.seeds)), state), run.plan
      )
    (found,) = compiled(states, seeded[0].value, run.pool, np.int32(step))
    return parallel.gather(found, run.plan)

  return at


def test_all_images_take_part_and_no_label_is_seen(run):
  spec = StreamSpec("all", False, batch_size=128)
  total = len(run.problem.pool["image"])
  assert total > run.problem.train.shape[1]
  length = batches.steps_per_epoch(run, spec)
  assert length == total // 128
  at = drawer(run, stage_of(run, pool=spec))
  seen = collections.Counter()
  for step in range(length):
    batch = at(step)["pool"]
    assert batch["index"].shape == (2, 128)
    assert (batch["primary"] == -1).all() and batch["primary"].dtype == np.int32
    assert (batch["auxiliary"] == -1).all()
    seen.update(batch["index"][0].tolist())
  # Each image at most once; what does not fill a batch waits for another pass.
  assert max(seen.values()) == 1 and len(seen) == length * 128
  for step in range(length, 3 * length):
    seen.update(at(step)["pool"]["index"][0].tolist())
  assert max(seen.values()) == 3
  assert len(seen) > total - 10


def test_every_image_in_each_epoch_where_batches_fit(run):
  total = len(run.problem.pool["image"])
  size = next(d for d in range(total // 8, 0, -1) if total % d == 0)
  spec = StreamSpec("all", False, batch_size=size)
  at = drawer(run, stage_of(run, pool=spec))
  length = batches.steps_per_epoch(run, spec)
  assert size > 1
  for epoch in range(2):
    found = [at(epoch * length + i)["pool"]["index"][0] for i in range(length)]
    assert sorted(np.concatenate(found)) == list(range(total))


def test_unlabelled_stream_hides_labels(run):
  at = drawer(run, stage_of(run, pool=StreamSpec("unlabelled", True)))
  batch = at(0)["pool"]
  assert (batch["primary"] == -1).all() and (batch["auxiliary"] == -1).all()
  for index, train_N in zip(batch["index"], run.problem.train, strict=True):
    assert not np.isin(index, train_N).any()


def test_second_view_is_augmented_anew(run):
  specs = {
    "moved": StreamSpec("train", True, second_view=True),
    "still": StreamSpec("train", False, second_view=True),
  }
  batch = drawer(run, stage_of(run, **specs))(3)
  alone = drawer(run, stage_of(run, moved=StreamSpec("train", True)))(3)
  assert "view" not in alone["moved"]
  moved, still = batch["moved"], batch["still"]
  np.testing.assert_array_equal(moved["image"], alone["moved"]["image"])
  np.testing.assert_array_equal(still["image"], still["view"])
  assert moved["view"].shape == moved["image"].shape
  differ = (moved["view"] != moved["image"]).any((2, 3, 4))
  assert 0.7 < differ.mean() < 1  # one of nine crops is the same


def test_labelled_streams_stay_among_labelled_images(run):
  at = drawer(
    run,
    stage_of(
      run,
      train=StreamSpec("train", True),
      pool=StreamSpec("all", True, batch_size=32),
      more=StreamSpec("train", False, batch_size=8),
    ),
  )
  for step in range(3):
    found = at(step)
    sizes = {name: batch["index"].shape for name, batch in found.items()}
    assert sizes == {"train": (2, 16), "pool": (2, 32), "more": (2, 8)}
    for s, train_N in enumerate(run.problem.train):
      for name in ("train", "more"):
        index = found[name]["index"][s]
        assert np.isin(index, train_N).all()
        labels = run.problem.pool["primary"][index]
        np.testing.assert_array_equal(found[name]["primary"][s], labels)
  assert not np.isin(found["pool"]["index"], run.problem.train).all()


def by_state(state, key, batch_size):
  return state["members"][
    jax.random.randint(key, (batch_size,), 0, state["count"])
  ]


@pytest.fixture(scope="module")
def drawn(run):
  specs = {
    name: StreamSpec("all", True, batch_size=24, draw=by_state)
    for name in ("one", "two")
  }
  return drawer(run, stage_of(run, **specs))


STATE = {"members": np.arange(100, 140, dtype=np.int32), "count": np.int32(30)}


def test_drawing_is_a_function_of_seed_stream_and_step(run, drawn):
  found = {
    (step, name): batch
    for step in (0, 1, 7)
    for name, batch in drawn(step, STATE).items()
  }
  for (step, name), batch in found.items():
    assert batch["index"].shape == (2, 24)
    assert np.isin(batch["index"], np.arange(100, 130)).all()
    again = drawn(step, STATE)[name]  # whatever was drawn in between
    for part, values in batch.items():
      np.testing.assert_array_equal(again[part], values)
  orders = {
    tuple(batch["index"][s]) for batch in found.values() for s in range(2)
  }
  assert len(orders) == 3 * 2 * 2  # steps, streams, seeds


def test_drawing_follows_the_state(drawn):
  here = drawn(3, STATE)["one"]["index"]
  moved = {**STATE, "members": STATE["members"] + 500}
  np.testing.assert_array_equal(drawn(3, moved)["one"]["index"], here + 500)


def test_drawn_batches_are_the_same_on_four_devices(drawn):
  run = open_run(num_seeds=2, parallel="pmap")
  assert run.plan.num_shards == 4
  specs = {
    name: StreamSpec("all", True, batch_size=24, draw=by_state)
    for name in ("one", "two")
  }
  other = drawer(run, stage_of(run, **specs))
  for step in (0, 5):
    here, there = drawn(step, STATE), other(step, STATE)
    for name in specs:
      for part in ("index", "primary", "image"):
        np.testing.assert_allclose(
          here[name][part], there[name][part], rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"embedding.batch_size": 5000},
      r"batch_size=5000.* 'embed'.*all split .*config\.embedding\.batch_size",
    ),
    (
      {"embedding.batch_size": 81, "partition.images": "train"},
      r"batch_size=81.* 'embed'.*train split has 80 examples; .* to 1\.\.80",
    ),
    (
      {"embedding.batch_size": 18, "parallel": "pmap"},
      r"batch_size=18.* 'embed'.*4 devices.*multiple of 4, e\.g\. 16",
    ),
  ],
)
def test_batches_of_a_stream_must_fit(tmp_path, changes, message):
  settings = tiny.config(method="fine_tune", **{**ACAI, **changes})
  with pytest.raises(UserError, match=message):
    train.train_and_evaluate(settings, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_a_later_network_must_fit_before_the_first_is_trained(tmp_path):
  kernels = {"model.padding": "VALID", "model.kernels": (3, 7)}
  settings = tiny.config(
    method="meta_mtl",
    **ACAI,
    **kernels,
    **{"partition.labels": "kmeans"},
  )
  with pytest.raises(UserError, match="too small"):
    train.train_and_evaluate(settings, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module", params=["self_training", "fine_tune"])
def finished(request, tmp_path_factory):
  """A finished run of several stages: its directory and result."""
  more = ACAI if request.param == "fine_tune" else {"pseudo_labels.rounds": 1}
  settings = tiny.config(
    method=request.param,
    num_steps=12,
    eval_every=6,
    average_last=1,
    num_seeds=2,
    **more,
  )
  workdir = tmp_path_factory.mktemp(request.param)
  return workdir, train.train_and_evaluate(settings, str(workdir))


def test_a_stage_that_knows_no_task_is_not_evaluated(finished):
  workdir, result = finished
  rows = rows_lib.read_rows(str(workdir / "metrics.jsonl"))
  stages = list(dict.fromkeys(row["stage"] for row in rows))
  tested = {r["stage"] for r in rows if r["split"] == "test"}
  if result["method"] == "fine_tune":
    assert stages == ["embed", "train"] and tested == {"train"}
    embedded = [r for r in rows if r["stage"] == "embed"]
    assert {r["split"] for r in embedded} == {"batch"}
    assert not any("accuracy" in r for r in embedded)
    assert [r["step"] for r in embedded] == [5, 5, 10, 10]  # two seeds
    assert result["steps"] == 10 + 12
  else:
    assert stages == ["round_0", "train"] and tested == {"round_0", "train"}
    assert result["steps"] == 2 * 12
  final = [r for r in rows if r["split"] == "test"][-2:]
  assert [r["total_step"] for r in final] == [result["steps"]] * 2
  assert result["per_seed"] == [r["accuracy"] for r in final]
  of_last = [
    r["accuracy"]
    for r in rows
    if (r["stage"], r["split"], r["seed"]) == ("train", "test", 0)
  ]
  assert result["best_per_seed"][0] == max(of_last)
  assert json.loads((workdir / "result.json").read_text()) == result


def test_a_finished_run_of_stages_is_evaluated_again(finished):
  workdir, result = finished
  before = sorted(path for path in workdir.rglob("*"))
  restored = evaluate.restore(str(workdir))
  assert (restored.stage.name, restored.step) == ("train", 12)
  found = evaluate.on_split(restored, "test")
  assert [row["accuracy"] for row in found] == result["final_per_seed"]
  assert sorted(path for path in workdir.rglob("*")) == before


def test_a_first_batch_can_be_had_before_there_is_a_state(run):
  at = drawer(run, stage_of(run, one=StreamSpec("all", True, 24, by_state)))
  batch = at(0, None)["one"]
  assert batch["index"].shape == (2, 24)
  assert jnp.all(batch["primary"] == -1)
