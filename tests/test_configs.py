"""Every config file loads, with every argument its docstring names."""

import ast
import pathlib

import pytest
from test_train import CONFIGS, load_config

from metaaux import config as config_lib
from metaaux import config_rules
from metaaux.errors import UserError

NAMES = sorted(path.stem for path in CONFIGS.glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", config_rules.METHODS)
@pytest.mark.parametrize("size", ["", "runlocal,"])
def test_loads_and_is_valid(name, method, size):
  config = load_config(name, f"{size}method={method}")
  config_lib.validate(config)
  assert config.method == method


@pytest.mark.parametrize("name", NAMES)
def test_runlocal_is_smaller(name):
  def work(config):
    return config.num_steps * config.num_seeds

  assert work(load_config(name, "runlocal")) < work(load_config(name, ""))


@pytest.mark.parametrize("name", NAMES)
def test_docstring_gives_the_command(name):
  text = pathlib.Path(CONFIGS / f"{name}.py").read_text()
  docstring = ast.get_docstring(ast.parse(text))
  assert f"python -m metaaux.main --config=configs/{name}.py" in docstring
  for argument in ("runlocal", "method=", "seeds="):
    assert argument in docstring


def test_cifar100_is_the_paper_recipe():
  config = load_config("maxl_cifar100", "")
  assert config.num_steps == 200 * 450  # 45,000 images, batches of 100
  assert config.optimizer.decay_every == 50 * 450
  assert config.meta_fraction == 0.1
  assert config.generator.optimizer.l1 == 5e-4
  baseline = load_config("maxl_cifar100", "method=single")
  assert baseline.num_steps == 200 * 500 and baseline.meta_fraction == 0
  code = load_config("maxl_cifar100", "variant=code")
  assert code.num_steps == 200 * 1000 and code.maxl.alternate_every == 500
  assert code.generator.optimizer.weight_decay == 5e-4
  assert code.augment.pad == 4 and code.augment.flip


def test_fine_tuning_on_omniglot_has_no_blocks_to_drop():
  for method, rate in (("single", 0.5), ("fine_tune", 0.0)):
    config = load_config("meta_mtl_omniglot", f"method={method}")
    assert config.model.block_dropout == rate


def test_augmented_cifar10_of_meta_mtl():
  plain = load_config("meta_mtl_cifar10", "").augment
  assert not any(plain.values())
  augmented = load_config("meta_mtl_cifar10", "flip,grayscale=0.1").augment
  assert augmented.to_dict() == {"pad": 0, "flip": True, "grayscale": 0.1}


@pytest.mark.parametrize("name", NAMES)
def test_unknown_argument(name):
  with pytest.raises(UserError, match="runlocal"):
    load_config(name, "runlokal")
