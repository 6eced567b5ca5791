"""Crops, flips, greyscale and normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux.data import augment
from metaaux.errors import UserError
from metaaux.run import batches, opening

SHAPE = (64, 6, 5, 3)
INDEX = jnp.arange(SHAPE[0], dtype=jnp.int32)
augmented = jax.jit(
  augment.augment, static_argnames=("pad", "flip", "grayscale", "mode")
)


def _images(dtype=np.uint8):
  pixels = np.random.default_rng(0).integers(1, 256, SHAPE)
  return jnp.asarray(pixels.astype(dtype))


def _placements(image, pad, flip):
  """All results that one image can have, by (y, x, mirrored)."""
  height, width, _ = image.shape
  padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
  return {
    (y, x, mirrored): crop[:, ::-1] if mirrored else crop
    for y in range(2 * pad + 1)
    for x in range(2 * pad + 1)
    for mirrored in range(1 + flip)
    for crop in [padded[y : y + height, x : x + width]]
  }


def _placement(image, result, pad, flip):
  (found,) = [
    place
    for place, expected in _placements(image, pad, flip).items()
    if np.array_equal(expected, result)
  ]
  return found


@pytest.mark.parametrize(("pad", "flip"), [(2, True), (2, False), (0, True)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_each_result_is_a_crop_of_the_padded_image(pad, flip, dtype):
  images = _images(dtype)
  results = augmented(images, jax.random.key(0), INDEX, pad=pad, flip=flip)
  assert results.shape == images.shape
  assert results.dtype == images.dtype
  places = [
    _placement(image, result, pad, flip)
    for image, result in zip(
      np.asarray(images), np.asarray(results), strict=True
    )
  ]
  assert len(set(places)) > 1


def test_reflected_borders():
  images = _images()
  key = jax.random.key(0)
  zeros, results = (
    augmented(images, key, INDEX, pad=2, flip=False, mode=mode)
    for mode in ("zero", "reflect")
  )
  for image, zero, result in zip(
    *map(np.asarray, (images, zeros, results)), strict=True
  ):
    y, x, _ = _placement(image, zero, 2, False)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), "reflect")
    np.testing.assert_array_equal(result, padded[y : y + 6, x : x + 5])
  assert (results != 0).all()


def test_noise():
  images, key = jnp.ones((500, 4, 4, 1)), jax.random.key(0)
  found = augment.noisy(images, key, jnp.arange(500), 0.15) - images
  assert abs(float(found.std()) - 0.15) < 0.005
  assert abs(float(found.mean())) < 0.008
  # An example's noise does not depend on its batch.
  part = augment.noisy(images[:3], key, jnp.array([7, 2, 9]), 0.15) - 1
  np.testing.assert_array_equal(part, found[jnp.array([7, 2, 9])])
  assert not np.array_equal(found[0], found[1])


def test_a_run_adds_noise_to_normalised_training_images(tmp_path):
  run = _rgb_run(tmp_path, **{"augment.noise": 0.3})
  plain = batches.draw(run, run.pool, jnp.arange(40), None)["image"]
  noisy = batches.draw(run, run.pool, jnp.arange(40), jax.random.key(0))[
    "image"
  ]
  assert abs(float((noisy - plain).std()) - 0.3) < 0.01
  # Noise does not change the crops.
  pad = {"augment.pad": 2}
  moved, both = (
    batches.draw(
      _rgb_run(tmp_path, **c), run.pool, jnp.arange(40), jax.random.key(0)
    )
    for c in (pad, {**pad, "augment.noise": 0.3})
  )
  assert abs(float((both["image"] - moved["image"]).std()) - 0.3) < 0.01


def test_nothing_to_do():
  images = _images()
  key = jax.random.key(0)
  results = augmented(images, key, INDEX, pad=0, flip=False)
  np.testing.assert_array_equal(results, images)


def test_placements_are_uniform():
  image = np.arange(1, 31, dtype=np.uint8).reshape(6, 5, 1)
  num = 4500
  results = augmented(
    jnp.asarray(np.broadcast_to(image, (num, *image.shape))),
    jax.random.key(1),
    jnp.arange(num),
    pad=1,
    flip=True,
  )
  counts = dict.fromkeys(_placements(image, 1, True), 0)
  table = {v.tobytes(): k for k, v in _placements(image, 1, True).items()}
  for result in np.asarray(results):
    counts[table[result.tobytes()]] += 1
  # 18 cells of 250: four standard errors of a binomial count are 62.
  assert np.abs(np.array(list(counts.values())) - 250).max() < 62


def test_independent_of_the_batch():
  """An example gets the same in any batch, at any place and on any device."""
  images, key = _images(), jax.random.key(3)
  apply = jax.jit(
    lambda images, index: augmented(images, key, index, pad=2, flip=True)
  )
  whole = np.asarray(apply(images, INDEX))
  order = np.random.default_rng(0).permutation(SHAPE[0])[:16]
  part = np.asarray(apply(images[order], INDEX[order]))
  np.testing.assert_array_equal(part, whole[order])


def test_one_device_and_four_draw_alike():
  images, key = _images(), jax.random.key(3)

  def apply(images, index):
    return augmented(images, key, index, pad=2, flip=True)

  split = jax.pmap(apply)(
    images.reshape(4, -1, *SHAPE[1:]), INDEX.reshape(4, -1)
  )
  np.testing.assert_array_equal(
    np.asarray(split).reshape(SHAPE), apply(images, INDEX)
  )


def test_steps_differ():
  images = _images()
  one, two = (
    augmented(images, jax.random.key(k), INDEX, pad=2, flip=True)
    for k in (0, 1)
  )
  assert not np.array_equal(one, two)


def _grey(images, probability, seed=0, index=None, **others):
  others = {"pad": 0, "flip": False, **others}
  index = jnp.arange(len(images)) if index is None else index
  return augmented(
    images, jax.random.key(seed), index, grayscale=probability, **others
  )


def test_grey_is_the_luminance_in_all_channels():
  pixels = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30], [255] * 3]
  raw = np.array(pixels, np.uint8).reshape(1, 5, 1, 3)
  # 2.99 + 11.74 + 3.42 = 18.15
  for images, expected in (
    (jnp.asarray(raw), [76, 150, 29, 18, 255]),
    (
      jnp.asarray(raw / 255, jnp.float32),
      [0.299, 0.587, 0.114, 18.15 / 255, 1],
    ),
  ):
    found = np.asarray(_grey(images, 1.0))
    assert found.dtype == images.dtype and found.shape == images.shape
    for channel in range(3):
      np.testing.assert_allclose(found[0, :, 0, channel], expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_never_and_always_grey(dtype):
  images = _images(dtype)
  np.testing.assert_array_equal(_grey(images, 0.0), images)
  found = np.asarray(_grey(images, 1.0))
  for channel in (1, 2):
    np.testing.assert_array_equal(found[..., channel], found[..., 0])


def test_share_of_grey_images():
  image = np.asarray(_images()[0])
  images = jnp.asarray(np.broadcast_to(image, (4000, *image.shape)))
  found = np.asarray(_grey(images, 0.1))
  grey = (found != image).any(axis=(1, 2, 3))
  assert (found[grey] == np.asarray(_grey(images[:1], 1.0))).all()
  # Four standard errors of 4000 draws.
  assert abs(grey.mean() - 0.1) < 4 * (0.1 * 0.9 / 4000) ** 0.5


def test_grey_is_drawn_by_example():
  images = _images()
  whole = np.asarray(_grey(images, 0.5))
  order = np.random.default_rng(0).permutation(SHAPE[0])[:16]
  part = _grey(images[order], 0.5, index=INDEX[order])
  np.testing.assert_array_equal(part, whole[order])
  assert not np.array_equal(_grey(images, 0.5, seed=1), whole)
  split = jax.pmap(lambda x, i: _grey(x, 0.5, index=i))(
    images.reshape(4, -1, *SHAPE[1:]), INDEX.reshape(4, -1)
  )
  np.testing.assert_array_equal(np.asarray(split).reshape(SHAPE), whole)


def test_crops_and_flips_are_the_same_with_grey():
  images = _images()
  both = _grey(images, 1.0, pad=2, flip=True)
  moved = _grey(images, 0.0, pad=2, flip=True)
  np.testing.assert_array_equal(both, _grey(moved, 1.0))


def _rgb_run(tmp_path, channels=3, **changes):
  """A run on 40 random images of two classes."""
  rng = np.random.default_rng(0)
  parts = {}
  for split in ("train", "test"):
    shape = (40, 8, 8, channels)
    parts[f"x_{split}"] = rng.integers(1, 256, shape).astype(np.uint8)
    parts[f"y_{split}"] = np.arange(40) % 2
  path = tmp_path / "rgb.npz"
  np.savez(path, **parts)
  return opening.open_run(
    tiny.config(
      method="single", dataset=f"npz:{path}", labels_per_class=0, **changes
    )
  )


def test_a_run_draws_grey_images_with_their_own_labels(tmp_path):
  run = _rgb_run(tmp_path, **{"augment.grayscale": 1.0})
  plain = batches.draw(run, run.pool, jnp.arange(40), None)
  grey = batches.draw(run, run.pool, jnp.arange(40), jax.random.key(0))
  assert np.ptp(np.asarray(grey["image"]), axis=-1).max() == 0
  assert np.ptp(np.asarray(plain["image"]), axis=-1).max() > 0
  for name in ("primary", "auxiliary", "index"):
    np.testing.assert_array_equal(grey[name], plain[name])


def test_grey_needs_three_channels(tmp_path):
  with pytest.raises(
    UserError,
    match=r"augment\.grayscale=0\.1 .* 3 channels.* 8x8x1; set it to 0",
  ):
    _rgb_run(tmp_path, 1, **{"augment.grayscale": 0.1})
  _rgb_run(tmp_path, 1)


def test_normalise_bytes():
  images = jnp.asarray([0, 51, 255], jnp.uint8).reshape(1, 1, 3, 1)
  result = augment.normalise(images, 0.5, 0.2)
  assert result.dtype == jnp.float32
  np.testing.assert_allclose(result.ravel(), [-2.5, -1.5, 2.5], rtol=1e-6)


def test_normalise_by_channel():
  images = jnp.full((2, 4, 4, 3), 0.5, jnp.float32)
  result = augment.normalise(images, (0.5, 0.25, 0.0), (1.0, 0.5, 2.0))
  np.testing.assert_allclose(result[1, 2, 3], [0.0, 0.5, 0.25], rtol=1e-6)


def test_normalise_keeps_float64(x64):
  images = jnp.full((1, 2, 2, 1), 1 / 3, jnp.float64)
  result = augment.normalise(images, 0.5, 0.2)
  assert result.dtype == jnp.float64
  np.testing.assert_allclose(result, (1 / 3 - 0.5) / 0.2, rtol=1e-15)
