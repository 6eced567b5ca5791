"""Keys of a config that reach single rules, and rules that refuse them."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import toys

from metaaux import config as config_lib
from metaaux.config import keys as config_keys
from metaaux.errors import UserError
from metaaux.methods.arml import rules as weight_rules
from metaaux.methods.reweighting import WEIGHTINGS
from metaaux.methods.task_set import TaskSet

# Neither the default nor what is out of range.
OTHER = {
  "c": 0.9,
  "smallest": 0.4,
  "with_primary": True,
  "temperature": 0.5,
  "horizon": 2,
  "project": True,
  "kind": "weighted",
  "decay": 0.5,
  "detach_target": False,
  "as_code": True,
  "start": 0.7,
}
PAIRS = [
  (rule, option)
  for option, rules in config_keys.WEIGHTING_OPTIONS.items()
  for rule in rules
]
# What a constructor takes from other keys or from the setting; and what nobody
# has asked for: guards against 0, and where s of uncertainty starts, which
# leaves all weights alike.
ELSEWHERE = {
  *("values", "eta", "eta_mode", "projection", "learning_rate", "gamma"),
  *("shift", "loss_scale", "updates_per_epoch", "inner_lr", "optimizer"),
  *("epsilon", "ridge"),
}


@functools.cache
def path(rule, **options):
  """Weights of a rule over four updates, as a config makes it."""
  names = ("first", "second")
  config = tiny.config(
    method="arml",
    **{
      "weighting.name": rule,
      "weighting.epoch": 1,
      **{f"weighting.options.{key}": value for key, value in options.items()},
    },
  )
  tasks = TaskSet(names, {}, None, None, None, shifts=(1.0, 0.0))
  weighting = weight_rules.from_config(config, tasks).weighting

  def step(state, update):
    # Turning gradients and falling losses, one of which is negative.
    now = toys.linear(
      jnp.array([0.3 + 0.2 * update, 0.3, 1.5, 0.0, 0.0]),
      np.array([[0.5, 0], [0, 0.5], [0, 0], [0.2, 0], [0, 0.2]]),
      primary=3.0 - update,
      losses=jnp.array([-0.1 - 0.1 * update, 2.0 - 0.1 * update]),
    )
    weight_K, state, _ = weighting.update(state, now, jax.random.key(0))
    return state, weight_K

  return np.asarray(jax.lax.scan(step, weighting.init(2), jnp.arange(4.0))[1])


@pytest.mark.parametrize(("rule", "option"), PAIRS)
def test_an_option_reaches_its_rule(rule, option):
  plain, changed = path(rule), path(rule, **{option: OTHER[option]})
  assert np.isfinite(changed).all()
  assert not np.allclose(plain, changed)


@pytest.mark.parametrize("option", OTHER)
def test_other_rules_refuse_an_option(option):
  taking = config_keys.WEIGHTING_OPTIONS[option]
  for rule in config_keys.WEIGHTINGS:
    if rule in taking:
      continue
    with pytest.raises(UserError, match=rf"options\.{option}=.*{taking[0]}"):
      tiny.config(
        **{"weighting.name": rule, f"weighting.options.{option}": OTHER[option]}
      )


def test_every_option_of_a_constructor_has_its_key():
  for rule, constructor in WEIGHTINGS.items():
    own = set(inspect.signature(constructor).parameters) - ELSEWHERE
    keys = {option for other, option in PAIRS if other == rule}
    assert own - keys == ({"start"} if rule == "uncertainty" else set())
  keys = config_lib.base().weighting.options.keys()
  assert set(keys) == set(config_keys.WEIGHTING_OPTIONS) == set(OTHER)


def test_a_bound_on_the_weights():
  """1 / smallest bounds their sum; without one they grow without limit."""
  for rule in ("mgda", "imtl", "nash_mtl"):
    for smallest in (0.1, 0.4):
      total = np.abs(path(rule, smallest=smallest)).sum(1).max()
      assert total <= 1.001 / smallest
  tasks = 1e3 * np.eye(4)[0], toys.basis(1, 2)
  for rule in ("imtl", "nash_mtl"):
    weights, _ = toys.update_on(toys.make(rule), *tasks)
    assert weights.max() > 500
    weights, _ = toys.update_on(toys.make(rule, smallest=0.1), *tasks)
    np.testing.assert_allclose(weights, 5, rtol=1e-3)


@pytest.mark.parametrize(
  ("rule", "published"),
  [("uncertainty", 0.01), ("auto_lambda", 1e-4), ("gradnorm", 0.025)],
)
def test_rates_have_one_key(rule, published):
  """0 is the rule's own."""

  def with_rate(rate):
    changes = {"weighting.name": rule, "weighting.learning_rate": rate}
    config = tiny.config(method="arml", **changes)
    tasks = TaskSet(("first", "second"), {}, None, None, None)
    weighting = weight_rules.from_config(config, tasks).weighting
    now = toys.linear(np.eye(4)[0], toys.basis((2.0, 0), 1))
    return toys.update(weighting, now)[0]

  own = with_rate(0.0)
  np.testing.assert_array_equal(own, with_rate(published))
  assert not np.allclose(own, with_rate(0.1))
