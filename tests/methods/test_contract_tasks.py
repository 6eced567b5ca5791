"""Settings, rules, networks and data of one's own, and their slips."""

import re
import sys
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
import tiny
from own_methods import always, own

from metaaux import train
from metaaux.errors import UserError
from metaaux.methods import reweighting
from metaaux.methods.arml.tasks import semi_supervised


@pytest.fixture
def module(monkeypatch):
  """An importable module `mine` without anything in it."""
  found = types.ModuleType("mine")
  monkeypatch.setitem(sys.modules, "mine", found)
  return found


def arml(**changes):
  return own(
    method="arml", **{"semi_supervised.tasks": ("rotation",), **changes}
  )


def test_settings_and_rules_by_their_import_path(module, tmp_path):
  """As the package's own under another name, bit by bit."""
  module.setting = semi_supervised.make
  module.rule = lambda config: reweighting.WEIGHTINGS["dwa"](
    updates_per_epoch=config.weighting.epoch
  )
  # Weights move at each step: one program to compile.
  often = {"weighting.every": 1}
  changes = {"setting": "mine:setting", "weighting.name": "mine:rule", **often}
  theirs, _, *_ = tiny.run_steps(arml(**changes), 3)
  ours, _, *_ = tiny.run_steps(arml(**{"weighting.name": "dwa"}, **often), 3)
  for a, b in zip(jax.tree.leaves(theirs), jax.tree.leaves(ours), strict=True):
    assert (a == b).all()
  result = train.train_and_evaluate(arml(**changes), str(tmp_path / "run"))
  assert result["method"] == "weights:mine:rule"


def other_tasks(**changes):
  def make(config, spec, axis_name):
    found = semi_supervised.make(config, spec, axis_name=axis_name)
    return found._replace(**{k: v(found) for k, v in changes.items()})

  return make


OF_TASKS = {
  "text": (
    lambda c, s, axis_name: "x",
    r"returned str; the contract is make\(",
  ),
  "names": (
    other_tasks(names=always("rotation")),
    r"names is 'rotation'; it mu",
  ),
  "streams": (
    other_tasks(streams=lambda t: {"x": t.streams["train"]}),
    r"train",
  ),
  "init": (other_tasks(init=always(lambda k, b: {})), r"init .* three things"),
  "losses": (
    other_tasks(losses=always(lambda p, s, e, b, k: jnp.ones(2))),
    r"losses .*what it returned is of type .*; it must be Losses",
  ),
  "number": (
    other_tasks(
      losses=lambda t: lambda *a: t.losses(*a)._replace(auxiliary=jnp.ones(3))
    ),
    r"auxiliary returned an array \[3\]; it must be \[1\]",
  ),
  "signature": (
    other_tasks(losses=always(lambda p: p)),
    r"losses failed with TypeError: .*; the contract is losses\(params, stats",
  ),
}
OF_RULES = {
  "text": (lambda config: "x", r"returned str; the contract is make\(config\)"),
  "signature": (lambda: 0, r"TypeError: .*; the contract is make\(config\) ->"),
  "state": (
    lambda config: reweighting.Weighting(lambda k: jnp.ones(k), len),
    r"init .*; it must be a NamedTuple with weight_K",
  ),
  "update": (
    lambda config: reweighting.WEIGHTINGS["uniform"]()._replace(
      update=lambda state, tasks, key: state
    ),
    r"update .* three things, weight_K, a state and metrics",
  ),
}


@pytest.mark.parametrize("slip", OF_TASKS)
def test_slips_of_settings(slip, module, tmp_path):
  module.make, message = OF_TASKS[slip]
  with pytest.raises(UserError, match=message) as found:
    train.train_and_evaluate(arml(setting="mine:make"), str(tmp_path / "run"))
  assert str(found.value).startswith("setting='mine:make'")


@pytest.mark.parametrize("slip", OF_RULES)
def test_slips_of_rules(slip, module, tmp_path):
  module.make, message = OF_RULES[slip]
  config = arml(**{"weighting.name": "mine:make"})
  with pytest.raises(UserError, match=message) as found:
    train.train_and_evaluate(config, str(tmp_path / "run"))
  assert str(found.value).startswith("weighting.name='mine:make'")


def network(call):
  """A constructor of a network that does this to images."""

  class Net(nn.Module):
    lowering: str = "native"

    @nn.compact
    def __call__(self, images, *, train, key=None):
      flat = images.reshape(len(images), -1)
      return call(flat, nn.Dense(10, name="head_primary")(flat))

  return lambda config, **options: Net()


@pytest.mark.parametrize(
  ("key", "value", "message"),
  [
    (
      "model.name",
      network(lambda flat, logits: {"first": logits}),
      r"returned nothing for head 'primary'; it must be \[\d+, 10\] here",
    ),
    (
      "model.name",
      network(lambda flat, logits: {"primary": logits[:, :3]}),
      r"returned an array \[\d+, 3\] for head 'primary'; it must",
    ),
    (
      "model.name",
      network(lambda flat, logits: flat @ logits),
      r"failed with TypeError: .*test_contract_tasks\.py:\d+\)$",
    ),
    ("model.name", lambda config: 0, r"TypeError: .*; the contract is build\("),
    (
      "model.name",
      lambda config, **k: 0,
      r"returned int; the contract is buil",
    ),
    ("dataset", lambda: 0, r"TypeError: .*; the contract is load\(split\)"),
    (
      "dataset",
      lambda split: split.x,
      r"AttributeError: .*_tasks\.py",
    ),
  ],
)
def test_slips_of_networks_and_data(key, value, message, module, tmp_path):
  module.make = value
  path = "python:mine:make" if key == "dataset" else "mine:make"
  config = own(method="single", **{key: path})
  with pytest.raises(UserError) as found:
    train.train_and_evaluate(config, str(tmp_path / "run"))
  text = str(found.value)
  assert text.startswith(f"{key}='{path}'") and re.search(message, text), text
