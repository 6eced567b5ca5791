"""Slips of methods of one's own: one line that says what is asked for."""

import functools
import re
import sys
import types
from collections import namedtuple

import jax
import jax.numpy as jnp
import pytest
from own_methods import always, own

from metaaux import main, models, train
from metaaux.errors import UserError
from metaaux.methods import optim, steps
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import ModelOptions
from metaaux.stage import Prepare, Stage, StreamSpec

State = namedtuple("State", "params stats optimizer")
TRAIN = {"train": StreamSpec("train", augment=False)}


def stage_of(config, spec, axis_name=None, **changes):
  """A method that keeps to the contract but for some fields."""
  net = models.make(
    ModelOptions.of(config.model), {"primary": spec.num_primary}
  )
  optimizer = optim.make(
    OptimizerOptions.of(config.optimizer), config.num_steps
  )
  loss = functools.partial(steps.primary_loss, net, gamma=config.gamma)

  def init(key, batch, previous):
    params, stats = net.init(key, batch["image"])
    return State(params, stats, optimizer.init(params))

  def update(state, batches, key, step):
    def of(params, stats):
      return loss(params, stats, batches["train"], key=key)

    *new, metrics = steps.descend(of, optimizer, *state, step, axis_name)
    return State(*new), metrics

  predict = steps.predictor(net)
  stage = Stage("train", config.num_steps, TRAIN, init, {"u": update}, predict)
  stage = stage._replace(phase=lambda step: "u")
  return stage._replace(
    **{k: v(stage) if k != "name" else v for k, v in changes.items()}
  )


@pytest.fixture
def module(monkeypatch):
  """An importable module `mine` without anything in it."""
  found = types.ModuleType("mine")
  monkeypatch.setitem(sys.modules, "mine", found)
  return found


def updated(change):
  """An update whose (state, metrics) are changed before they are returned."""

  def make(stage):
    def update(state, batches, key, step):
      return change(*stage.updates["u"](state, batches, key, step))

    return {"u": update}

  return make


def field(**changes):
  return lambda c, s, axis_name: (stage_of(c, s, axis_name, **changes),)


SLIPS = {
  # What make returns.
  "text": (
    lambda c, s, axis_name: "train",
    r"returned str; the contract is ma",
  ),
  "stage": (
    lambda c, s, axis_name: stage_of(c, s),
    r"one Stage; .* \(stage,\)",
  ),
  "none": (lambda c, s, axis_name: None, r"returned NoneType; the contract is"),
  "empty": (lambda c, s, axis_name: [], r"returned no stage; the contract is"),
  "other": (lambda c, s, axis_name: (1,), r"returned tuple of int; the contra"),
  "signature": (lambda c: (), r"TypeError: .*; the contract is make\(config"),
  "fails": (
    lambda c, s, axis_name: 1 // 0,
    r"failed with ZeroDivisionError: .*\(.*test_contract\.py:\d+\)$",
  ),
  "missing": (
    lambda c, s, axis_name: (Stage("train", 3, TRAIN),),
    r"failed with TypeError: .*missing 3 required .*test_contract\.py:\d+",
  ),
  "two": (
    lambda c, s, axis_name: (stage_of(c, s), stage_of(c, s)),
    r"stages of one name \(train, train\); give each its own",
  ),
  # Its fields.
  "name": (field(name=3), r"name of a stage is 3; it must be a text"),
  "steps": (field(num_steps=always(2.5)), r"'train': num_steps is 2\.5; it"),
  "streams": (field(streams=always(["train"])), r"streams is of type list; it"),
  "stream": (
    field(streams=always({"train": "train"})),
    r"'train' is 'train'; ",
  ),
  "split": (
    field(streams=always({"train": StreamSpec("trian", False)})),
    r"split 'trian', which .* use one of train, meta, all, unlabelled",
  ),
  "updates": (
    field(updates=lambda s: s.updates["u"]),
    r"updates is of type fu",
  ),
  "no update": (field(updates=always({})), r"updates is of type dict; it must"),
  "predict": (field(predict=always(None)), r"has no predict, so that nothing"),
  "prepare": (
    field(prepare=always(len)),
    r"prepare is .* metaaux\.stage\.Prep",
  ),
  "reuse": (field(reuse=always({"a": len})), r"reuse is .* that JSON can hold"),
  # Signatures and results of its functions.
  "init": (
    field(init=always(lambda key, batch: ())),
    r"'train': init failed with TypeError: .*init\(key, batch, previous\)",
  ),
  "state": (
    field(init=always(lambda k, b, p: ["a"])),
    r"leaf \[0\] is 'a'; it",
  ),
  "update": (
    field(updates=always({"u": lambda state, batch: state})),
    r"update 'u' failed with TypeError: .*update\(state, batches, key, step\)",
  ),
  "inside": (
    field(updates=always({"u": lambda s, b, k, t: b["pool"]})),
    r"update 'u' failed with KeyError: 'pool' \(.*test_contract\.py:\d+\)$",
  ),
  "alone": (
    field(updates=updated(lambda state, metrics: state)),
    r"returned State of 3; return two things, the new state and a mapping",
  ),
  "loss": (
    field(updates=updated(lambda state, metrics: (state, metrics["loss"]))),
    r"what it returned for metrics is of type .*; it must be a mapping from",
  ),
  "vector": (
    field(
      updates=updated(lambda state, metrics: (state, {"loss": jnp.ones(3)}))
    ),
    r"metric 'loss' has the shape \[3\]; it must be a scalar",
  ),
  "column": (
    field(updates=updated(lambda state, metrics: (state, {"step": 1.0}))),
    r"metric 'step' has the name of a column",
  ),
  "lost": (
    field(updates=updated(lambda state, m: (state._replace(params={}), m))),
    r"with other leaves than what it replaces.*return all of them",
  ),
  "grown": (
    field(
      updates=updated(
        lambda state, m: (jax.tree.map(lambda x: x[None], state), m)
      )
    ),
    r"leaf .* is float32\[1, .*\], and what it replaces is float32\[",
  ),
  "logits": (
    field(predict=always(lambda state, images: images[:, 0, 0])),
    r"predict .* returned an array \[16, 1\]; it must be \[16, 10\]",
  ),
  "classes": (
    field(predict=lambda s: lambda *a: s.predict(*a).argmax(-1)),
    r"returned an array \[16\]; it must be \[16, 10\]",
  ),
  "phase": (
    field(phase=always(lambda step: "v")),
    r"phase .* 'v'; .* one of 'u'",
  ),
  "program": (field(program=always(None)), r"program is None; it must be a te"),
  "programs": (
    lambda c, s, axis_name: tuple(
      stage_of(c, s)._replace(name=name, program="p") for name in ("a", "b")
    ),
    r"'a' and 'b' name one program, 'p', and differ in updates; give both",
  ),
  "targets": (
    field(targets=always(lambda state, batch: batch["image"])),
    r"targets .* returned an array \[16, 8, 8, 1\]; it must be \[16, 50\]",
  ),
  "probe": (
    field(probe=always(lambda state, batches, step: 1.0)),
    r"probe .*for metrics is 1\.0; it must be a mapping",
  ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_one_line_before_a_run_begins(slip, module, tmp_path):
  make, message = SLIPS[slip]
  module.make = make
  with pytest.raises(UserError) as found:
    train.train_and_evaluate(own(method="mine:make"), str(tmp_path / "run"))
  text = str(found.value)  # without what JAX notes of its frames
  assert re.search(message, text), text
  assert "\n" not in text
  if slip != "split":
    assert text.startswith("method='mine:make'")
  assert not (tmp_path / "run").exists()


LATE = {
  "alarms": (
    {"alarms": always(lambda row: ("too low",))},
    r"alarms .* of type tuple; it must be a mapping of texts by kind",
  ),
  "shapes": (
    {
      "prepare": always(
        Prepare(jax.ShapeDtypeStruct((3,), "float32"), lambda view: jnp.ones(4))
      )
    },
    r"prepare .*: leaf of it is float32\[4\], and what .* is float32\[3\]",
  ),
  "view": (
    {
      "prepare": always(
        Prepare(jax.ShapeDtypeStruct((3,), "float32"), lambda view: view.labels)
      )
    },
    r"prepare failed with AttributeError: .*labels.*test_contract\.py",
  ),
}


@pytest.mark.parametrize("slip", LATE)
def test_a_slip_that_only_the_host_can_see(slip, module, tmp_path):
  changes, message = LATE[slip]
  module.make = field(**changes)
  with pytest.raises(UserError, match=message) as found:
    train.train_and_evaluate(own(method="mine:make"), str(tmp_path / "run"))
  assert "\n" not in str(found.value)


def test_the_command_ends_with_status_2(module, tmp_path, capsys):
  module.make = SLIPS["text"][0]
  status = main.main(
    [
      "--config=configs/maxl_digits.py:method=mine:make",
      f"--workdir={tmp_path / 'run'}",
      "--compilation_cache=",
    ]
  )
  error = capsys.readouterr().err.splitlines()
  assert status == 2 and len(error) == 1 and "returned str" in error[0]


def temperature(config, spec, axis_name):
  """Reads one key of its own, inside the update."""

  def change(state, metrics):
    return state, {**metrics, "t": jnp.float32(config.own.warmth.degrees)}

  return field(updates=updated(change))(config, spec, axis_name)


@pytest.mark.parametrize("method", ["mine:make", "single"])
def test_a_key_of_ones_own_that_nobody_reads(method, module, tmp_path, capsys):
  module.make = temperature
  config = own(method=method)
  config.own = {"warmth": {"degrees": 2.0, "degres": 3.0}, "gama": 1.0}
  train.train_and_evaluate(config, str(tmp_path / "run"))
  told = [x for x in capsys.readouterr().err.splitlines() if "nobody" in x]
  assert len(told) == 1 and "own.gama, " in told[0]
  assert "own.warmth.degres:" in told[0]
  assert ("own.warmth.degrees" in told[0]) == (method == "single")


def test_a_key_of_ones_own_that_is_read_is_silent(module, tmp_path, capsys):
  module.make = temperature
  config = own(method="mine:make")
  config.own = {"warmth": {"degrees": 2.0}}
  train.train_and_evaluate(config, str(tmp_path / "run"))
  assert "nobody" not in capsys.readouterr().err
