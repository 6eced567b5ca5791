"""Sources of vectors: what is read, standardised and refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import clusters, labels, report
from metaaux import config as config_lib
from metaaux import data, evaluate, methods, train
from metaaux.errors import UserError
from metaaux.run import batches, opening

RNG = np.random.default_rng(0)


def rows(count, dim=6):
  """Rows whose dimensions have means and deviations of their own."""
  return RNG.normal(size=(count, dim)) * np.arange(1, dim + 1) + 10.0


def archive(tmp_path, train=None, test=None, **more):
  train = rows(40) if train is None else train
  test = rows(20) if test is None else test
  path = tmp_path / "rows.npz"
  labels = {
    "y_train": np.arange(len(train)) % 2,
    "y_test": np.arange(len(test)) % 2,
  }
  np.savez(path, x_train=train, x_test=test, **labels, **more)
  return path


def config(path, **changes):
  found = config_lib.base()
  found.update(dataset=f"npz:{path}", psi=(1,), batch_size=4, method="single")
  found.model.update(name="mlp", widths=(8,))
  found.update_from_flattened_dict(changes)
  config_lib.validate(found)
  return found


@pytest.mark.parametrize(
  "dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8, bool]
)
def test_numbers_of_any_type(tmp_path, dtype):
  train = np.abs(rows(40)).astype(dtype)
  problem = data.build(config(archive(tmp_path, train, train[:20])))
  images = problem.pool["image"]
  assert images.dtype == np.float32
  np.testing.assert_array_equal(images, train.astype(np.float32))
  assert problem.spec.input_shape == (6,)
  assert not problem.spec.is_image


def test_rows_are_standardised_by_the_training_rows(tmp_path):
  train, test = rows(40), rows(20) + 5
  train[:, 3] = 7  # says nothing, and is no reason to divide by zero
  run = opening.open_run(config(archive(tmp_path, train, test)))
  found = np.asarray(batches.normalised(run, jnp.asarray(train, jnp.float32)))
  np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
  wanted = np.where(np.arange(6) == 3, 0, 1)
  np.testing.assert_allclose(found.std(0), wanted, atol=1e-5)
  other = batches.normalised(run, jnp.asarray(test, jnp.float32))
  deviation = np.where(np.arange(6) == 3, 1, train.std(0))
  np.testing.assert_allclose(
    other, (test - train.mean(0)) / deviation, rtol=1e-4, atol=1e-4
  )


def test_rows_stay_as_they_are_on_request(tmp_path):
  train = rows(40)
  wanted = config(archive(tmp_path, train), **{"inputs.standardise": False})
  run = opening.open_run(wanted)
  found = batches.normalised(run, jnp.asarray(train, jnp.float32))
  np.testing.assert_array_equal(found, train.astype(np.float32))


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"augment.flip": True},
      r"augment\.flip=True is of images.* 6 numbers; set "
      r"it to False",
    ),
    ({"augment.pad": 2}, r"augment\.pad=2 is of images"),
    ({"augment.shift": 0.1}, r"augment\.shift=0\.1 is of images"),
    ({"augment.grayscale": 0.1}, r"augment\.grayscale=0\.1 is of images"),
    ({"shrink": 2}, "shrink=2 is of images"),
    ({"image_side": 8}, "image_side=8 is of images"),
    ({"pixel_range": (0.0, 9.0)}, r"pixel_range=\(0\.0, 9\.0\) is of images"),
  ],
)
def test_settings_of_images_are_refused(tmp_path, changes, message):
  with pytest.raises(UserError, match=message):
    opening.open_run(config(archive(tmp_path), **changes))


@pytest.mark.parametrize("name", ["convnet", "vgg16", "wide_resnet"])
def test_networks_of_images_are_refused(tmp_path, name):
  wanted = config(archive(tmp_path), **{"model.name": name})
  with pytest.raises(UserError, match=rf"model\.name='{name}'.*mlp"):
    opening.open_run(wanted)


def test_a_method_without_a_network_asks_for_none(tmp_path):
  wanted = config(
    archive(tmp_path), method="logistic", **{"model.name": "convnet"}
  )
  assert opening.open_run(wanted).problem.spec.input_shape == (6,)


@pytest.mark.parametrize(
  "changes",
  [
    {"method": "joint", "embedding.name": "acai"},
    {"method": "arml", "setting": "semi_supervised"},
  ],
)
def test_methods_that_need_pixels_say_so(tmp_path, changes):
  wanted = config(archive(tmp_path), **changes)
  run = opening.open_run(wanted)
  with pytest.raises(UserError, match=r"vectors of 6 numbers.*needs images"):
    methods.make(wanted, run.problem.spec)


@pytest.mark.parametrize(
  ("train", "message"),
  [
    (np.where(np.eye(40, 6) > 0, np.nan, 1.0), "row 0 has nan in column 0"),
    (np.full((40, 6), 1e300), r"row 0 has 1e\+300 in column 0.*float32 holds"),
    (np.zeros((40, 0)), r"no examples \(array of shape \(40, 0\)\)"),
    (np.full((40, 6), "a"), "rows are <U1; store numbers"),
    (np.zeros((40, 6), complex), "rows are complex128; store numbers"),
  ],
)
def test_rows_that_cannot_be_read(tmp_path, train, message):
  with pytest.raises(UserError, match=message):
    data.build(config(archive(tmp_path, train)))


def test_splits_of_other_widths_are_refused(tmp_path):
  path = archive(tmp_path, rows(40), rows(20, dim=5))
  with pytest.raises(UserError, match=r"shape \(6,\), test .*\(5,\)"):
    data.build(config(path))


def test_rows_that_are_all_the_same_are_told(tmp_path):
  path = archive(tmp_path, np.ones((40, 6)))
  notes = data.build(config(path)).notes
  assert notes[0].startswith("data: vectors, float32 1..1; each class has 20 ")
  assert "warning: all rows are the same" in notes[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Finished runs of clusters and of learned labels on vectors."""
  folder = tmp_path_factory.mktemp("runs")
  path = archive(folder)
  for method in ("joint", "maxl"):
    small = {
      "method": method,
      "primary": "2",
      "psi": (1,) if method == "joint" else (2,),
      "num_steps": 4,
      "eval_every": 4,
      "checkpoint_every": 4,
      "embedding.name": "pixels",
      "partition.num_classes": 2,
    }
    train.train_and_evaluate(config(path, **small), str(folder / method))
  return folder


def test_a_gallery_of_vectors_is_left_out(runs, capsys):
  pytest.importorskip("matplotlib")
  assert clusters.main([f"--workdir={runs / 'joint'}"]) == 0
  out, err = capsys.readouterr()
  assert "of which there is no gallery" in err
  (picture,) = out.splitlines()
  assert picture.endswith("embedding-seed0-partition1.png")
  assert labels.main([f"--workdir={runs / 'maxl'}"]) == 2
  assert "are vectors, of which there is no gallery" in capsys.readouterr().err


def test_a_report_says_who_is_in_the_clusters(runs):
  pytest.importorskip("jinja2")
  path = runs / "report.html"
  assert report.main([f"--workdir={runs}", f"--output={path}"]) == 0
  text = path.read_text()
  assert "rows, " in text and "Clusters that make the auxiliary tasks" in text


def test_a_run_is_evaluated_on_other_vectors(runs, tmp_path, capsys):
  other = archive(tmp_path)
  flags = [f"--workdir={runs / 'joint'}", f"--dataset=npz:{other}"]
  assert evaluate.main(flags) == 0
  assert "(1 seed, 20 examples)" in capsys.readouterr().out
  wrong = archive(tmp_path, rows(40, dim=5), rows(20, dim=5))
  assert evaluate.main([flags[0], f"--dataset=npz:{wrong}"]) == 2
  assert "shape (5,)" in capsys.readouterr().err
