"""Rotations, mirrors, noise and holes: known answers, and independence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux.errors import UserError
from metaaux.methods import views


def images(count=6, side=5, channels=2, seed=0):
  values = np.random.default_rng(seed).random((count, side, side, channels))
  return jnp.asarray(values, jnp.float32)


def keys(count=6, seed=0):
  return jax.random.split(jax.random.key(seed), count)


def test_rotations_are_counter_clockwise():
  image = jnp.arange(4.0).reshape(1, 2, 2, 1)
  found = views.rotations(image)[..., 0]
  np.testing.assert_array_equal(
    found,
    [[[0, 1], [2, 3]], [[1, 3], [0, 2]], [[3, 2], [1, 0]], [[2, 0], [3, 1]]],
  )


def test_mirrored_quarter_turns_change_places():
  """Why images are mirrored before they are turned."""
  x = images()
  turned = views.rotations(x).reshape(4, *x.shape)
  of_mirrored = views.rotations(x[:, :, ::-1]).reshape(4, *x.shape)
  np.testing.assert_array_equal(turned[1][:, :, ::-1], of_mirrored[3])
  np.testing.assert_array_equal(turned[3][:, :, ::-1], of_mirrored[1])
  # A set that holds its mirror images: the same views at 90 and at 270.
  both = views.rotations(jnp.concatenate([x, x[:, :, ::-1]]))
  _, quarter, _, three = np.asarray(both).reshape(4, 12, -1)
  mirrored = np.asarray(three).reshape(12, 5, 5, 2)[:, :, ::-1].reshape(12, -1)
  assert sorted(map(tuple, quarter)) == sorted(map(tuple, mirrored))


def test_mirror_takes_half():
  x = images(1000, 2, 1)
  found = np.asarray(views.mirror(x, keys(1000)))
  same = (found == x).all((1, 2, 3))
  swapped = (found == x[:, :, ::-1]).all((1, 2, 3))
  assert (same | swapped).all()
  assert 430 < swapped.sum() < 570


def test_noise_has_its_deviation():
  x = jnp.zeros((400, 4, 4, 1))
  found = np.asarray(views.add_noise(x, keys(400), 0.3))
  assert abs(found.std() - 0.3) < 0.01 and abs(found.mean()) < 0.01


def test_holes_are_cut_off_at_the_border():
  x = jnp.ones((500, 6, 6, 1))
  found = np.asarray(views.cut_out(x, keys(500), (3, 3)))[..., 0]
  zeros = (found == 0).sum((1, 2))
  assert set(zeros) == {4, 6, 9}
  # The centre is any pixel, alike: 4 of 6 rows keep all three rows of a hole.
  assert abs((zeros == 9).mean() - (4 / 6) ** 2) < 0.08
  assert set(np.unique(found)) == {0, 1}


@pytest.mark.parametrize(
  "view",
  [
    views.mirror,
    lambda x, k: views.add_noise(x, k, 1.0),
    lambda x, k: views.cut_out(x, k, (2, 2)),
  ],
)
def test_a_view_does_not_depend_on_the_batch(view):
  x, whole, part = images(), keys(), keys()[2:4]
  np.testing.assert_array_equal(view(x, whole)[2:4], view(x[2:4], part))


def test_only_squares_turn():
  with pytest.raises(UserError, match="8x9"):
    views.check_square((8, 9, 1))
