"""ARML on digits: its steps, its timetable and its two stages."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from config_files import load_config

from metaaux import methods, parallel, simplex
from metaaux.config import keys as config_keys
from metaaux.errors import UserError
from metaaux.methods import task_set
from metaaux.methods.arml import arml
from metaaux.methods.arml import rules as weight_rules
from metaaux.methods.reweighting import WEIGHTINGS
from metaaux.run import batches as batches_lib
from metaaux.run import opening
from metaaux.run import states as states_lib

THREE = ("rotation", "exemplar", "useless")
# Where the number of tasks does not matter: fewer compile sooner.
ONE = {"semi_supervised.tasks": ("rotation",)}
TWO = {"semi_supervised.tasks": ("rotation", "useless")}


def assembled(**changes):
  """The fixed parts, a state and a batch of each stream."""
  config = tiny.config(method="arml", gamma=0.0, **changes)
  run = opening.open_run(config)
  problem = arml.assemble(config, run.problem.spec)
  index = {"train": run.problem.train[0][:8], "pool": np.arange(20, 32)}
  batches = {
    name: batches_lib.draw(run, run.pool, jnp.asarray(rows), None)
    for name, rows in index.items()
  }
  init = jax.jit(functools.partial(arml.init_state, problem))
  state = init(jax.random.key(0), batches["train"], None)
  return problem, state, batches


def gradient_of(problem):
  """(state, batches, key) -> that of the training loss in all parameters."""

  @jax.jit
  def found(state, batches, key):
    return task_set.gradient(
      problem.tasks,
      state,
      batches,
      key,
      state.weighting.weight_K,
      primary_weight=problem.config.primary_weight,
      axis_name=None,
    )[0]

  return found


def update(problem, state, batches, key, step, due, of=arml.update):
  compiled = jax.jit(functools.partial(of, problem, due=due))
  return compiled(state, batches, key, jnp.int32(step))


def test_the_config_knows_every_weighting():
  assert set(config_keys.WEIGHTINGS) == set(WEIGHTINGS)


def test_uniform_weights_are_the_plain_sum():
  """T16: the update is that of the summed loss."""
  problem, state, batches = assembled(**TWO, **{"weighting.name": "uniform"})
  key = jax.random.key(3)

  def total(params):
    found = problem.tasks.losses(params, state.stats, state.extra, batches, key)
    return found.primary + found.auxiliary.sum()

  new, metrics = update(problem, state, batches, key, 0, due=False)
  rate = problem.config.optimizer.learning_rate
  loss, gradient = jax.jit(jax.value_and_grad(total))(state.params)
  wanted = jax.tree.map(lambda x, g: x - rate * g, state.params, gradient)
  chex.assert_trees_all_close(new.params, wanted, rtol=1e-6, atol=1e-7)
  np.testing.assert_array_equal(new.weighting.weight_K, np.ones(2))
  np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-6)


def test_weights_move_by_the_gradients_of_the_shared_layers(x64):
  """One step against -2 G^T (g_m - G a) with G written out."""
  problem, state, batches = assembled(**{"weighting.eta": 0.003})
  state, batches = tiny.in_float64((state, batches))
  a = jnp.array([0.5, 1.5, 1.0])
  state = state._replace(weighting=state.weighting._replace(weight_K=a))
  key = jax.random.key(3)
  shared, heads = task_set.split(state.params)
  flat, unravel = jax.flatten_util.ravel_pytree(shared)

  def losses(flat):
    params = {**unravel(flat), **heads}
    found = problem.tasks.losses(params, state.stats, state.extra, batches, key)
    return jnp.concatenate([found.primary[None], found.auxiliary])

  g_m, *columns = jax.jit(jax.jacrev(losses))(flat)
  G = jnp.stack(columns, 1)
  wanted = simplex.project(a + 0.006 * G.T @ (g_m - G @ a), total=3)
  reweigh = jax.jit(functools.partial(arml.reweigh, problem))
  new, metrics = reweigh(state, batches, key)
  np.testing.assert_allclose(new.weighting.weight_K, wanted, rtol=1e-9)
  assert np.abs(wanted - a).max() > 1e-3
  np.testing.assert_allclose(
    metrics["mismatch"], ((g_m - G @ a) ** 2).sum(), rtol=1e-9
  )


# The others need nothing of the config that these do not.
RULES = sorted(
  WEIGHTINGS.keys() - {"rlw", "mgda", "cagrad", "imtl", "pcgrad", "nash_mtl"}
)


# A rule that looks at gradients, one at losses, one with parameters.
SHORT = ("arml", "dwa", "uncertainty")


@pytest.mark.parametrize(
  "name",
  [
    pytest.param(name, marks=() if name in SHORT else pytest.mark.long)
    for name in RULES
  ],
)
def test_weightings_train(name):
  values = (0.5, 1.0, 1.5) if name == "fixed" else ()
  settings = tiny.config(
    method="arml",
    **{
      "weighting.name": name,
      "weighting.values": values,
      "optimizer.learning_rate": 0.01,
      "weighting.every": 1,
    },
  )
  states, metrics, *_ = tiny.run_steps(settings, 4)
  weights = np.array(
    [[row[f"weight_{task}"][0] for task in THREE] for row in metrics]
  )
  assert np.isfinite(weights).all()
  np.testing.assert_array_equal(states[0].weighting.weight_K, weights[-1])
  if name in ("uniform", "arml", "qp_ema", "gradnorm", "dwa", "rlw"):
    np.testing.assert_allclose(weights.sum(1), 3, rtol=1e-5)
  if name == "fixed":
    np.testing.assert_allclose(weights, [values] * 4)
  elif name not in ("uniform", "dwa", "cosine_similarity"):
    assert (weights[-1] != 1).any()


@pytest.mark.slow
@pytest.mark.long
def test_the_useless_task_loses_its_weight():
  settings = load_config("arml_digits", "seeds=1")
  settings.parallel = "none"
  _, metrics, *_ = tiny.run_steps(settings, 201)
  weights = {task: metrics[-1][f"weight_{task}"][0] for task in THREE}
  assert weights["useless"] < 0.6
  assert min(weights["rotation"], weights["exemplar"]) > 0.9


def _phases(**changes):
  config = tiny.config(method="arml", num_steps=100, **changes)
  spec = opening.open_run(config).problem.spec
  (stage,) = methods.make(config, spec)
  return [step for step in range(100) if stage.phase(step) == "reweigh"]


@pytest.mark.parametrize(
  ("changes", "due"),
  [
    ({"weighting.every": 0}, [19, 39, 59, 79, 99]),
    ({"weighting.every": 30}, [29, 59, 89]),
    ({"weighting.every": 20, "weighting.until": 0.5}, [19, 39]),
    # The code's bound is strict: iteration < 50,000.
    ({"weighting.every": 20, "weighting.until": 0.4}, [19]),
    ({"weighting.every": 0, "weighting.name": "adaloss"}, list(range(100))),
    ({"weighting.every": 1, "weighting.name": "uniform"}, []),
  ],
)
def test_timetable(changes, due):
  assert _phases(**changes) == due


def test_gradnorm_compares_with_the_losses_of_the_first_update():
  """L(0) is that of iteration 20, not of the initial network."""
  changes = {"weighting.name": "gradnorm", "weighting.every": 3}
  config = tiny.config(method="arml", num_steps=5, **changes)
  states, metrics, *_ = tiny.run_steps(config, 5)
  first = [metrics[2][f"loss_{task}"][0] for task in THREE]
  shifts = np.array([0, 1, 0])  # of exemplar, a cosine
  np.testing.assert_allclose(
    states[0].weighting.first_loss_K, first + shifts, rtol=1e-5
  )


def test_adaloss_is_in_the_units_of_the_code():
  """The code logs half of each loss, and 1 more than half a cosine."""
  problem, state, batches = assembled(**{"weighting.name": "adaloss"})
  new, metrics = update(problem, state, batches, jax.random.key(3), 0, due=True)
  losses = np.array([metrics[f"loss_{task}"] for task in THREE])
  np.testing.assert_allclose(
    new.weighting.weight_K, 2 / (losses + np.array([0, 2, 0])), rtol=1e-5
  )


def test_task_weights_scale_the_heads_too():
  """A weight is of a loss, and not of the shared gradient alone."""
  problem, state, batches = assembled(**ONE)
  key = jax.random.key(3)
  gradient = gradient_of(problem)
  plain = gradient(state, batches, key)["head_rotation"]
  doubled = state.weighting._replace(weight_K=2 * state.weighting.weight_K)
  twice = gradient(state._replace(weighting=doubled), batches, key)
  chex.assert_trees_all_close(
    twice["head_rotation"], jax.tree.map(lambda x: 2 * x, plain), rtol=1e-5
  )


def test_skipped_step_moves_the_weights_alone():
  problem, state, batches = assembled(**TWO, **{"weighting.skip_step": True})
  key = jax.random.key(3)
  due, _ = update(problem, state, batches, key, 0, due=True)
  chex.assert_trees_all_equal(due.params, state.params)
  assert (due.weighting.weight_K != state.weighting.weight_K).any()
  other, _ = update(problem, state, batches, key, 1, due=False)
  assert (other.params["head_primary"]["Dense_0"]["bias"] != 0).any()


def test_skipped_step_goes_on_averaging():
  """The code updates running statistics and the teacher there, too."""
  problem, state, batches = assembled(
    **{
      "weighting.skip_step": True,
      "model.batch_norm": True,
      # The only one with a teacher.
      "semi_supervised.tasks": ("exemplar",),
    }
  )
  teacher = state.extra.teacher
  empty = teacher._replace(params=jax.tree.map(jnp.zeros_like, teacher.params))
  state = state._replace(extra=state.extra._replace(teacher=empty))
  skipped, _ = update(problem, state, batches, jax.random.key(3), 0, due=True)
  chex.assert_trees_all_close(
    skipped.extra.teacher.params, jax.tree.map(lambda x: x / 2, state.params)
  )
  for before, after in zip(
    jax.tree.leaves(state.stats), jax.tree.leaves(skipped.stats), strict=True
  ):
    assert (before != after).any()
  chex.assert_trees_all_equal(skipped.optimizer, state.optimizer)


@pytest.mark.parametrize(
  ("name", "first"),
  [
    ("uniform", "update_skipped"),
    ("adaloss", "reweigh_skipped"),
    ("arml", "reweigh_skipped"),
  ],
)
def test_each_20th_step_is_skipped_whatever_the_rule(name, first):
  changes = {"weighting.every": 0, "weighting.skip_step": True}
  config = tiny.config(
    method="arml", num_steps=60, **changes, **{"weighting.name": name}
  )
  (stage,) = methods.make(config, opening.open_run(config).problem.spec)
  phases = [stage.phase(step) for step in range(60)]
  skipped = [n for n, phase in enumerate(phases) if phase.endswith("_skipped")]
  assert skipped == [19, 39, 59] and phases[19] == first
  assert set(phases) <= stage.updates.keys()


def test_the_primary_task_may_guide_the_weights_alone():
  problem, state, batches = assembled(primary_weight=0.0, **ONE)
  grads = gradient_of(problem)(state, batches, jax.random.key(3))
  for leaf in jax.tree.leaves(grads["head_primary"]):
    np.testing.assert_array_equal(leaf, 0)
  assert optax.tree.norm(grads["head_rotation"]) > 0


def test_gradnorm_looks_at_the_last_layer_alone(x64):
  problem, state, batches = assembled(**{"weighting.name": "gradnorm"})
  state, batches = tiny.in_float64((state, batches))
  key = jax.random.key(3)

  @jax.jit
  def both(state, batches):
    tasks = weight_rules.tasks_at(
      problem.rule, problem.tasks, state, batches, key, None
    )
    found = problem.tasks.losses(
      state.params, state.stats, state.extra, batches, key
    )
    losses = tasks.auxiliary_losses(tasks.params), found.auxiliary
    return tasks.params, losses

  params, losses = both(state, batches)
  chex.assert_trees_all_equal(params, state.params["Conv_1"]["kernel"])
  np.testing.assert_allclose(*losses, rtol=1e-12)


def test_auto_lambda_holds_a_second_batch_out():
  config = tiny.config(method="arml", **{"weighting.name": "auto_lambda"})
  (stage,) = methods.make(config, opening.open_run(config).problem.spec)
  assert set(stage.streams) == {"train", "pool", "held_out"}


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"weighting.name": "fixed"}, "for 3 tasks"),
    (
      {"weighting.name": "fixed", "weighting.values": (1.0, 2.0)},
      r"\(1.0, 2.0\) for 3 tasks",
    ),
    ({"weighting.eta_mode": "relative", "weighting.eta": 2.0}, "<= 1"),
    (
      {"weighting.skip_step": True, "weighting.every": 1},
      "skips every step of the network; set weighting.every to 2 or more",
    ),
  ],
)
def test_wrong_options(changes, match):
  with pytest.raises(UserError, match=match):
    tiny.run_steps(tiny.config(method="arml", **changes), 0)


def _two_stages(num_steps=40):
  config = tiny.config(
    method="arml",
    num_steps=num_steps,
    **{
      "weighting.algorithm": "two_stage",
      "weighting.share": 0.5,
      "weighting.every": 1,
      **TWO,
    },
  )
  run = opening.open_run(config)
  return run, methods.make(config, run.problem.spec)


def test_second_stage_goes_on_with_the_mean_weights():
  run, (first, second) = _two_stages()
  assert (first.name, first.num_steps) == ("weights", 20)
  assert (second.name, second.num_steps) == ("train", 20)
  states, metrics, _ = tiny._run_stage(run, first, None, 20)
  # The last tenth of the first stage: steps 18 and 19.
  mean = [
    np.mean([row[f"weight_{task}"] for row in metrics[18:]])
    for task in ("rotation", "useless")
  ]
  before = parallel.to_host(states, run.plan)
  begun = states_lib.fresh(run, second, states, None)
  chex.assert_trees_all_equal(
    parallel.to_host(begun, run.plan).params, before.params
  )
  np.testing.assert_allclose(begun[0].weighting.weight_K, mean, rtol=1e-5)
  assert {second.phase(step) for step in range(20)} == {"update"}


def test_first_stage_has_noise_on_the_shared_layers_alone():
  changes = {"weighting.algorithm": "two_stage", "weighting.temperature": 1.0}
  problem, state, batches = assembled(**ONE, **changes)
  key = jax.random.key(3)
  noisy, _ = update(
    problem, state, batches, key, 0, due=False, of=arml.langevin_update
  )
  grads = gradient_of(problem)(state, batches, key)
  rate = problem.config.optimizer.learning_rate
  plain = jax.tree.map(lambda x, g: x - rate * g, state.params, grads)
  for name, leaves in plain.items():
    pairs = zip(
      jax.tree.leaves(leaves), jax.tree.leaves(noisy.params[name]), strict=True
    )
    gaps = np.concatenate([np.ravel(a - b) for a, b in pairs])
    if name.startswith("head_"):
      np.testing.assert_allclose(gaps, 0, atol=1e-6)
    else:
      assert gaps.std() > 0.5 * (2 * rate) ** 0.5
