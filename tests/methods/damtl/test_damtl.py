"""DAMTL on digits: its reductions to simpler methods, and its penalties."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux import methods
from metaaux.errors import UserError
from metaaux.methods.damtl import damtl
from metaaux.run import opening

KEY = jax.random.key(0)


def updates(problem):
  """A program for all runs of a problem."""
  return jax.jit(functools.partial(damtl.update, problem))


def after(update, state, batches, steps=3):
  for step in range(steps):
    state, metrics = update(state, batches, KEY, jnp.int32(step))
  return state, metrics


def test_everything_but_the_logits_starts_from_the_big_task():
  _, state, _ = tiny.damtl_problem()
  for params in state.params:
    for name, layer in params.items():
      same = name != "dense_2"
      kernels = layer["kernel"], state.auxiliary[name]["kernel"]
      assert (kernels[0].shape == kernels[1].shape) == same
      if same:
        np.testing.assert_array_equal(*kernels)


WITHOUT_PENALTIES = {
  "damtl.sparsity": 0.0,
  "damtl.align": "none",
  "damtl.mask_spread": 0.0,
}


@functools.cache
def fine_tuned():
  """A start without masks, and what comes of it."""
  problem, start, batches = tiny.damtl_problem(
    **WITHOUT_PENALTIES, **{"damtl.mask": "none"}
  )
  return start, after(updates(problem), start, batches)[0]


@pytest.mark.parametrize("mask", ["weight", "filter"])
def test_masks_of_one_without_penalties_are_fine_tuning(mask):
  """K11, with masks that cannot move."""
  problem, state, batches = tiny.damtl_problem(
    **WITHOUT_PENALTIES, **{"damtl.mask": mask}
  )
  problem = problem._replace(
    mask_optimizer=problem.mask_optimizer._replace(
      update=lambda grads, state, params, step: (params, state)
    )
  )
  start, two = fine_tuned()
  chex.assert_trees_all_equal(state.params, start.params)
  one, _ = after(updates(problem), state, batches)
  chex.assert_trees_all_close(one.params, two.params, rtol=1e-6, atol=1e-8)
  assert all((m == 1).all() for m in jax.tree.leaves(one.masks))


def test_a_task_among_others_equals_the_task_alone():
  """K13: nothing is shared but the frozen big task."""
  problem, state, batches = tiny.damtl_problem()
  update = updates(problem)
  both, _ = after(update, state, batches)
  # The other task sees other images: the first must not notice.
  other = {**batches, "task_1": {**batches["task_1"]}}
  other["task_1"]["image"] = other["task_1"]["image"][::-1]
  again, _ = after(update, state, other)
  chex.assert_trees_all_equal(both.params[0], again.params[0])
  chex.assert_trees_all_equal(both.masks[0], again.masks[0])
  assert (
    both.params[1]["dense_2"]["kernel"] != again.params[1]["dense_2"]["kernel"]
  ).any()


def test_shared_source_ties_kernels_and_tasks():
  """Negative control of K13: now the other task is noticed."""
  problem, state, batches = tiny.damtl_problem(**{"damtl.source": "shared"})
  update = updates(problem)
  both, _ = after(update, state, batches)
  for name in ("conv_0", "conv_1"):
    kernels = [params[name]["kernel"] for params in both.params]
    np.testing.assert_array_equal(*kernels)
    assert (both.params[0][name]["bias"] != both.params[1][name]["bias"]).any()
  turned = {**batches["task_1"], "image": batches["task_1"]["image"][::-1]}
  again, _ = after(update, state, {**batches, "task_1": turned})
  assert (
    both.params[0]["conv_0"]["kernel"] != again.params[0]["conv_0"]["kernel"]
  ).any()


def test_only_convolutions_start_from_the_big_task():
  _, state, _ = tiny.damtl_problem(**{"damtl.start": "convolutions"})
  for name, layer in state.params[0].items():
    if name == "dense_2":
      continue
    same = (layer["kernel"] == state.auxiliary[name]["kernel"]).all()
    assert same == name.startswith("conv_")


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_auxiliary_network_goes_on_learning_if_wanted(weight):
  problem, state, batches = tiny.damtl_problem(
    **{"damtl.auxiliary_weight": weight}
  )
  new, metrics = after(updates(problem), state, batches)
  changed = jax.tree.map(
    lambda a, b: bool((a != b).any()), new.auxiliary, state.auxiliary
  )
  assert all(c == (weight > 0) for c in jax.tree.leaves(changed))
  assert ("auxiliary_loss" in metrics) == (weight > 0)


def test_distances_of_classes():
  """0 for networks that are the auxiliary one; one for each class of a task."""
  problem, state, batches = tiny.damtl_problem(**{"damtl.mask": "none"})
  probe = jax.jit(functools.partial(damtl.probe, problem))
  found = probe(state, batches, jnp.int32(0))
  assert found.keys() == {f"distance_{k}" for k in range(13)}
  assert max(map(float, found.values())) < 1e-9
  moved, _ = after(updates(problem), state, batches)
  found = probe(moved, batches, jnp.int32(0))
  assert min(map(float, found.values())) > 0


def test_frozen_source_keeps_its_kernels():
  """K19, with momentum and weight decay."""
  problem, state, batches = tiny.damtl_problem(
    **{"damtl.source": "frozen", "optimizer.weight_decay": 0.01}
  )
  new, _ = after(updates(problem), state, batches)
  for params, before in zip(new.params, state.params, strict=True):
    for name in ("conv_0", "conv_1"):
      np.testing.assert_array_equal(
        params[name]["kernel"], before[name]["kernel"]
      )
      assert (params[name]["bias"] != before[name]["bias"]).any()
  for one, before in zip(
    jax.tree.leaves(new.masks), jax.tree.leaves(state.masks), strict=True
  ):
    assert (one != before).any()


def test_masks_have_no_weight_decay():
  problem, state, _ = tiny.damtl_problem(
    **{"optimizer.weight_decay": 0.5, "optimizer.l1": 0.5}
  )
  step = jnp.int32(0)
  zeros = jax.tree.map(jnp.zeros_like, state.masks)
  masks, _ = problem.mask_optimizer.update(
    zeros, state.mask_optimizer, state.masks, step
  )
  chex.assert_trees_all_equal(masks, state.masks)
  zeros = jax.tree.map(jnp.zeros_like, state.params)
  params, _ = problem.optimizer.update(
    zeros, state.optimizer, state.params, step
  )
  kernels = [tree[0]["conv_0"]["kernel"] for tree in (params, state.params)]
  assert (kernels[0] != kernels[1]).any()


def test_masks_stay_positive_in_a_run():
  settings = tiny.config(
    method="damtl",
    **{
      "damtl.penalty": "sum",
      "damtl.sparsity": 50.0,
      "optimizer.learning_rate": 0.05,
    },
  )
  states, metrics, *_ = tiny.run_steps(settings, 20)
  lowest = min(float(m.min()) for m in jax.tree.leaves(states[0].masks))
  assert lowest == 0
  assert metrics[-1]["mask_near_zero_0"] > 0
  assert metrics[-1]["sparsity"] < metrics[0]["sparsity"]


def test_stages():
  config = tiny.config(method="damtl", **{"damtl.auxiliary_steps": 7})
  spec = opening.open_run(config).problem.spec
  first, second = methods.make(config, spec)
  assert (first.name, first.num_steps, first.predict) == ("auxiliary", 7, None)
  assert set(second.streams) == {"task_0", "task_1"}
  alone = methods.make(tiny.config(method="separate"), spec)
  assert [stage.name for stage in alone] == ["train"]


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"damtl.source": "frozen", "damtl.mask": "none"}, "no convolution"),
    (
      {"damtl.auxiliary_weight": 1.0, "damtl.align": "none"},
      "nothing reads what it learns",
    ),
    ({"model.kernels": (5, 5)}, r"model\.kernels=.*kernels=3 only"),
    ({"model.kernel_init": "he_fan_out"}, "know glorot_uniform"),
    (
      {"task_classes": (), "labels_per_class": 40},
      r"set config\.task_classes",
    ),
  ],
)
def test_wrong_options(changes, match):
  with pytest.raises(UserError, match=match):
    tiny.run_steps(tiny.config(method="damtl", **changes), 0)


def test_methods_of_one_task_refuse_several():
  settings = tiny.config(**{**tiny.of_several_tasks(), "method": "maxl"})
  with pytest.raises(UserError, match="knows one; use single, separate"):
    tiny.run_steps(settings, 0)


@pytest.mark.parametrize(
  ("start", "align", "needed"),
  [
    ("random", "none", False),
    ("random", "linear", True),
    ("auxiliary", "none", True),
    ("convolutions", "none", True),
  ],
)
def test_the_big_task_is_trained_where_something_reads_its_network(
  start, align, needed
):
  """Starts from it, or is aligned with it; and then it is watched."""
  settings = tiny.config(
    method="damtl", **{"damtl.start": start, "damtl.align": align}
  )
  spec = opening.open_run(settings).problem.spec
  *before, stage = methods.make(settings, spec)
  assert [each.name for each in before] == ["auxiliary"] * needed
  assert (stage.probe is not None) == needed
