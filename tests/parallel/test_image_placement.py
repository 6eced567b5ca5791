"""Images in parts on the devices: the same batches, the same training."""

import jax
import numpy as np
import pytest
import tiny

from metaaux import parallel
from metaaux.parallel import image_placement
from metaaux.run import opening


@pytest.mark.parametrize("form", ["pmap", "sharding"])
@pytest.mark.parametrize("num_images", [8, 9, 11])
def test_every_device_gets_what_it_asks_for(form, num_images):
  plan = parallel.plan(tiny.config(parallel=form, pool="divide"))
  assert plan.divide_pool and plan.num_shards == 4
  rng = np.random.default_rng(0)
  examples = {
    "image": rng.integers(0, 256, (num_images, 3, 2, 1), np.uint8),
    "primary": rng.integers(0, 5, num_images),
  }
  placed = image_placement.place(examples, plan)
  each = -(-num_images // 4)
  assert placed["image"].shape == (4, each, 3, 2, 1)
  assert placed["primary"].shape == (4, num_images)
  # Two of the same, the last one, and all from one part.
  wanted = np.array([0, 0, num_images - 1, 3, 1, 1, 0, 1], np.int32)

  def fn(state, index_B, found, step):
    del state, step
    return (image_placement.images(found, parallel.shard(index_B, plan), plan),)

  compiled = parallel.compile_step(fn, plan)
  inputs = parallel.from_host(wanted[None], plan)
  (images,) = compiled((None,), inputs, placed, np.int32(0))
  found = parallel.gather(images, plan)[0]
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, examples["image"][wanted])


# Two cases have each way of going through devices and through seeds once.
@pytest.mark.parametrize(
  ("form", "seeds"),
  [
    ("pmap", "vmap"),
    ("sharding", "loop"),
    pytest.param("pmap", "loop", marks=pytest.mark.long),
    pytest.param("sharding", "vmap", marks=pytest.mark.long),
  ],
)
def test_training_is_the_same(form, seeds):
  changes = {
    **dict(parallel=form, seeds=seeds, num_seeds=2, method="maxl"),
    **{"model.widths": (4,), "model.kernels": (3,)},
  }
  whole, divided = (
    tiny.run_steps(tiny.config(pool=kind, **changes), 3)
    for kind in ("auto", "divide")
  )
  assert not whole[2].plan.divide_pool
  for states in zip(
    jax.tree.leaves(whole[0]), jax.tree.leaves(divided[0]), strict=True
  ):
    # Two programs: batches are equal, sums of floats in another order.
    np.testing.assert_allclose(*map(np.asarray, states), rtol=1e-4, atol=1e-6)


def test_one_device_has_all():
  run = opening.open_run(tiny.config(pool="divide", parallel="none"))
  assert not run.plan.divide_pool
  assert run.pool["image"].shape == run.problem.pool["image"].shape
