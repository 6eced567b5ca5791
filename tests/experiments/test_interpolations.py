"""Pictures and figures of a run's autoencoder."""

import json

import jax
import numpy as np
import pytest
import tiny

from experiments import interpolations
from experiments.opened_runs import autoencoder
from metaaux import train
from metaaux.data import augment
from metaaux.errors import Stopped, UserError
from metaaux.methods.embeddings import acai
from metaaux.run import directory as run_directory
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.checkpoints import reopen

SETTINGS = {
  "embedding.name": "acai",
  "embedding.width": 4,
  "embedding.num_steps": 8,
  "embedding.batch_size": 16,
  "model.widths": (4,),
  "model.kernels": (3,),
}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """A finished run of two seeds."""
  folder = tmp_path_factory.mktemp("run")
  settings = tiny.config(
    method="fine_tune", num_seeds=2, seed=3, num_steps=2, **SETTINGS
  )
  train.train_and_evaluate(settings, str(folder))
  return folder


def is_picture(path):
  return path.read_bytes().startswith(b"\x89PNG")


def test_picture_report_and_what_is_printed(workdir, capsys):
  assert interpolations.main([f"--workdir={workdir}"]) == 0
  picture = workdir / "pictures" / "interpolations-seed3.png"
  report = workdir / "reports" / "embedding-seed3.json"
  assert is_picture(picture)
  found = json.loads(report.read_text())
  out = capsys.readouterr().out.splitlines()
  assert out[-2:] == [str(picture), str(report)]
  assert f"critic loss {found['critic_loss']:.4f}" in out[0]
  assert f"{100 * found['probe_accuracy']:.2f} %" in out[0]
  assert (found["step"], found["num_steps"], found["seed"]) == (8, 8, 3)
  assert (found["labelled_images"], found["test_images"]) == (80, 797)
  assert found["critic_loss_blind"] == pytest.approx(5 / 96)
  for name in ("probe_accuracy", "probe_accuracy_pixels"):
    assert 0.5 < found[name] <= 1
  assert 0 < found["rmse_mean_image"] < 1


def test_another_seed_and_file(workdir, tmp_path, capsys):
  picture = tmp_path / "new" / "acai.png"
  flags = [f"--workdir={workdir}", "--seed=4", f"--output={picture}"]
  assert interpolations.main(flags) == 0
  assert is_picture(picture)
  found = json.loads((workdir / "reports/embedding-seed4.json").read_text())
  assert found["seed"] == 4
  assert capsys.readouterr().out.count("\n") == 3


def test_error_is_that_of_the_reconstructions(workdir):
  """Digits need no padding, so that the error is that of what is shown."""
  trained = autoencoder.load(str(workdir), 4)
  restored = reopen.restore(str(workdir), "embed")
  images = restored.run.problem.test["image"]
  batch = augment.normalise(images, 0.5, 0.25)
  params = restored.states[1].params
  networks = acai.make(restored.run.config, restored.run.problem.spec)
  _, _, error = jax.jit(networks.losses)(params, batch, np.zeros(len(images)))
  found = autoencoder.measure(trained)
  assert found["rmse"] == pytest.approx(float(error) ** 0.5, rel=1e-4)
  pixels = 2 * np.asarray(augment.normalise(images, 0.0, 1.0))
  mean = 2 * augment.normalise(
    restored.run.problem.pool["image"], 0.0, 1.0
  ).mean(axis=0, keepdims=True)
  expected = ((pixels - np.asarray(mean)) ** 2).mean() ** 0.5
  assert found["rmse_mean_image"] == pytest.approx(expected, rel=1e-4)


def test_mean_image_is_as_good_as_it_looks():
  """Padding, which is right in any case, takes part as in the loss."""
  test = np.full((3, 5, 3, 1), 0.75, np.float32)
  pool = np.full((2, 5, 3, 1), 0.25, np.float32)
  # 6 x 4 with padding; each of the 15 pixels is 1 away in [-1, 1].
  found = autoencoder.rmse_of_mean_image(test, pool)
  assert found == pytest.approx((15 / 24) ** 0.5)


def test_linear_probe():
  rng = np.random.default_rng(0)
  labels = np.arange(60) % 3
  vectors = np.eye(3)[labels] * 5 + rng.normal(size=(60, 3))
  vectors = np.concatenate([vectors, np.full((60, 1), 7.0)], axis=1)
  pair = vectors[:30], labels[:30], vectors[30:], labels[30:]
  assert autoencoder.probe(*pair) == 1.0
  # The scale of the vectors is no matter.
  assert (
    autoencoder.probe(pair[0] * 1e4, pair[1], pair[2] * 1e4, pair[3]) == 1.0
  )
  mixed = rng.permutation(labels[:30])
  assert autoencoder.probe(vectors[:30], mixed, *pair[2:]) < 0.7


def test_tiles():
  images = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 2, 2, 1) / 23
  canvas = interpolations.tiled(images)
  assert canvas.shape == (2 * 3 - 1, 3 * 3 - 1, 3) and canvas.dtype == np.uint8
  assert (canvas[2] == 255).all() and (canvas[:, 2] == 255).all()
  assert canvas[0, 0].tolist() == [0] * 3
  assert canvas[4, 7].tolist() == [255] * 3
  assert canvas[3, 3].tolist() == [round(255 * 16 / 23)] * 3
  colours = np.zeros((1, 1, 2, 2, 3))
  colours[..., 1] = 1.0
  assert interpolations.tiled(colours)[1, 1].tolist() == [0, 255, 0]


def test_unfinished_runs_and_wrong_flags(tmp_path, capsys):
  run = [f"--workdir={tmp_path}"]

  def complaint(*flags):
    assert interpolations.main([*run, *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error

  assert "holds no run" in complaint()
  settings = tiny.config(method="fine_tune", **SETTINGS)
  calls = []
  with pytest.raises(Stopped):
    train.train_and_evaluate(
      settings,
      str(tmp_path),
      should_stop=lambda: calls.append(0) or len(calls) == 5,
    )
  capsys.readouterr()
  assert "--seed=1: the run has the seeds 0 to 0" in complaint("--seed=1")
  assert interpolations.main(run) == 0
  report = json.loads((tmp_path / "reports/embedding-seed0.json").read_text())
  assert (report["step"], report["num_steps"]) == (5, 8)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"method": "maxl"}, "embedding.name='spectral', .*acai alone"),
    ({"method": "single", **SETTINGS}, "no stage 'embed'; its stages: train"),
  ],
)
def test_runs_without_an_autoencoder(tmp_path, changes, message):
  run_directory.prepare(str(tmp_path), tiny.config(**changes))
  with checkpoint_format.open_manager(
    str(tmp_path / "checkpoints"), 1
  ) as manager:
    checkpoint_format.save(manager, 1, {"any": np.zeros(1)})
  with pytest.raises(UserError, match=message):
    autoencoder.load(str(tmp_path))


def test_a_report_that_cannot_be_written_is_a_warning(
  workdir, tmp_path, capsys, monkeypatch
):
  def full(path, value):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(interpolations.files, "write_json", full)
  picture = tmp_path / "acai.png"
  assert (
    interpolations.main([f"--workdir={workdir}", f"--output={picture}"]) == 0
  )
  captured = capsys.readouterr()
  assert captured.out.splitlines()[1:] == [str(picture)]
  assert "No space left on device" in captured.err
