"""Every config file loads, with every argument its docstring names."""

import ast
import pathlib

import jax
import numpy as np
import pytest
from config_files import CONFIGS, load_config

from metaaux import config as config_lib
from metaaux import models
from metaaux.config import keys as config_keys
from metaaux.errors import UserError
from metaaux.models import ModelOptions

NAMES = sorted(path.stem for path in CONFIGS.glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", config_keys.METHODS)
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
  generator = config.generator.optimizer
  assert (generator.learning_rate, generator.l1) == (1e-5, 5e-4)
  baseline = load_config("maxl_cifar100", "method=single")
  assert baseline.num_steps == 200 * 500 and baseline.meta_fraction == 0
  code = load_config("maxl_cifar100", "variant=code")
  assert code.num_steps == 200 * 1000 and code.maxl.alternate_every == 500
  generator = code.generator.optimizer
  assert (generator.learning_rate, generator.weight_decay) == (1e-3, 5e-4)
  assert code.augment.pad == 4 and code.augment.flip


@pytest.mark.parametrize("name", ["maxl_cifar10", "maxl_cifar100"])
def test_runlocal_trains_the_generator_by_adam(name):
  """SGD in both variants of the paper; the docstring says where it is not."""
  for variant, rate in (("paper", 1e-5), ("code", 1e-3)):
    generator = load_config(name, f"variant={variant}").generator.optimizer
    assert (generator.name, generator.learning_rate) == ("sgd", rate)
    small = load_config(name, f"variant={variant},runlocal").generator.optimizer
    assert (small.name, small.learning_rate) == ("adam", 1e-3)
  digits = load_config("maxl_digits", "").generator.optimizer
  assert (digits.name, digits.learning_rate) == ("adam", 1e-3)


def test_fine_tuning_on_omniglot_has_no_blocks_to_drop():
  for method, rate in (("single", 0.5), ("fine_tune", 0.0)):
    config = load_config("meta_mtl_omniglot", f"method={method}")
    assert config.model.block_dropout == rate


def test_augmented_cifar10_of_meta_mtl():
  plain = load_config("meta_mtl_cifar10", "").augment
  assert plain == config_lib.base().augment
  augmented = load_config("meta_mtl_cifar10", "flip,grayscale=0.1").augment
  changed = {k: v for k, v in augmented.items() if v != plain[k]}
  assert changed == {"flip": True, "grayscale": 0.1}


@pytest.mark.parametrize(
  ("name", "tasks", "classes"),
  [("meta_mtl_cifar10", 3, 15), ("meta_mtl_cifar100", 7, 100)],
)
def test_meta_mtl_preset_of_the_official_code(name, tasks, classes):
  config = load_config(name, "preset=code")
  config_lib.validate(config)
  assert config.meta_mtl.variant == "code_torch1"
  assert config.inner.num_steps == 3 and config.batch_size == 100
  for momentum, decay, rate in (
    (
      config.meta_mtl.code_momentum,
      config.meta_mtl.code_weight_decay,
      config.inner.learning_rate,
    ),
    (
      config.optimizer.momentum,
      config.optimizer.weight_decay,
      config.optimizer.learning_rate,
    ),
  ):
    assert (momentum, decay, rate) == (0.9, 5e-4, 0.001)
  assert config.meta_mtl.decoder_learning_rate == 0  # that of inner steps
  assert config.meta_mtl.code_clip_norm == 5.0
  assert config.optimizer.clip_norm == 0  # has been done then
  assert config.partition.num_tasks == tasks
  assert config.partition.num_classes == classes and config.augment.flip
  assert config.augment.grayscale == 0.1
  # F of 75,648 weights, and a decoder of 81,930 for ten classes.
  network = models.make(ModelOptions.of(config.model), {"primary": 10})
  images = np.zeros((1, 32, 32, 3), np.float32)
  params, _ = jax.eval_shape(network.init, jax.random.key(0), images)
  decoder = sum(x.size for x in jax.tree.leaves(params["head_primary"]))
  assert decoder == 81_930
  assert sum(x.size for x in jax.tree.leaves(params)) == 75_648 + decoder


def test_meta_mtl_preset_and_other_arguments():
  name = "meta_mtl_cifar10"
  config = load_config(name, "preset=code,num_tasks=4,flip=False")
  assert config.partition.num_tasks == 4 and not config.augment.flip
  # The keys of the official code have no effect on other variants.
  config = load_config(name, "preset=code,variant=first_order")
  assert config.meta_mtl.code_momentum == config.meta_mtl.code_clip_norm == 0
  assert load_config(name, "preset=paper") == load_config(name, "")
  with pytest.raises(UserError, match=r"preset='papr' .* paper or code"):
    load_config(name, "preset=papr")


@pytest.mark.parametrize("name", NAMES)
def test_unknown_argument(name):
  with pytest.raises(UserError, match="runlocal"):
    load_config(name, "runlokal")
