import json
import os
import re

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux import config as config_lib
from metaaux import data, evaluate, losses, methods, train
from metaaux.data.sources import digits, split_names
from metaaux.errors import Stopped
from metaaux.run import opening, scoring
from metaaux.run.logs import rows as rows_lib
from metaaux.stage import StreamSpec


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """The directory of a finished run of two seeds on four devices."""
  workdir = str(tmp_path_factory.mktemp("run"))
  settings = tiny.config(
    method="single",
    num_seeds=2,
    parallel="pmap",
    meta_fraction=0.25,
    extra_test=("digits",),
  )
  train.train_and_evaluate(settings, workdir)
  return workdir


def last_rows(workdir):
  """Rows of the last evaluation by split, one a seed."""
  rows = rows_lib.read_rows(os.path.join(workdir, "metrics.jsonl"))
  last = [row for row in rows if row["step"] == rows[-1]["step"]]
  return {
    split: [row for row in last if row["split"] == split]
    for split in ("train", "meta", "test")
  }


def command(workdir, *flags, capsys):
  status = evaluate.main([f"--workdir={workdir}", *flags])
  found = capsys.readouterr()
  return status, found.out, found.err


@pytest.mark.parametrize("split", ["train", "meta", "test"])
def test_says_again_what_the_run_said(finished, split):
  restored = evaluate.restore(finished)
  assert restored.step == 20
  # The run had four devices, this evaluation has one.
  assert restored.run.plan.num_shards == 1
  expected = last_rows(finished)[split]
  for found, row in zip(
    evaluate.on_split(restored, split), expected, strict=True
  ):
    assert found["accuracy"] == row["accuracy"]
    assert found["loss"] == pytest.approx(row["loss"], rel=1e-5)


def test_parts_and_other_sources(finished, tmp_path):
  restored = evaluate.restore(finished)
  whole = evaluate.on_split(restored, "test")
  parts = [
    evaluate.on_split(restored, f"test[{part}]") for part in (":30%", "30%:")
  ]
  source = data.load("digits", "test")
  arrays = {"x": source.images, "y": source.labels["2"]}
  arrays = {f"{k}_{s}": v for k, v in arrays.items() for s in ("train", "test")}
  path = str(tmp_path / "digits.npz")
  np.savez(path, **arrays)
  elsewhere = evaluate.on_split(restored, "train", f"npz:{path}")
  for seed in range(2):
    total = sum(p[seed]["accuracy"] * p[seed]["examples"] for p in parts)
    assert total / 797 == pytest.approx(whole[seed]["accuracy"], abs=1e-12)
    assert elsewhere[seed] == whole[seed]
    assert whole[seed]["examples"] == 797


def test_train_of_a_source_is_all_of_it(finished):
  restored = evaluate.restore(finished)
  own = evaluate.on_split(restored, "train")
  assert own[0]["examples"] == 60  # 2 classes of 40, less a quarter
  everything = evaluate.on_split(restored, "train", "digits")
  assert everything[0]["examples"] == 1000


def test_command_prints_seeds_and_interval(finished, capsys):
  before = {
    name: os.stat(os.path.join(parent, name)).st_mtime_ns
    for parent, folders, files in os.walk(finished)
    for name in folders + files
  }
  status, out, err = command(finished, capsys=capsys)
  assert (status, err) == (0, "")
  assert "single, trained on digits for 20 of 20 steps" in out
  rows = last_rows(finished)["test"]
  for row in rows:
    accuracy = f"{100 * row['accuracy']:.2f}"
    precision = f"{100 * row['average_precision']:.2f}"
    expected = f"accuracy {accuracy} %, average precision {precision} %, loss"
    assert f"seed {row['seed']}: {expected}" in out
  a, b = (100 * row["accuracy"] for row in rows)
  figure = f"{(a + b) / 2:.2f} ± {12.7062 * abs(a - b) / 2:.2f} %"
  assert f"digits, test: accuracy {figure} (2 seeds, 797 examples)" in out
  after = {
    name: os.stat(os.path.join(parent, name)).st_mtime_ns
    for parent, folders, files in os.walk(finished)
    for name in folders + files
  }
  assert after == before


def test_unfinished_runs(tmp_path, capsys):
  workdir = str(tmp_path)
  calls = []
  with pytest.raises(Stopped):
    train.train_and_evaluate(
      tiny.config(method="single"),
      workdir,
      should_stop=lambda: calls.append(0) or len(calls) == 10,
    )
  status, out, _ = command(workdir, capsys=capsys)
  assert status == 0
  assert "single, trained on digits for 10 of 20 steps" in out
  accuracy = f"{100 * last_rows(workdir)['test'][0]['accuracy']:.2f}"
  assert f"digits, test: accuracy {accuracy} % (1 seed," in out


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--split=tst"], "digits has no split 'tst'; its splits: test, train"),
    (["--split=test[:"], r"split 'test\[:' is not understood"),
    (["--split=test[900:]"], "reaches outside the 797 examples"),
    (["--dataset=digit"], "dataset 'digit' is not understood"),
    (["--dataset=npz:no.npz"], "npz:no.npz: no such file"),
    (["--step=3"], "unrecognized arguments: --step=3; .* --help"),
  ],
)
def test_wrong_flags(finished, flags, message, capsys):
  status, out, err = command(finished, *flags, capsys=capsys)
  assert (status, out) == (2, "")
  assert re.fullmatch(rf"error: .*{message}.*\n", err)


def test_wrong_workdirs(tmp_path, capsys):
  assert evaluate.main([]) == 2
  assert "--workdir" in capsys.readouterr().err
  status, _, err = command(tmp_path / "no", capsys=capsys)
  assert status == 2
  assert re.fullmatch(r"error: .* holds no run .*--workdir=DIR\n", err)
  stored = config_lib.to_json(tiny.config())
  (tmp_path / "config.json").write_text(json.dumps({"config": stored}))
  for _ in range(2):
    status, _, err = command(tmp_path, capsys=capsys)
    assert status == 2
    assert re.fullmatch(r"error: .* has no checkpoint yet; .*\n", err)
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
  assert sorted(os.listdir(tmp_path)) == ["checkpoints", "config.json"]
  assert os.listdir(tmp_path / "checkpoints") == []


def test_scores():
  logits = np.log(np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]], np.float32))
  found = scoring.scores(logits, np.array([1, 0, 0]))
  assert found["accuracy"] == pytest.approx(1 / 3)
  assert found["loss"] == pytest.approx(
    -np.log([0.5, 0.9, 0.2]).mean(), rel=1e-5
  )


def test_agreement_is_within_primary_classes():
  primary, human = (
    np.array([0] * 4 + [1] * 4),
    np.array([0, 0, 1, 1, 2, 2, 3, 3]),
  )
  same = np.eye(4)[[1, 1, 0, 0, 2, 2, 3, 3]]
  assert scoring.agreement(same, human, primary) == pytest.approx(1.0)
  # Says which primary class it is, but nothing beyond that.
  coarse = np.eye(4)[[0] * 4 + [2] * 4]
  assert scoring.agreement(coarse, human, primary) == pytest.approx(0.0)
  half = np.eye(4)[[1, 1, 0, 0, 2, 2, 2, 2]]
  assert scoring.agreement(half, human, primary) == pytest.approx(0.5)


def test_chance_of_agreement():
  """Noise agrees with anything where there are few images and many labels."""
  rng = np.random.default_rng(0)
  primary, human = np.repeat([0, 1], 20), np.arange(40) % 20
  noise = np.eye(40)[rng.integers(20, size=40) + 20 * primary]
  chance = scoring.chance_agreement(noise, human, primary)
  assert chance > 0.6
  assert scoring.agreement(noise, human, primary) == pytest.approx(
    chance, abs=0.1
  )
  # Labels that say all have the same chance level, and are above it.
  many = np.tile(human, 50), np.repeat(primary, 50)
  exact = np.eye(20)[many[0]]
  assert scoring.agreement(exact, *many) == pytest.approx(1)
  assert scoring.chance_agreement(exact, *many) < 0.5
  assert scoring.chance_agreement(exact, *many) == scoring.chance_agreement(
    exact, *many
  )


def test_a_part_of_a_split_is_of_all_of_it():
  positions = np.stack([np.arange(100), np.arange(100) + 1000])
  part = scoring.some(positions, 20)
  assert part.shape == (2, 20)
  # In no order that the data may have been stored in, and the same each time.
  assert (part[0] < 50).sum() in range(4, 17)
  np.testing.assert_array_equal(part[1] - 1000, part[0])
  np.testing.assert_array_equal(part, scoring.some(positions, 20))
  assert len(set(part[0].tolist())) == 20
  whole = scoring.some(positions, 200)
  np.testing.assert_array_equal(np.sort(whole), positions)


def test_the_probe_draws_batches_of_each_streams_own_size():
  """A split that is smaller than the config's batches has some, too."""
  run = opening.open_run(tiny.config(method="single"))
  few = run.problem.train[:, :5]
  problem = run.problem._replace(splits={**run.problem.splits, "few": few})
  (stage,) = methods.make(run.config, problem.spec)
  streams = {
    "many": StreamSpec("train", augment=False),
    "few": StreamSpec("few", augment=False, batch_size=4),
  }

  def probe(state, batches, step):
    del step
    return {n: state + len(batch["index"]) for n, batch in batches.items()}

  report = scoring.make_probe(
    stage._replace(streams=streams, probe=probe), run._replace(problem=problem)
  )
  assert report((jnp.float32(0),), 0) == [{"many": 16, "few": 4}]


def sorted_by_class(tmp_path):
  """Digits whose classes are stored one after another, as npz."""
  source = digits.load("", split_names.Slice("train"))
  labels = source.labels["10"]
  order = np.argsort(labels, kind="stable")
  path = str(tmp_path / "sorted.npz")
  x, y = source.images[order][:1000], labels[order][:1000]
  np.savez(path, x_train=x, y_train=y, x_test=x[::5], y_test=y[::5])
  return f"npz:{path}"


def test_sorted_data_is_not_judged_by_its_first_classes(tmp_path):
  settings = tiny.config(
    dataset=sorted_by_class(tmp_path),
    labels_per_class=0,
    psi=(2,),
    eval_examples=100,
    **{
      "model.batch_norm": True,
      "model.widths": (4,),
      "model.kernels": (3,),
    },
  )
  states, _, run, stage = tiny.run_steps(settings, 1)

  def probe(state, batches, step):
    del state, step
    counts = {
      name: jnp.bincount(batch["primary"], length=10)
      for name, batch in batches.items()
    }
    return {f"{n}{c}": v[c] for n, v in counts.items() for c in range(10)}

  (row,) = scoring.make_probe(stage._replace(probe=probe), run)(states, 0)
  for name in ("train", "meta"):
    found = [row[f"{name}{c}"] for c in range(10)]
    assert sum(found) == pytest.approx(16)
    assert np.count_nonzero(found) >= 8
  collected, positions = scoring.make_label_collector(stage, run)(states)
  primary = run.problem.pool["primary"][positions]
  assert len(np.unique(primary[:, :16])) > 5
  # Labels stand beside the images that they are of.
  inside = losses.class_mask(primary[0], run.problem.spec.psi)
  np.testing.assert_allclose((collected[0] * inside).sum(-1), 1, rtol=1e-5)
  rows = evaluate.make(stage, run)(states, 1)
  losses_of = {row["split"]: row["loss"] for row in rows}
  # Of a hundred images of all classes, not of the first.
  whole = scoring.make_predictor(stage, run)(
    states, run.pool, run.problem.train
  )
  labels = run.problem.pool["primary"][run.problem.train]
  expected = scoring.scores(whole[0], labels[0])["loss"]
  assert losses_of["train"] == pytest.approx(expected, rel=0.1)


def rows_of(accuracies, *, stage="train", split="test", **more):
  """Rows of one evaluation after another; `accuracies` [evaluations, seeds]."""
  return [
    {"stage": stage, "split": split, "seed": seed, "accuracy": value, **more}
    for values in accuracies
    for seed, value in enumerate(values)
  ]


def test_summary():
  settings = tiny.config(num_seeds=2, average_last=2, extra_test=("digits",))
  run = opening.with_extra_tests(opening.open_run(settings))
  rows = [
    *rows_of([[0.0, 0.0]], stage="before"),
    *rows_of([[0.9, 0.2], [0.5, 0.4], [0.7, 0.5]]),
    *rows_of([[0.1, 0.2], [0.3, 0.4]], split="digits"),
    *rows_of([[1.0, 1.0]], split="batch"),
    *rows_of([[0.6, 0.7], [0.8, 0.9]], split="meta", entropy=1.5),
  ]
  found = evaluate.summarise(run, 20, rows, 3.5)
  assert found["per_seed"] == pytest.approx([0.6, 0.45])
  assert found["mean"] == pytest.approx(0.525)
  assert found["ci95"] == pytest.approx(12.7062 * 0.15 / 2, rel=1e-5)
  assert found["final_per_seed"] == [0.7, 0.5]
  assert found["best_per_seed"] == [0.9, 0.5]
  assert found["averaged_evaluations"] == 2
  assert found["extra_tests"] == {"digits": pytest.approx([0.2, 0.3])}
  assert found["meta_split"] == {"accuracy": [0.8, 0.9], "entropy": [1.5, 1.5]}
  assert (found["steps"], found["seconds"], found["seeds"]) == (20, 3.5, [0, 1])
  assert found["config_sha256"] == config_lib.digest(settings)
  json.dumps(found, allow_nan=False)


def test_the_result_is_of_the_last_stage_alone():
  """Also where it has fewer evaluations than are averaged."""
  settings = tiny.config(num_seeds=2, average_last=5)
  run = opening.open_run(settings)
  before = {"stage": "before", "label_usage": 0.5}
  rows = [
    *rows_of([[0.9, 0.95]] * 4, **before),
    *rows_of([[0.1, 0.1]], split="meta", **before),
    *rows_of([[0.3, 0.5], [0.4, 0.7]]),
    *rows_of([[0.2, 0.3]], split="meta"),
  ]
  found = evaluate.summarise(run, 20, rows, 3.5)
  assert found["per_seed"] == pytest.approx([0.35, 0.6])
  assert found["best_per_seed"] == [0.4, 0.7]
  assert found["final_per_seed"] == [0.4, 0.7]
  assert found["averaged_evaluations"] == 2
  assert found["meta_split"] == {"accuracy": [0.2, 0.3]}
