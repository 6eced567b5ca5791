"""Whole runs through the one loop: golden figures, resuming, data on disk."""

import itertools
import json
import pathlib

import chex
import numpy as np
import pytest
import tiny
import tiny_tfds
from config_files import figures, load_config

from metaaux import train
from metaaux.errors import NonFiniteError, Stopped, UserError
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.logs import rows as rows_lib

GOLDEN = pathlib.Path(__file__).parent / "golden" / "maxl_digits.json"
# Where a run is begun again and again.
SMALL = {"model.widths": (4,), "model.kernels": (3,)}


def final_state(workdir):
  manager = checkpoint_format.open_manager(workdir / "checkpoints", 2)
  with manager:
    return manager.restore(manager.latest_step())


def test_three_steps_of_maxl_on_digits():
  """Pins data, batches, initialisation and both updates.

  The figures change only with the algorithm or with the random numbers of JAX;
  if that is meant, delete the file, run the test once and commit what it wrote.
  """
  settings = tiny.config(**{"generator.optimizer.learning_rate": 1.0})
  _, rows, _, _ = tiny.run_steps(settings, 3)
  found = [{k: float(v[0]) for k, v in row.items()} for row in rows]
  if not GOLDEN.exists():
    GOLDEN.write_text(json.dumps(found, indent=2) + "\n")
    pytest.fail(f"{GOLDEN} was missing and has been written; look at it")
  expected = json.loads(GOLDEN.read_text())
  for row, known in zip(found, expected, strict=True):
    assert row.keys() == known.keys()
    for name, value in known.items():
      np.testing.assert_allclose(row[name], value, rtol=1e-4, err_msg=name)


def test_run_directory(tmp_path):
  settings = tiny.config(
    num_seeds=2, extra_test=("digits", "npz:not-there.npz"), average_last=2
  )
  result = train.train_and_evaluate(settings, str(tmp_path))
  assert json.loads((tmp_path / "result.json").read_text()) == result
  rows = rows_lib.read_rows(str(tmp_path / "metrics.jsonl"))
  tests = [r["accuracy"] for r in rows if r["split"] == "test"]
  assert len(tests) == 4  # two seeds, evaluated at 10 and 20
  assert result["per_seed"] == [np.mean(tests[0::2]), np.mean(tests[1::2])]
  assert result["mean"] == np.mean(result["per_seed"])
  assert result["best_per_seed"] == [max(tests[0::2]), max(tests[1::2])]
  # The extra test set is the test set itself; the other one is not there.
  assert result["extra_tests"] == {"digits": result["per_seed"]}
  meta = [r for r in rows if r["split"] == "meta"][-1]
  wanted = {
    "sample_entropy",
    "marginal_entropy",
    "information",
    "label_usage",
    "human_agreement",
    "meta_gain",
    "gradient_cosine",
    "hypergradient_norm",
    "hypergradient_primary_norm",
    "hypergradient_entropy_norm",
    "generator_moved",
  }
  assert wanted <= meta.keys() and wanted <= result["meta_split"].keys()
  logged = [r for r in rows if r["split"] == "batch" and r["seed"] == 1]
  assert [r["step"] for r in logged] == [5, 10, 15, 20]
  assert {"primary_loss", "auxiliary_loss", "hypergradient_norm"} <= logged[
    0
  ].keys()
  stored = json.loads((tmp_path / "config.json").read_text())
  assert {"jax", "flax", "optax", "metaaux"} <= stored["versions"].keys()


# Where the run is evaluated, and where it is not.
@pytest.mark.parametrize(
  ("method", "stops"),
  [
    ("maxl", (10, 13)),
    ("random", (13,)),
    pytest.param("maxl", (3, 10, 13), marks=pytest.mark.long),
    pytest.param("random", (3, 10, 13), marks=pytest.mark.long),
  ],
)
def test_stopping_and_resuming_changes_nothing(tmp_path, method, stops):
  settings = tiny.config(method=method, num_seeds=2, **SMALL)
  straight = train.train_and_evaluate(settings, str(tmp_path / "straight"))
  for stop_at in stops:
    calls = iter(range(1, 100))
    start = checkpointed_step(tmp_path / "stopped")
    with pytest.raises(Stopped):
      train.train_and_evaluate(
        settings,
        str(tmp_path / "stopped"),
        should_stop=lambda s=start, c=calls, a=stop_at: s + next(c) >= a,
      )
    assert checkpointed_step(tmp_path / "stopped") == stop_at
  resumed = train.train_and_evaluate(settings, str(tmp_path / "stopped"))
  assert figures(resumed) == figures(straight)
  chex.assert_trees_all_equal(
    final_state(tmp_path / "stopped"), final_state(tmp_path / "straight")
  )


def checkpointed_step(workdir):
  if not (workdir / "checkpoints").exists():
    return 0
  with checkpoint_format.open_manager(workdir / "checkpoints", 2) as manager:
    return manager.latest_step() or 0


# All three kinds one after another, or two of them.
@pytest.mark.parametrize(
  "modes",
  [
    ("none", "pmap", "sharding", "none"),
    pytest.param(("none", "pmap"), marks=pytest.mark.long),
    pytest.param(("pmap", "sharding"), marks=pytest.mark.long),
    pytest.param(("sharding", "none"), marks=pytest.mark.long),
  ],
)
def test_resume_on_another_number_of_devices(tmp_path, modes):
  """A checkpoint has no device axis: stop on one kind, go on with the other."""
  for mode, other in itertools.pairwise(modes):
    with pytest.raises(Stopped):
      train.train_and_evaluate(
        tiny.config(parallel=mode, **SMALL),
        str(tmp_path),
        should_stop=lambda: True,
      )
    stored = json.loads((tmp_path / "config.json").read_text())
    stored["config"]["parallel"] = other
    (tmp_path / "config.json").write_text(json.dumps(stored))
  assert checkpointed_step(tmp_path) == len(modes) - 1
  result, straight = (
    train.train_and_evaluate(tiny.config(parallel=mode, **SMALL), str(folder))
    for mode, folder in (
      (modes[-1], tmp_path),
      (modes[0], tmp_path / "straight"),
    )
  )
  np.testing.assert_allclose(result["mean"], straight["mean"], atol=0.01)


def test_non_finite_training_stops_and_says_where(tmp_path):
  settings = tiny.config(
    checkpoint_every=5,
    num_steps=60,
    log_every=60,
    **{"optimizer.learning_rate": 1e6},
  )
  with pytest.raises(NonFiniteError, match=r"at step \d+ of stage train"):
    train.train_and_evaluate(settings, str(tmp_path))
  assert not (tmp_path / "result.json").exists()
  if checkpointed_step(tmp_path):
    for leaf in final_state(tmp_path).values():
      assert np.isfinite(leaf).all()


def test_finished_run_is_not_run_again(tmp_path):
  settings = tiny.config(method="single", num_steps=4)
  first = train.train_and_evaluate(settings, str(tmp_path))
  stamp = (tmp_path / "metrics.jsonl").stat().st_mtime_ns
  assert train.train_and_evaluate(settings, str(tmp_path)) == first
  assert (tmp_path / "metrics.jsonl").stat().st_mtime_ns == stamp
  with pytest.raises(UserError, match="num_steps"):
    train.train_and_evaluate(
      tiny.config(method="single", num_steps=5), str(tmp_path)
    )
  again = train.train_and_evaluate(
    tiny.config(method="single", num_steps=5), str(tmp_path), overwrite=True
  )
  assert again["steps"] == 5
  assert json.loads((tmp_path / "result.json").read_text()) == again


# The network of the papers is quick to compile where one network is trained.
@pytest.mark.parametrize(
  ("name", "arg", "dataset", "model"),
  [
    ("maxl_cifar10", "runlocal,psi=3,method=uniform", "cifar10", "vgg16"),
    pytest.param(
      "maxl_cifar100",
      "runlocal,variant=code,primary=3,aux=20",
      "cifar100",
      "convnet",
      marks=pytest.mark.slow,
    ),
    pytest.param(
      "maxl_cifar100",
      "runlocal",
      "cifar100",
      "vgg16",
      marks=(pytest.mark.slow, pytest.mark.long),
    ),
    pytest.param(
      "maxl_cifar10",
      "runlocal,psi=3",
      "cifar10",
      "convnet",
      marks=(pytest.mark.slow, pytest.mark.long),
    ),
  ],
)
def test_configs_run_on_a_tiny_tfds(
  tmp_path, monkeypatch, name, arg, dataset, model
):
  tiny_tfds.write(tmp_path, dataset, num_train=200, num_test=100)
  tiny_tfds.use(monkeypatch, tmp_path)
  settings = load_config(name, arg)
  settings.update_from_flattened_dict(
    {
      "labels_per_class": 0,
      "batch_size": 20,
      "num_steps": 2,
      "eval_every": 1,
      "parallel": "none",
      "model.name": model,
      "model.widths": (4, 8),
      "model.width": 0.05,
      "model.lowering": "native",
    }
  )
  result = train.train_and_evaluate(settings, str(tmp_path / "run"))
  assert result["steps"] == 2 and 0 <= result["mean"] <= 1
  assert result["averaged_evaluations"] == 2
