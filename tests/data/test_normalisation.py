"""Pixels are normalised by the config, whatever source they come from."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from metaaux import config as config_lib
from metaaux import data
from metaaux.config import earlier
from metaaux.data import normalisation
from metaaux.data.sources import lazy_images
from metaaux.errors import UserError
from metaaux.run import batches, data_record, opening

RNG = np.random.default_rng(0)


def config(tmp_path, images, **pixels):
  """Of images without order, as an archive with a test set of its own."""
  labels = np.arange(len(images)) % 2
  path = tmp_path / "images.npz"
  # The test images are all white, and no statistic may see them.
  white = np.full_like(images[:4], np.iinfo(images.dtype).max)
  np.savez(
    path, x_train=images, y_train=labels, x_test=white, y_test=labels[:4]
  )
  found = config_lib.base()
  found.update(dataset=f"npz:{path}", psi=(1,), batch_size=4)
  found.pixels.update(pixels)
  config_lib.validate(found)
  return found


def colours(count=40):
  """Bytes of three channels, each with a mean and a spread of its own."""
  low, high = np.array([0, 100, 30]), np.array([255, 160, 32])
  return RNG.integers(low, high, (count, 5, 6, 3)).astype(np.uint8)


def test_measured_values_are_those_of_the_training_images(tmp_path):
  images = colours()
  problem = data.build(config(tmp_path, images, mean=(), std=()))
  found = images.reshape(-1, 3) / 255
  spec = problem.spec
  np.testing.assert_allclose(spec.pixel_mean, found.mean(0), atol=1e-6)
  np.testing.assert_allclose(spec.pixel_std, found.std(0), atol=1e-6)


def test_batches_are_normalised_by_what_was_measured(tmp_path):
  images = colours()
  run = opening.open_run(config(tmp_path, images, mean=(), std=()))
  found = np.asarray(batches.normalised(run, jnp.asarray(images)))
  np.testing.assert_allclose(found.mean((0, 1, 2)), 0, atol=1e-4)
  np.testing.assert_allclose(found.std((0, 1, 2)), 1, atol=1e-4)


@pytest.mark.parametrize(
  ("mean", "std"), [((0.5,), (0.2,)), ((0.1, 0.2, 0.3), (0.5,))]
)
def test_given_values_are_taken(tmp_path, mean, std):
  images = colours()
  run = opening.open_run(config(tmp_path, images, mean=mean, std=std))
  found = batches.normalised(run, jnp.asarray(images[:2]))
  expected = (images[:2] / 255 - np.array(mean)) / np.array(std)
  np.testing.assert_allclose(found, expected, atol=1e-5)
  record = data_record.describe(run.config, run.problem, None)
  stored = json.loads(json.dumps(record["normalisation"]))
  assert stored["std"] == std[0]
  assert stored["mean"] == (mean[0] if len(mean) == 1 else list(mean))


def test_values_that_fit_to_no_channel_are_refused(tmp_path):
  wrong = config(tmp_path, colours(), mean=(0.5, 0.5), std=(0.2,))
  with pytest.raises(
    UserError, match=r"pixels\.mean=\(0\.5, 0\.5\) has 2 values.* 3 channels"
  ):
    data.build(wrong)


@pytest.mark.parametrize(
  ("mean", "std"), [((0.5,), ()), ((), (0.2,)), ((0.5,), (0.0,))]
)
def test_what_does_not_normalise_is_refused(mean, std):
  wrong = config_lib.base()
  wrong.pixels.update(mean=mean, std=std)
  with pytest.raises(UserError, match=r"pixels\.mean=.* do not normalise"):
    config_lib.validate(wrong)


def test_floats_in_many_blocks_and_what_is_constant():
  images = RNG.random((3000, 2, 2, 2), np.float32)
  images[..., 1] = 0.25
  rows = RNG.permutation(3000)[:2500]
  mean, std = normalisation.of(images, np.tile(rows, (2, 1)))
  exact = images[rows].astype(np.float64).reshape(-1, 2)
  np.testing.assert_allclose(mean, exact.mean(0), atol=1e-6)
  np.testing.assert_allclose(std, [exact[:, 0].std(), 1.0], atol=1e-6)


def test_a_small_scale_is_no_constant():
  """As of features in other units; and a large constant is one."""
  rows = RNG.normal(size=(500, 3)).astype(np.float32)
  rows = rows * np.float32([1e-9, 1e6, 0]) + np.float32([0, 0, 1.1e5])
  _, std = normalisation.of(rows, np.arange(500))
  wanted = [*rows[:, :2].astype(np.float64).std(0), 1.0]
  np.testing.assert_allclose(std, wanted, rtol=1e-5)


def test_images_that_are_not_decoded_yet():
  images = colours()
  lazy = lazy_images.Images(
    lambda i: images[i], np.arange(40), images.shape[1:], "here"
  )
  rows = np.arange(30)
  assert normalisation.of(lazy, rows) == normalisation.of(images, rows)


def test_images_of_a_target_domain_that_are_tested_are_not_looked_at(tmp_path):
  images = np.zeros((60, 4, 4, 1), np.uint8)
  domain = np.arange(60) // 20
  images[domain == 0] = 51
  images[domain == 2] = 255
  path = tmp_path / "domains.npz"
  np.savez(
    path,
    x=images,
    y=np.arange(60) % 2,
    domain=domain,
    domain_names=np.array(["grey", "black", "white"]),
  )
  found = config_lib.base()
  found.update(
    dataset=f"npz:{path}",
    train_split="all",
    test_split="all",
    target_domain="white",
    labels_per_class=2,
    batch_size=4,
  )
  found.pixels.update(mean=(), std=())
  spec = data.build(found).spec
  # Two images of each class and none that is tested: 4 white ones of 44.
  assert spec.pixel_mean[0] < 0.25


@pytest.mark.parametrize(
  ("dataset", "mean", "std"),
  [
    ("tfds:cifar100", 0.5, 0.2),
    ("tfds:cifar10:3.0.2", 0.5, 0.2),
    ("tfds:svhn_cropped", 0.5, 0.5),
    ("tfds:omniglot", 1.0, -1.0),
    ("tfds:mnist", 0.0, 1.0),
    ("npz:/data/cifar10.npz", 0.5, 0.25),
    ("digits", 0.5, 0.25),
  ],
)
def test_runs_from_before_there_were_keys_go_on_as_they_began(
  dataset, mean, std
):
  stored = config_lib.to_json(config_lib.base()) | {"dataset": dataset}
  del stored["pixels"]
  found = config_lib.from_json(earlier.completed(stored))
  assert (found.pixels.mean, found.pixels.std) == ((mean,), (std,))


def test_values_of_a_stored_config_stay():
  stored = config_lib.to_json(config_lib.base()) | {"dataset": "tfds:mnist"}
  assert earlier.completed(stored) == stored
