"""Methods read the keys that the table of keys says they read."""

import functools

import cases
import ml_collections
import pytest
import tiny

from metaaux import config as config_lib
from metaaux import methods
from metaaux.config import keys as config_keys
from metaaux.config.keys import KEYS
from metaaux.run import opening, rehearsal
from metaaux.run import states as states_lib

# The data of a run is divided by these for every method, which either trains on
# what comes of it, or is refused.
OF_DATA = {"aux", "psi", "task_classes", "within"}
# Read where their condition does not hold, too, then without effect: a rule's
# arguments are chosen from a table of all, all options of the official code are
# handed on, and networks and optimisers are made of whole groups.
IN_VAIN = {
  *(n for n in KEYS if n.startswith("model.") or "optimizer." in n),
  *("weighting.values", "weighting.eta", "weighting.eta_mode"),
  *("weighting.projection", "weighting.learning_rate", "weighting.gamma"),
  *("weighting.epoch", "meta_mtl.code_momentum", "meta_mtl.code_clip_norm"),
  "meta_mtl.code_weight_decay",
}
# Read and then replaced by what makes the method: no masks, no alignment, a
# random start; without these nothing else of DAMTL has an effect.
REPLACED = {
  "separate": {
    *("damtl.mask", "damtl.align", "damtl.start"),
    *("damtl.auxiliary_weight", "damtl.pairing", "damtl.mask_spread"),
  },
  "transfer": {
    *("damtl.mask", "damtl.align"),
    *("damtl.auxiliary_weight", "damtl.pairing", "damtl.mask_spread"),
  },
}
# All methods of agreement share the code that has a teacher.
REPLACED |= {
  name: {"consistency.ema"}
  for name in config_keys.names.CONSISTENCY
  if name != "mean_teacher"
}
# Read on the host before a stage begins, or once predictions are there, which
# needs training.
LATE = {
  *("embedding.name", "embedding.neighbours", "embedding.dim"),
  *("partition.images", "partition.restarts", "partition.scaling"),
  "pseudo_labels.confidence",
}


def recording(group, read, prefix=""):
  """A config that notes which of its keys are read, and not which groups."""

  class Recording(ml_collections.ConfigDict):
    def __getitem__(self, key):
      name = f"{prefix}{key}"
      if name in KEYS:
        read.add(name)
      return super().__getitem__(key)

  found = Recording()
  for key, value in group.items():
    is_group = isinstance(value, ml_collections.ConfigDict)
    found[key] = (
      recording(value, read, f"{prefix}{key}.") if is_group else value
    )
  return found


def check(read, config, also):
  """Raises AssertionError if a key was read that the table knows nothing of."""
  values = config_lib.flatten(config)
  unknown = {name for name in read if not config_keys.is_read(name, values)}
  assert unknown <= also, unknown - also


@functools.cache
def opened(method):
  """A run, and the keys that opening it reads."""
  read = set()
  config = recording(tiny.config(method=method), read).lock()
  return opening.open_run(config), read


def of_data(method):
  """The first method that has the same data."""
  if method in tiny.SEVERAL:
    return tiny.SEVERAL[0]
  return method if method == "fada" else "single"


@pytest.mark.parametrize("method", ["single", "fada", tiny.SEVERAL[0]])
def test_the_data_reads_what_the_table_says(method):
  _, read = opened(method)
  assert {"dataset", "labels_per_class", "seed", "parallel"} <= read
  divided = OF_DATA
  if method == "fada":  # whose target domain refuses other divisions
    divided = {
      *OF_DATA,
      *(n for n, k in KEYS.items() if "target_domain" in k.when),
    }
  check(read, tiny.config(method=method), divided)


@pytest.mark.parametrize(("method", "changes"), cases.CASES)
def test_methods_are_made_of_what_the_table_says(method, changes):
  run, _ = opened(of_data(method))
  config, read = tiny.config(method=method, **changes), set()
  methods.make(recording(config, read).lock(), run.problem.spec)
  assert "num_steps" in read and "optimizer.learning_rate" in read
  check(read, config, IN_VAIN | REPLACED.get(method, set()))


@pytest.mark.parametrize(
  "method",
  [
    *config_keys.names.FITTED,
    *(pytest.param(name, marks=pytest.mark.long) for name in cases.METHODS),
  ],
)
def test_methods_read_all_that_is_theirs_and_nothing_else(method):
  read = set()
  config = tiny.config(method=method)
  recorded = recording(config, read).lock()
  run = opening.open_run(recorded)
  read.clear()
  shapes = None
  for stage in methods.make(recorded, run.problem.spec):
    shapes = states_lib.shapes(run, stage, shapes)
    rehearsal.trace(run, stage, shapes)
  check(read, config, IN_VAIN | OF_DATA | REPLACED.get(method, set()))
  values = config_lib.flatten(config)
  declared = {
    name
    for name, key in KEYS.items()
    if key.methods and config_keys.is_read(name, values)
  }
  _, of_data_read = opened(of_data(method))
  # Its network is that of the embedding; deepcluster's reads these, acai's not.
  other = (
    {name for name in KEYS if name.startswith("model.")}
    if method == "fine_tune"
    else set()
  )
  assert not declared - read - of_data_read - LATE - other
