"""The configs of ARML's multi-label setting."""

import jax
import numpy as np
import pytest
import tiny_tfds
from config_files import load_config

from metaaux import config as config_lib
from metaaux import models, train
from metaaux.models import ModelOptions

NAMES = ("arml_celeba", "arml_cifar100")


@pytest.mark.parametrize("name", NAMES)
def test_arguments(name):
  config = load_config(name, "attribute=x,weighting=gradnorm,labels=0.05")
  config_lib.validate(config)
  assert (config.primary, config.label_fraction) == ("x", 0.05)
  assert config.weighting.name == "gradnorm"
  assert config.setting == "attributes" and config.num_seeds == 3
  assert load_config(name, "labels=1").label_fraction == 0
  assert load_config(name, "labels=1,runlocal").label_fraction == 0
  rate = load_config(name, "").weighting
  wanted = (0.05, "relative") if name == "arml_celeba" else (0.0125, "absolute")
  assert (rate.eta, rate.eta_mode) == wanted


def test_celeba_is_the_paper_recipe():
  config = load_config("arml_celeba", "")
  assert config.num_steps == 90 * 635  # batches of 256 of 162,770 images
  assert config.batch_size == 128  # of each of two streams
  assert config.optimizer.decay_every == 30 * 635
  assert config.optimizer.decay_factor == 0.1
  assert config.label_fraction == 0.01 and config.image_side == 128
  network = models.make(
    ModelOptions.of(config.model), {"primary": 1, "attributes": 39}
  )
  images = np.zeros((1, 128, 128, 3), np.float32)
  params, _ = jax.eval_shape(network.init, jax.random.key(0), images)
  assert sum(x.size for x in jax.tree.leaves(params)) == 11_197_032


@pytest.mark.slow
def test_celeba_runs(monkeypatch, tmp_path):
  """All of it on a tiny prepared set, with a narrow network."""
  data_dir = tmp_path / "tfds"
  tiny_tfds.write(data_dir, "celeb_a", num_train=64, num_test=40)
  tiny_tfds.use(monkeypatch, data_dir)
  arguments = "runlocal,attribute=Smiling,labels=0.5,weighting=uniform"
  config = load_config("arml_celeba", arguments)
  config.update_from_flattened_dict(
    {
      "train_split": "train",
      "test_split": "test",
      "image_side": 16,
      "batch_size": 16,
      "num_steps": 3,
      "eval_every": 0,
      "checkpoint_every": 0,
      "model.width": 1 / 32,
      "model.lowering": "native",
      "parallel": "none",
    }
  )
  result = train.train_and_evaluate(config, str(tmp_path / "run"))
  assert len(result["attributes"]) == 40 and "Smiling" in result["attributes"]
  for metrics in result["attributes"].values():
    assert set(metrics) == {"average_precision", "balanced_accuracy"}
  assert np.isfinite(result["mean"])
