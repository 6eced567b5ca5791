"""Optimisers against updates worked out by hand."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaaux import config as config_lib
from metaaux.errors import UserError
from metaaux.methods import optim
from metaaux.methods.optim import OptimizerOptions

PARAMS = {"w": jnp.array([1.0, -2.0, 0.0])}
GRADS = {"w": jnp.array([3.0, 4.0, 0.0])}


def make(num_steps=100, **changes):
  wanted = {"name": "sgd", "learning_rate": 0.1, **changes}
  return optim.make(OptimizerOptions(**wanted), num_steps)


def test_options_say_what_a_config_says():
  section = config_lib.base().optimizer
  assert OptimizerOptions.of(section) == OptimizerOptions("sgd", 0.1)


@pytest.mark.parametrize(
  ("changes", "direction"),
  [
    ({}, [3, 4, 0]),
    ({"weight_decay": 0.5}, [3.5, 3, 0]),
    ({"l1": 0.5}, [3.5, 3.5, 0]),
    ({"clip_norm": 1.0}, [0.6, 0.8, 0]),
    # Decay comes after clipping, so that clipping does not weaken it.
    ({"clip_norm": 1.0, "weight_decay": 0.5}, [1.1, -0.2, 0]),
  ],
)
def test_first_step(changes, direction):
  optimizer = make(**changes)
  params, _ = optimizer.update(
    GRADS, optimizer.init(PARAMS), PARAMS, jnp.int32(0)
  )
  expected = np.array([1, -2, 0]) - 0.1 * np.array(direction)
  np.testing.assert_allclose(params["w"], expected, rtol=1e-6)


def test_momentum_accumulates():
  optimizer = make(momentum=0.9)
  params, state = PARAMS, optimizer.init(PARAMS)
  for step in range(2):
    params, state = optimizer.update(GRADS, state, params, jnp.int32(step))
  moved = np.asarray(PARAMS["w"] - params["w"])
  np.testing.assert_allclose(moved, 0.1 * 2.9 * np.array([3, 4, 0]), rtol=1e-6)


def test_decay_accumulates_in_the_momentum():
  """It is part of the gradient: 0.9 of the first step's is in the second."""
  optimizer = make(momentum=0.9, weight_decay=0.5)
  w, velocity, params = np.array([1.0, -2, 0]), 0.0, PARAMS
  state = optimizer.init(PARAMS)
  for step in range(3):
    params, state = optimizer.update(GRADS, state, params, jnp.int32(step))
    velocity = 0.9 * velocity + np.array([3, 4, 0]) + 0.5 * w
    w = w - 0.1 * velocity
  np.testing.assert_allclose(params["w"], w, rtol=1e-6)


@pytest.mark.parametrize("decay", ["weight_decay", "l1"])
def test_adam_scales_the_decay_too(decay):
  """Unit steps, down the sum of gradient and decay: the last is decay alone."""
  optimizer = make(name="adam", **{decay: 8.0})
  start = {"w": jnp.array([1.0, -2.0, 0.5])}
  params, _ = optimizer.update(
    GRADS, optimizer.init(start), start, jnp.int32(0)
  )
  moved = np.asarray(start["w"] - params["w"])
  np.testing.assert_allclose(moved, [0.1, -0.1, 0.1], rtol=1e-5)


def test_adam_takes_a_unit_step_first():
  optimizer = make(name="adam")
  params, _ = optimizer.update(
    GRADS, optimizer.init(PARAMS), PARAMS, jnp.int32(0)
  )
  moved = np.asarray(PARAMS["w"] - params["w"])
  np.testing.assert_allclose(moved, [0.1, 0.1, 0], rtol=1e-5)


@pytest.mark.parametrize(
  ("schedule", "rates"),
  [
    ("constant", {0: 0.1, 99: 0.1}),
    ("step", {0: 0.1, 9: 0.1, 10: 0.05, 20: 0.025}),
    ("cosine", {0: 0.1, 50: 0.05, 100: 0.0}),
  ],
)
def test_schedules(schedule, rates):
  optimizer = make(schedule=schedule, decay_every=10, decay_factor=0.5)
  for step, rate in rates.items():
    found = optimizer.learning_rate(jnp.int32(step))
    np.testing.assert_allclose(found, rate, atol=1e-8)


def test_unknown_names():
  with pytest.raises(UserError, match="sgd, adam or adamw"):
    make(name="lion")
  with pytest.raises(UserError, match="cosine"):
    make(schedule="linear")


def test_a_pair_has_an_optimiser_for_each_half():
  fast, slow = make(learning_rate=1.0), make(momentum=0.9, learning_rate=0.1)
  both = optim.pair(fast, slow)
  params, grads = (PARAMS, PARAMS), (GRADS, GRADS)
  state = both.init(params)
  for step in range(2):
    params, state = both.update(grads, state, params, jnp.int32(step))
  np.testing.assert_allclose(params[0]["w"], PARAMS["w"] - 2 * GRADS["w"])
  np.testing.assert_allclose(
    params[1]["w"], PARAMS["w"] - 0.1 * (1 + 1.9) * GRADS["w"], rtol=1e-6
  )
  assert both.learning_rate(0) == 1.0


def test_adamw_takes_the_decay_past_adam():
  """The first step of Adam is the sign; what decays is the parameter itself."""
  optimizer = make(name="adamw", weight_decay=0.5)
  params, _ = optimizer.update(
    GRADS, optimizer.init(PARAMS), PARAMS, jnp.int32(0)
  )
  w = np.array([1.0, -2.0, 0.0])
  expected = w - 0.1 * (np.sign(GRADS["w"]) + 0.5 * w)
  np.testing.assert_allclose(params["w"], expected, rtol=1e-5)


def test_adamw_equals_that_of_optax():
  optimizer = make(name="adamw", weight_decay=0.02)
  other = optax.adamw(0.1, weight_decay=0.02)
  params, state = PARAMS, optimizer.init(PARAMS)
  known, known_state = PARAMS, other.init(PARAMS)
  for step in range(5):
    grads = {"w": GRADS["w"] * (step - 2.5)}
    params, state = optimizer.update(grads, state, params, jnp.int32(step))
    moves, known_state = other.update(grads, known_state, known)
    known = optax.apply_updates(known, moves)
  np.testing.assert_allclose(params["w"], known["w"], rtol=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_rate_grows_linearly_to_what_the_schedule_says(schedule):
  options = OptimizerOptions(
    "sgd", 0.1, schedule=schedule, decay_every=2, warmup_steps=4
  )
  warm = optim.schedule(options, 10)
  plain = optim.schedule(options._replace(warmup_steps=0), 10)
  for step, share in enumerate([0.25, 0.5, 0.75, 1.0, 1.0, 1.0]):
    np.testing.assert_allclose(warm(step), share * plain(step), rtol=1e-6)
