"""The configs of ARML: arguments, the papers' recipes, and short runs."""

import pytest
import tiny
import tiny_tfds
from config_files import load_config

from metaaux import config as config_lib
from metaaux import train
from metaaux.errors import UserError

SSL = ("arml_cifar10", "arml_svhn")


@pytest.mark.parametrize("name", SSL)
def test_semi_supervised_is_the_paper_recipe(name):
  config = load_config(name, "")
  assert config.model.name == "wide_resnet" and config.model.depth == 28
  assert (config.num_steps, config.batch_size) == (200_000, 128)
  assert config.optimizer.name == "adam"
  assert config.optimizer.learning_rate == 5e-3
  assert config.optimizer.decay_every == 160_000
  assert config.optimizer.decay_factor == 0.2
  assert (
    config.labels_per_class == {"arml_cifar10": 400, "arml_svhn": 100}[name]
  )
  assert config.num_seeds == 3 and config.augment.pad == 2
  assert config.augment.flip == (name == "arml_cifar10")
  assert (config.weighting.eta, config.weighting.every) == (0.0125, 0)
  assert config.augment.mode == "reflect"
  assert config.augment.noise == {"arml_cifar10": 0.15, "arml_svhn": 0}[name]
  assert config.semi_supervised.pool == "unlabelled"
  assert config.semi_supervised.flip == (name == "arml_cifar10")
  # The only views are those of `augment`: digits are not mirrored.
  assert not config.consistency.flip and config.consistency.noise == 0
  assert config.consistency.epsilon == {"arml_cifar10": 6, "arml_svhn": 1}[name]
  assert (config.model.norm_momentum, config.model.norm_epsilon) == (
    0.999,
    1e-3,
  )


def test_validation_images_of_the_papers():
  """As many are left without a label as in the code."""
  for name, left in (("arml_cifar10", 41_000), ("arml_svhn", 73_257 - 8_320)):
    config = load_config(name, "")
    held_out = config.meta_per_class
    assert 10 * held_out == {"arml_cifar10": 5000, "arml_svhn": 7320}[name]
    train = {"arml_cifar10": 50_000, "arml_svhn": 73_257}[name]
    assert train - 10 * (config.labels_per_class + held_out) == left
    assert load_config(name, "runlocal").meta_per_class == 0
    small = load_config(name, "runlocal,validation=200")
    assert small.meta_per_class == 20
  with pytest.raises(UserError, match="validation=15 cannot be divided"):
    load_config("arml_svhn", "validation=15")


def test_single_task_training_sees_as_many_images():
  for arg, size in (("", 256), ("labels=100,", 100), ("runlocal,", 64)):
    config = load_config("arml_cifar10", f"{arg}method=single")
    assert config.batch_size == size


@pytest.mark.parametrize(
  ("method", "rate"),
  [("pi_model", 3e-4), ("mean_teacher", 7e-4), ("vat", 3e-3), ("single", 5e-3)],
)
def test_comparators_have_their_own_rates(method, rate):
  config = load_config("arml_cifar10", f"method={method}")
  assert config.optimizer.learning_rate == rate


def test_preset_of_the_official_code():
  config = load_config("arml_cifar10", "preset=code,weighting=gradnorm")
  assert config.weighting.projection == "shift_clamp"
  assert config.weighting.skip_step
  assert config.semi_supervised.flip_after_rotation
  assert config.weighting.gamma == 1
  options = config.weighting.options
  assert options.as_code and not options.detach_target
  assert (config.model.norm_momentum, config.model.norm_epsilon) == (0.9, 1e-5)
  config = load_config("arml_cifar10", "weighting=cosine_similarity")
  assert config.weighting.until == 0.25


@pytest.mark.parametrize(
  ("name", "arg", "match"),
  [
    ("arml_cifar10", "labels=1001", "labels=1001 cannot be divided"),
    ("arml_digits", "labels=7", "labels=7 cannot be divided"),
    ("arml_svhn", "preset=papr", "preset='papr' is unknown"),
    ("arml_pacs", "mode=jt", "mode='jt' is unknown"),
  ],
)
def test_wrong_arguments(name, arg, match):
  with pytest.raises(UserError, match=match):
    load_config(name, arg)


def test_modes_of_pacs():
  config = load_config("arml_pacs", "")
  assert config.dataset == "npz:pacs.npz" and config.target_domain == "sketch"
  assert config.model.name == "resnet18"
  assert (config.labels_per_class, config.batch_size) == (5, 35)
  assert load_config("arml_pacs", "labels=100").batch_size == 128
  for domain, images in (("sketch", 5456), ("photo", 7489)):
    steps = load_config("arml_pacs", f"target_domain={domain}").num_steps
    assert steps == 100 * round(images / 128)
  assert config.primary_weight == 1 and config_lib.label(config) == "arml"
  for arg, label in (
    ("weighting=uniform", "weights:uniform"),
    ("mode=baseline,weighting=uniform", "baseline"),
    ("mode=baseline", "baseline:arml"),
    ("method=fada", "fada"),
    ("method=fada,weighting=arml", "fada:arml"),
    ("method=single", "single"),
  ):
    assert config_lib.label(load_config("arml_pacs", arg)) == label
  # Of any size that the images have: it is read where that is known.
  for arg in ("", "runlocal", "method=single"):
    moves = load_config("arml_pacs", arg).augment
    assert (moves.pad, moves.shift, moves.flip) == (0, 0.1, True)
  folder = load_config("arml_pacs", "data=/data/PACS")
  assert folder.dataset == "folder:/data/PACS"


@pytest.mark.parametrize(
  ("name", "dataset"),
  [
    ("arml_svhn", "svhn_cropped"),
    # The other differs in its moves, which have tests of their own.
    pytest.param("arml_cifar10", "cifar10", marks=pytest.mark.long),
  ],
)
def test_semi_supervised_runs_on_a_tiny_tfds(
  tmp_path, monkeypatch, name, dataset
):
  tiny_tfds.write(tmp_path, dataset, num_train=200, num_test=40)
  tiny_tfds.use(monkeypatch, tmp_path)
  config = load_config(name, "runlocal,labels=50")
  config.update_from_flattened_dict(
    {
      "batch_size": 10,
      "num_steps": 2,
      "eval_every": 0,
      "parallel": "none",
      "model.widths": (2, 4),
      "model.lowering": "native",
    }
  )
  result = train.train_and_evaluate(config, str(tmp_path / "run"))
  assert result["steps"] == 2 and 0 <= result["mean"] <= 1
  assert result["method"] == "arml"


def test_domains_run(tmp_path):
  config = load_config("arml_pacs", "runlocal,labels=2,target_domain=negative")
  config.update_from_flattened_dict(
    {
      **tiny.of_domains(),
      "shrink": 1,
      "num_steps": 2,
      "eval_every": 0,
      "parallel": "none",
      "batch_size": 14,
      "model.widths": (2, 2, 4),
      "model.lowering": "native",
    }
  )
  result = train.train_and_evaluate(config, str(tmp_path / "run"))
  assert result["steps"] == 2 and 0 <= result["mean"] <= 1
