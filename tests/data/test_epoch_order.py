"""The order of examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux.data import epoch_order

POSITIONS = jnp.arange(100, 123, dtype=jnp.int32)


def test_a_pass_sees_every_example_at_most_once():
  order = epoch_order.epoch_order(jax.random.key(0), 0, POSITIONS, 5)
  assert order.shape == (4, 5)
  assert order.dtype == jnp.int32
  assert len(np.unique(order)) == 20
  assert np.isin(order, POSITIONS).all()


def test_pure_function_of_key_and_epoch():
  def draw(seed, epoch):
    key = jax.random.key(seed)
    return np.asarray(epoch_order.epoch_order(key, epoch, POSITIONS, 5))

  np.testing.assert_array_equal(draw(1, 2), draw(1, 2))
  assert not np.array_equal(draw(1, 2), draw(1, 3))
  assert not np.array_equal(draw(1, 2), draw(2, 2))
  # What is left out changes too.
  assert len(np.unique([draw(1, epoch) for epoch in range(5)])) == 23


def test_works_under_jit_and_vmap():
  keys = jax.random.split(jax.random.key(0), 3)

  @jax.jit
  def all_orders(keys, epoch):
    return jax.vmap(
      lambda key: epoch_order.epoch_order(key, epoch, POSITIONS, 5)
    )(keys)

  orders = all_orders(keys, jnp.int32(4))
  one = epoch_order.epoch_order(keys[1], 4, POSITIONS, 5)
  np.testing.assert_array_equal(orders[1], one)


def test_order_is_uniform():
  first = [
    int(epoch_order.epoch_order(jax.random.key(0), e, POSITIONS[:4], 4)[0, 0])
    for e in range(400)
  ]
  counts = np.bincount(first, minlength=104)[100:]
  # Binomial, p = 1/4: four standard errors are 35.
  assert np.abs(counts - 100).max() < 35


@pytest.mark.parametrize("batch_size", [0, 24])
def test_batch_size(batch_size):
  with pytest.raises(ValueError, match=f"batch_size={batch_size}, but the spl"):
    epoch_order.epoch_order(jax.random.key(0), 0, POSITIONS, batch_size)
