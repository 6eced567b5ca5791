"""The hyperparameters of the shipped configs stay what runs were made with."""

import hashlib
import json
import pathlib

import pytest

from metaaux import config as config_lib
from metaaux.config import earlier
from metaaux.config import file as config_file
from metaaux.errors import UserError

FOLDER = pathlib.Path(__file__).parents[2] / "configs"
# What recipes branch on.
ARGUMENTS = (
  *("", "runlocal", "method=single", "method=fada", "preset=code"),
  *("variant=code", "weighting=gradnorm", "tasks=no", "tasks=po3"),
  *("labels=50", "mode=baseline", "target_domain=photo,runlocal"),
)
# Of all values that are not the defaults, so that new keys change nothing.
DIGESTS = {
  "arml_celeba": "a2e2dc2096e4ab35",
  "arml_cifar10": "ada5fa7f57ba8e02",
  "arml_cifar100": "6a2ad1ec4fb5d346",
  "arml_digits": "7fd8943a84e9e7e0",
  "arml_pacs": "bcdeed304221041c",
  "arml_svhn": "420db739c721d603",
  "damtl_cifar100": "5310f297d0f65e99",
  "damtl_digits": "d18472e070d88bdb",
  "damtl_pacs": "abb6d9653104e138",
  "maxl_cifar10": "9af585331b48bec7",
  "maxl_cifar100": "408940e61f6e2b74",
  "maxl_digits": "19ec972e414c8b18",
  "features": "4676d68e17771a61",
  "meta_mtl_cifar10": "c74edb09d61aec12",
  "meta_mtl_cifar100": "9a86224ec2bb5ee5",
  "meta_mtl_digits": "60fa0c870a95e042",
  "meta_mtl_miniimagenet": "8da47a9085fcae4a",
  "meta_mtl_mnist": "777a8e50266b0d3d",
  "meta_mtl_omniglot": "ad9485cdb88ca2a6",
}


def values(name, argument):
  """What a file sets; a file refuses arguments that it does not know."""
  try:
    config = config_file.load(f"{FOLDER / name}.py:{argument}")
  except UserError:
    return "refused"
  defaults = config_lib.flatten(config_lib.to_json(config_lib.base()))
  found = config_lib.flatten(config_lib.to_json(config))
  return {
    k: v
    for k, v in found.items()
    if v != defaults[k] and not k.startswith("pixels.")
  }


def test_every_file_is_known():
  assert {path.stem for path in FOLDER.glob("*.py")} == set(DIGESTS)


@pytest.mark.parametrize("name", DIGESTS)
def test_values_are_those_of_earlier_runs(name):
  made = [values(name, argument) for argument in ARGUMENTS]
  text = json.dumps(made, sort_keys=True)
  assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[name]


@pytest.mark.parametrize("name", DIGESTS)
def test_pixels_are_normalised_as_in_runs_from_before_there_were_keys(name):
  config = config_lib.to_json(config_file.load(f"{FOLDER / name}.py"))
  stored = {key: value for key, value in config.items() if key != "pixels"}
  assert earlier.completed(stored) == config
