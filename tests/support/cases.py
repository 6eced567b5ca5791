"""The table that every common test of the methods goes through."""

import pytest
import tiny

from metaaux import methods
from metaaux.config.keys import names
from metaaux.methods.meta_mtl import episode_official

# Those that are trained step by step; tests/methods/fitted has the others.
METHODS = sorted(set(methods.METHODS) - set(names.FITTED))
# Methods, and variants with a state of their own.
CASES = [pytest.param(method, {}, id=method) for method in METHODS] + [
  pytest.param(
    "meta_mtl", {**tiny.OFFICIAL_CODE, "meta_mtl.variant": variant}, id=variant
  )
  for variant in episode_official.VARIANTS
]
CASES += [
  pytest.param(
    "maxl",
    {
      "maxl.centre_hypergradient": True,
      "maxl.entropy_mean": "running",
      "maxl.meta_updates_statistics": True,
      "generator.optimizer.learning_rate": 1.0,
    },
    id="maxl_options",
  ),
  pytest.param(
    "arml",
    {
      "weighting.algorithm": "two_stage",
      # Fewer than of the method itself, which compile sooner.
      "semi_supervised.tasks": ("rotation", "useless"),
    },
    id="two_stage",
  ),
  pytest.param(
    "damtl",
    {
      "damtl.pairing": "twosample",
      "damtl.auxiliary_weight": 1.0,
      "damtl.source": "shared",
    },
    id="damtl_shared",
  ),
]
