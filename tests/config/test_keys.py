import functools
import hashlib
import json

import pytest

from experiments import results as results_lib
from metaaux import config as config_lib
from metaaux.config import keys as config_keys
from metaaux.config.keys import KEYS
from metaaux.hypergrad import ESTIMATORS
from metaaux.models import MODELS

# Keys that are younger than the first digest.
LATER = (
  *("pixels", "inputs", "partition.batch_size"),
  *("model.head_deviation", "model.form", "model.layer_norm"),
  *("model.input_norm", "model.output_norm", "model.input_dropout"),
  *("optimizer.warmup_steps", "generator.optimizer.warmup_steps"),
  "damtl.optimizer.warmup_steps",
)


def test_defaults_and_their_order_are_those_of_runs_that_are_not_finished():
  found = config_keys.defaults()
  for name in LATER:
    *groups, key = name.split(".")
    del functools.reduce(dict.__getitem__, groups, found)[key]
  text = json.dumps(found)
  assert hashlib.sha256(text.encode()).hexdigest() == (
    "787a82d2f7920e4376c1f90496962064b74069ab5d41aadfd05646693fca65ba"
  )
  assert config_lib.digest(config_lib.base()) == (
    "fb6df94369c008790cb10e08ba5ff3e62a02fbef1108f82190f906994187a2b1"
  )


def test_no_group_replaces_a_key_of_another():
  named = [name for group in config_keys.GROUPS for name in group.keys]
  assert len(named) == len(set(named)) == len(KEYS)
  assert set(named) == set(config_lib.flatten(config_lib.base()))


@pytest.mark.parametrize("name", KEYS)
def test_each_key_has_a_sentence_and_readers_that_exist(name):
  key = KEYS[name]
  assert key.help[0].isupper() and key.help.endswith(".")
  # The row of a table, and no code.
  assert "|" not in key.help and "`" not in key.help
  assert not set(key.methods) - set(config_keys.METHODS)
  for other, wanted in key.when.items():
    known = KEYS[other].choices
    assert not known or set(wanted) <= set(known), other


def test_words_that_other_tables_check_are_in_the_sentence():
  for name in MODELS:
    assert name in KEYS["model.name"].help
  for name in ESTIMATORS:
    assert name in KEYS["inner.estimator"].help


def test_columns_of_the_data_have_places():
  places = sorted(key.column for key in KEYS.values() if key.column)
  assert places == list(range(1, len(places) + 1))


def test_what_names_of_runs_leave_out():
  assert {
    *("method", "seed", "num_seeds", "weighting.name"),
    *("eval_every", "parallel", "pool", "tensorboard", "model.lowering"),
  } <= results_lib.NOT_MEASURED
  assert "num_steps" not in results_lib.NOT_MEASURED
  for name in ("aux", "psi", "damtl.start", "inner.num_steps", "setting"):
    assert results_lib._is_auxiliary(name)
  for name in ("model.width", "task_classes", "own.depth", "gamma"):
    assert not results_lib._is_auxiliary(name)


@pytest.mark.parametrize(
  ("name", "changes", "expected"),
  [
    ("gamma", {}, True),
    ("damtl.start", {}, False),
    ("damtl.start", {"method": "transfer"}, True),
    ("damtl.start", {"method": "my_method:make"}, True),
    ("optimizer.decay_every", {}, False),
    ("optimizer.decay_every", {"optimizer.schedule": "step"}, True),
    ("model.depth", {"model.name": "my_network:build"}, True),
    ("task_looks", {"method": "single"}, False),
    ("task_looks", {"method": "single", "task_classes": ("0-4",)}, True),
    ("meta_fraction", {"target_domain": "photo"}, False),
  ],
)
def test_which_keys_are_read(name, changes, expected):
  values = {**config_keys.flat_defaults(), **changes}
  assert config_keys.is_read(name, values) is expected
