"""Shifts as a share of an image's side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux.errors import UserError
from metaaux.run import batches, opening


@pytest.mark.parametrize("side", [8, 20, 64, 227])
def test_a_shift_is_a_share_of_the_side(side, tmp_path):
  """Whatever size images are stored in or made to."""
  values = np.arange(side * side * 3, dtype=np.int64).reshape(side, side, 3)
  path = tmp_path / "side.npz"
  images = np.tile((values % 251).astype(np.uint8) + 1, (4, 1, 1, 1))
  labels = np.array([0, 0, 1, 1])
  np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)

  def drawn(**changes):
    changes = {f"augment.{key}": value for key, value in changes.items()}
    run = opening.open_run(
      tiny.config(
        dataset=f"npz:{path}", labels_per_class=0, batch_size=2, **changes
      )
    )
    return batches.draw(run, run.pool, jnp.arange(4), jax.random.key(3))[
      "image"
    ]

  pixels = round(0.1 * side)
  np.testing.assert_array_equal(drawn(shift=0.1), drawn(pad=pixels))
  assert not np.array_equal(drawn(shift=0.1), drawn(pad=0))


def test_a_shift_that_moves_nothing_or_twice(tmp_path):
  with pytest.raises(UserError, match=r"shift=0\.05 .* 0\.4 pixels .*8x8x1"):
    opening.open_run(tiny.config(**{"augment.shift": 0.05}))
  with pytest.raises(
    UserError, match=r"augment\.shift=0\.1 and augment\.pad=2"
  ):
    tiny.config(**{"augment.shift": 0.1, "augment.pad": 2})
