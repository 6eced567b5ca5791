"""Rotation, exemplar and useless tasks: what their losses are made of."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux import losses, methods, models
from metaaux.errors import UserError
from metaaux.methods import views
from metaaux.methods.arml import tasks as tasks_lib
from metaaux.methods.arml.tasks import semi_supervised
from metaaux.models import ModelOptions
from metaaux.run import batches as batches_lib
from metaaux.run import opening


def setting(**changes):
  """Tasks, parameters and a batch of each stream on digits."""
  config = tiny.config(method="arml", gamma=0.0, **changes)
  run = opening.open_run(config)
  tasks = tasks_lib.make(config, run.problem.spec)
  index = jnp.arange(12)
  pool = batches_lib.draw(run, run.pool, index, None)
  train = batches_lib.draw(
    run, run.pool, jnp.asarray(run.problem.train[0][:8]), None
  )
  params, stats, extra = jax.jit(tasks.init)(jax.random.key(0), train)
  batches = {"train": train, "pool": pool}
  return config, tasks, params, stats, extra, batches


def test_losses_of_one_network_pass():
  config, tasks, params, stats, extra, batches = setting()
  found = jax.jit(tasks.losses)(
    params, stats, extra, batches, jax.random.key(1)
  )
  images = jnp.concatenate([batches[k]["image"] for k in ("train", "pool")])
  index = jnp.concatenate([batches[k]["index"] for k in ("train", "pool")])
  heads = {"primary": 2, "rotation": 4, "useless": 10, "features": 0}
  network = models.make(ModelOptions.of(config.model), heads)

  @jax.jit
  def predicted(images):
    return network.apply(params, stats, images, train=False)[0]

  logits = predicted(images)
  entropy = losses.softmax_cross_entropy
  np.testing.assert_allclose(
    found.primary,
    entropy(logits["primary"][:8], batches["train"]["primary"]).mean(),
    rtol=1e-5,
  )
  turned = predicted(views.rotations(images))
  by_name = dict(zip(tasks.names, found.auxiliary, strict=True))
  np.testing.assert_allclose(
    by_name["useless"],
    entropy(logits["useless"], extra.labels[index]).mean(),
    rtol=1e-5,
  )
  np.testing.assert_allclose(
    by_name["rotation"],
    entropy(turned["rotation"], jnp.arange(80) // 20).mean(),
    rtol=1e-5,
  )
  assert -1 <= by_name["exemplar"] < 0
  assert tasks.shifts == (0.0, 1.0, 0.0)


def test_labels_of_the_useless_task_are_drawn_once_and_say_nothing():
  *_, extra, _ = setting()
  counts = np.bincount(extra.labels, minlength=10)
  assert len(extra.labels) == 1000 and counts.min() > 60 and counts.max() < 145
  *_, again, _ = setting()
  np.testing.assert_array_equal(extra.labels, again.labels)


def test_teacher_follows_by_half_at_first_and_by_a_twentieth_later():
  _, tasks, params, _, extra, _ = setting()
  zero = jax.tree.map(jnp.zeros_like, params)
  ones = jax.tree.map(jnp.ones_like, params)
  extra = extra._replace(teacher=extra.teacher._replace(params=zero))
  found = []
  for _ in range(30):
    extra = tasks.advance(extra, ones)
    found.append(float(jax.tree.leaves(extra.teacher.params)[0].ravel()[0]))
  # 1 - 1/2, 1 - 1/2 * 2/3 = 2/3, 3/4 ...: the mean of all, zero included.
  np.testing.assert_allclose(
    found[:18], [t / (t + 1) for t in range(1, 19)], rtol=1e-5
  )
  missing = 1 - np.array(found)
  np.testing.assert_allclose(missing[25:] / missing[24:-1], 0.95, rtol=1e-4)


def test_no_gradient_reaches_the_teacher_or_its_statistics():
  _, tasks, params, stats, extra, batches = setting()

  def exemplar(teacher):
    other = extra._replace(teacher=extra.teacher._replace(params=teacher))
    found = tasks.losses(params, stats, other, batches, jax.random.key(1))
    return found.auxiliary[tasks.names.index("exemplar")]

  value, grads = jax.jit(jax.value_and_grad(exemplar))(extra.teacher.params)
  assert float(value) != 0
  for leaf in jax.tree.leaves(grads):
    np.testing.assert_array_equal(leaf, 0)


def test_statistics_are_of_the_plain_and_the_turned_images():
  changes = {"model.batch_norm": True}
  _, tasks, params, stats, extra, batches = setting(**changes)
  key = jax.random.key(1)

  def after(tasks):
    """Alone in its program, where nothing else changes how it is rounded."""
    compiled = jax.jit(lambda *point: tasks.losses(*point).stats)
    return compiled(params, stats, extra, batches, key)

  found = after(tasks)
  _, without, *_ = setting(
    **changes, **{"semi_supervised.tasks": ("rotation", "useless")}
  )
  chex.assert_trees_all_equal(found, after(without))
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), found, stats)
  assert all(jax.tree.leaves(moved))


def test_cosines_and_their_gradient_at_zero(x64):
  a = jnp.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]])
  b = jnp.array([[4.0, 3.0], [1.0, 2.0], [-2.0, 0.0]])
  np.testing.assert_allclose(semi_supervised.cosines(a, b), [24 / 25, 0, -1])
  grads = jax.grad(lambda x: semi_supervised.cosines(x, b).sum())(a)
  assert np.isfinite(grads).all()
  np.testing.assert_allclose(grads[0], [28 / 625, -21 / 625])


@pytest.mark.parametrize("method", ["arml", "vat"])
def test_pool_of_unlabelled_images(method):
  config = tiny.config(method=method, **{"semi_supervised.pool": "unlabelled"})
  run = opening.open_run(config)
  (stage,) = methods.make(config, run.problem.spec)
  assert stage.streams["pool"].split == "unlabelled"
  assert stage.streams["train"].split == "train"
  batches_lib.check_batches(run, (stage,))
  run = opening.open_run(
    tiny.config(method=method, labels_per_class=0, batch_size=8)
  )
  with pytest.raises(UserError, match=r"are labelled|images have one"):
    batches_lib.check_batches(run, (stage,))


def test_heads_are_only_those_of_the_tasks():
  _, _, params, *_ = setting(**{"semi_supervised.tasks": ("rotation",)})
  assert {k for k in params if k.startswith("head_")} == {
    "head_primary",
    "head_rotation",
  }


@pytest.mark.parametrize("flip", [False, True])
def test_turned_images_are_mirrored_only_on_demand(flip):
  change = {"semi_supervised.flip_after_rotation": flip}
  _, tasks, params, stats, extra, batches = setting(**change)
  losses = jax.jit(tasks.losses)
  found = [
    losses(params, stats, extra, batches, jax.random.key(seed))
    for seed in (1, 2)
  ]
  k = tasks.names.index("rotation")
  same = float(found[0].auxiliary[k]) == float(found[1].auxiliary[k])
  assert same != flip
