import json

import ml_collections
import pytest

from metaaux import config as config_lib
from metaaux import methods
from metaaux.config import checks
from metaaux.config import keys as config_keys
from metaaux.errors import UserError

DEFAULTS = config_lib.flatten(config_lib.base())


def changed(**changes):
  config = config_lib.base()
  config.update_from_flattened_dict(changes)
  return config


def unchecked(key, value):
  """A config in which `key` has a value of any type at all."""
  nested = config_lib.base().to_dict()
  *groups, name = key.split(".")
  inner = nested
  for group in groups:
    inner = inner[group]
  inner[name] = value
  return ml_collections.ConfigDict(nested)


def test_defaults_are_valid():
  assert config_lib.validate(config_lib.base()) is None


def test_methods_are_those_that_exist():
  assert tuple(methods.METHODS) == config_keys.METHODS


def test_every_tuple_says_what_it_holds():
  items = {k for k, key in config_keys.KEYS.items() if key.item is not None}
  assert {k for k, v in DEFAULTS.items() if isinstance(v, tuple)} == items


@pytest.mark.parametrize("value", [2**31, 10**18, 10**400])
def test_whole_numbers_fit_into_32_bits(value):
  for key, default in DEFAULTS.items():
    if type(default) is int:
      with pytest.raises(UserError, match=rf"^{key}=\d+ is .* at most \d+$"):
        checks.check_value(key, value)
  checks.check_value("num_steps", 2**31 - 1)


def test_a_text_without_an_end():
  for key, value in (("cache", "a\0b"), ("attributes", ("a", "b\0"))):
    with pytest.raises(UserError, match=f"{key}=.* has a zero byte in it"):
      checks.check_value(key, value)


def test_every_number_has_a_range():
  for key, value in DEFAULTS.items():
    if type(value) in (int, float):
      with pytest.raises(UserError, match=rf"{key}=.* is out of range"):
        config_lib.validate(unchecked(key, type(value)(-1)))


@pytest.mark.parametrize("key", DEFAULTS)
def test_wrong_types_are_refused(key):
  right = type(DEFAULTS[key])
  wrong = [1, 1.0, "1", True, None, (object,)]
  for value in wrong:
    if type(value) is not right or right is tuple:
      with pytest.raises(UserError, match=f"{key}="):
        config_lib.validate(unchecked(key, value))


@pytest.mark.parametrize(
  ("key", "value", "message"),
  [
    ("num_steps", 0, "num_steps=0 .* at least 1 and at most 2147483647$"),
    ("num_steps", 10**18, "num_steps=1000000000000000000 .* 2147483647$"),
    ("batch_size", -1, "batch_size=-1 .* at least 1$"),
    ("optimizer.learning_rate", float("nan"), "=nan .* at least 0$"),
    ("optimizer.learning_rate", float("inf"), "=inf .* at least 0$"),
    ("optimizer.momentum", 2.0, "=2.0 .* at least 0 and at most 1$"),
    ("generator.optimizer.momentum", 2.0, "=2.0 .* at most 1$"),
    ("meta_fraction", 1.0, "at least 0 and at most 0.9$"),
    ("psi", (5, 0), r"psi=\(5, 0\) .* at least 1$"),
    ("psi", (5, 2.0), r"psi=\(5, 2.0\) .* tuple of int$"),
    ("model.widths", (8, 0), "at least 1$"),
    ("extra_test", (1,), "tuple of str$"),
    (
      "method",
      "maxel",
      r"'maxel' .*did you mean 'maxl'.* use one of logistic, ",
    ),
    (
      "parallel",
      "",
      "parallel='' is unknown; use one of auto, pmap, sharding, none$",
    ),
    ("seed", 2**31 - 1, None),
    ("num_seeds", 1000, None),
  ],
)
def test_values(key, value, message):
  config = changed(**{key: value})
  if message is None:
    config_lib.validate(config)
  else:
    with pytest.raises(UserError, match=message):
      config_lib.validate(config)


def test_keys_must_be_those_of_base():
  with pytest.raises(UserError, match=r"'num_stps' is unknown .*'num_steps'"):
    config_lib.validate(unchecked("num_stps", 3))
  nested = config_lib.base().to_dict()
  del nested["model"]["hidden"]
  with pytest.raises(UserError, match=r"'model\.hidden' is missing"):
    config_lib.validate(ml_collections.ConfigDict(nested))


def test_seeds_that_are_too_large():
  with pytest.raises(UserError, match="seed=2147483647 and num_seeds=2"):
    config_lib.validate(changed(seed=2**31 - 1, num_seeds=2))


@pytest.mark.parametrize(
  ("arg", "expected"),
  [
    (None, (False, "maxl", 5, 0.5, ())),
    ("", (False, "maxl", 5, 0.5, ())),
    ("runlocal", (True, "maxl", 5, 0.5, ())),
    ("method=single,runlocal", (True, "single", 5, 0.5, ())),
    ("runlocal=False,seeds=2,rate=1", (False, "maxl", 2, 1.0, ())),
    ("psi=3+4", (False, "maxl", 5, 0.5, (3, 4))),
    ("psi=3,rate=1e-3", (False, "maxl", 5, 0.001, (3,))),
    ("psi=", (False, "maxl", 5, 0.5, ())),
    ("rnlocal", r"'rnlocal' is unknown \(did you mean 'runlocal'\?\); known: "),
    ("method", "'method' needs a value"),
    ("seeds=2.5", "seeds='2.5' .* a whole number"),
    ("rate=fast", "rate='fast' .* a number"),
    ("runlocal=1", "runlocal='1' .* True or False"),
    ("psi=3+a", r"psi='3\+a' .* whole numbers joined by \+"),
  ],
)
def test_parse_argument(arg, expected):
  def parse():
    return config_lib.parse_argument(
      arg, runlocal=False, method="maxl", seeds=5, rate=0.5, psi=()
    )

  if isinstance(expected, str):
    with pytest.raises(UserError, match=expected):
      parse()
  else:
    found = parse()
    assert expected == (
      found.runlocal,
      found.method,
      found.seeds,
      found.rate,
      found.psi,
    )
    assert type(found.rate) is float


def test_set_variant():
  paper, code = config_lib.base(), config_lib.base()
  config_lib.set_variant(paper, "paper", 450)
  config_lib.set_variant(code, "code", 500)
  for config in paper, code:
    config_lib.validate(config)
  # The settings of the paper and of the official code.
  assert paper.meta_fraction == 0.1
  assert paper.generator.optimizer.learning_rate == 1e-5
  assert paper.generator.optimizer.l1 == 5e-4
  assert paper.maxl.alternate_every == 0
  assert code.meta_fraction == 0.0
  assert code.generator.optimizer.learning_rate == 1e-3
  assert code.generator.optimizer.weight_decay == 5e-4
  assert code.maxl.alternate_every == 500
  wanted = config_lib.base().augment
  wanted.update({"pad": 4, "flip": True})
  assert code.augment == wanted
  with pytest.raises(UserError, match=r"variant='papr' .* paper or code"):
    config_lib.set_variant(paper, "papr", 450)


@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"psi": (5, 5), "extra_test": ("npz:a,b+c.npz", "digits")},
    {"model.widths": (), "model.kernels": ()},
    {"optimizer.learning_rate": 1e-22, "seed": 2**31 - 1},
  ],
)
def test_json_round_trip(changes):
  config = changed(**changes)
  stored = json.loads(json.dumps(config_lib.to_json(config)))
  again = config_lib.from_json(stored)
  config_lib.validate(again)
  assert again == config
  assert config_lib.digest(again) == config_lib.digest(config)
  assert config_lib.differences(again, stored) == []


def test_digest_depends_on_values_and_not_on_order():
  config = config_lib.base()
  backwards = ml_collections.ConfigDict()
  for key in reversed(config.keys()):
    backwards[key] = config[key]
  assert config_lib.digest(backwards) == config_lib.digest(config)
  assert config_lib.digest(changed(seed=1)) != config_lib.digest(config)


def test_differences_name_keys_and_both_values():
  stored = config_lib.to_json(changed(**{"seed": 1, "model.widths": (4,)}))
  del stored["gamma"]
  stored["old"] = True
  assert config_lib.differences(config_lib.base(), stored) == [
    "gamma ('absent' -> 2.0)",
    "model.widths ([4] -> [32, 64])",
    "old (True -> 'absent')",
    "seed (1 -> 0)",
  ]
