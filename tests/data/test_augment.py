"""Crops, flips and normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux.data import augment

SHAPE = (64, 6, 5, 3)
INDEX = jnp.arange(SHAPE[0], dtype=jnp.int32)


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
  results = augment.augment(
    images, jax.random.key(0), INDEX, pad=pad, flip=flip
  )
  assert results.shape == images.shape
  assert results.dtype == images.dtype
  places = [
    _placement(image, result, pad, flip)
    for image, result in zip(
      np.asarray(images), np.asarray(results), strict=True
    )
  ]
  assert len(set(places)) > 1


def test_nothing_to_do():
  images = _images()
  key = jax.random.key(0)
  results = augment.augment(images, key, INDEX, pad=0, flip=False)
  np.testing.assert_array_equal(results, images)


def test_placements_are_uniform():
  image = np.arange(1, 31, dtype=np.uint8).reshape(6, 5, 1)
  num = 4500
  results = augment.augment(
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
    lambda images, index: augment.augment(images, key, index, pad=2, flip=True)
  )
  whole = np.asarray(apply(images, INDEX))
  order = np.random.default_rng(0).permutation(SHAPE[0])[:16]
  part = np.asarray(apply(images[order], INDEX[order]))
  np.testing.assert_array_equal(part, whole[order])


def test_one_device_and_four_draw_alike():
  images, key = _images(), jax.random.key(3)

  def apply(images, index):
    return augment.augment(images, key, index, pad=2, flip=True)

  split = jax.pmap(apply)(
    images.reshape(4, -1, *SHAPE[1:]), INDEX.reshape(4, -1)
  )
  np.testing.assert_array_equal(
    np.asarray(split).reshape(SHAPE), apply(images, INDEX)
  )


def test_steps_differ():
  images = _images()
  one, two = (
    augment.augment(images, jax.random.key(k), INDEX, pad=2, flip=True)
    for k in (0, 1)
  )
  assert not np.array_equal(one, two)


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


@pytest.mark.parametrize(
  ("dataset", "expected"),
  [
    ("tfds:cifar100", (0.5, 0.2)),
    ("tfds:cifar10:3.0.2", (0.5, 0.2)),
    ("digits", (0.5, 0.25)),
    ("npz:/data/cifar10.npz", (0.5, 0.25)),
  ],
)
def test_normalisation(dataset, expected):
  assert augment.normalisation(dataset) == expected
