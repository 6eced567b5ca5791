"""Omniglot by alphabet: one set of many tasks, a problem each."""

import json
import types

import numpy as np
import pytest
import tiny_tfds

from metaaux import data
from metaaux.errors import UserError


def _config(**changes):
  made = {
    "dataset": "tfds:omniglot",
    "hierarchy": "",
    "select": "",
    "train_split": "train",
    "test_split": "test",
    "primary": "",
    "aux": "",
    "target_domain": "",
    "task_classes": (),
    "within": "",
    "shrink": 1,
    "image_side": 0,
    "pixels": types.SimpleNamespace(mean=(0.5,), std=(0.25,)),
    "attributes": (),
    "label_fraction": 0.0,
    "psi": (),
    "labels_per_class": 0,
    "meta_fraction": 0.0,
    "seed": 0,
    "num_seeds": 1,
    "batch_size": 20,
  }
  return types.SimpleNamespace(**(made | changes))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp("tfds")
  characters = (range(6), range(6, 9))
  tiny_tfds.write(path, "omniglot", 6 * 20, 3 * 20, characters)
  with pytest.MonkeyPatch.context() as patch:
    tiny_tfds.use(patch, path)
    yield path


@pytest.mark.parametrize(
  ("alphabet", "names"),
  [
    ("alphabet_1", ("label_3", "label_4", "label_5")),
    ("alphabet_2", ("label_6", "label_7", "label_8")),
  ],
)
def test_one_alphabet_of_omniglot(data_dir, alphabet, names):
  """10, 4 and 6 of the 20 drawings of each character."""
  parts = ("[:50%/class]", "[50%:70%/class]", "[70%:/class]")
  splits = [f"train{part}+test{part}" for part in parts]
  config = _config(
    select=f"alphabet={alphabet}", train_split=splits[0], test_split=splits[2]
  )
  made = data.build(config)
  assert made.primary_names == names
  assert made.levels == ("label", "")
  assert made.spec.image_shape == (105, 105, 1)
  validation = data.load_test(config, config.dataset, splits[1], made)
  seen = set()
  for part, count in ((made.pool, 10), (validation, 4), (made.test, 6)):
    np.testing.assert_array_equal(np.bincount(part["primary"]), [count] * 3)
    seen |= {image.tobytes() for image in part["image"]}
  assert len(seen) == 60


def test_splits_with_other_classes(data_dir):
  level = {"names": ["a", "b"], "of": "alphabet", "parent": [0] * 50}
  level["parent"][7] = 1
  path = data_dir / "halves.json"
  path.write_text(json.dumps({"levels": {"half": level}}))
  config = _config(hierarchy=str(path), select="half=a")
  with pytest.raises(UserError, match="do not have the same classes where sel"):
    data.build(config)
