"""How seeds and devices are run never changes a number, whatever the method."""

import jax
import numpy as np
import pytest
import tiny
from cases import CASES

from metaaux import parallel, train
from metaaux.run.checkpoints import format as checkpoint_format
from metaaux.run.logs import rows as rows_lib

LONG = (pytest.mark.slow, pytest.mark.long)
# Two tasks compile sooner than three, and so does one kind of step.
FEW_TASKS = {
  "semi_supervised.tasks": ("rotation", "useless"),
  "weighting.every": 1,
}
# All that draws random numbers beside the order of the images.
RANDOM = {
  "model.dropout": 0.5,
  "model.block_dropout": 0.3,
  "model.batch_norm": True,
  "augment.pad": 1,
  "augment.flip": True,
  "augment.noise": 0.1,
  "optimizer.momentum": 0.9,
}
# Of runs that keep embeddings and partitions of each seed in one directory.
CLUSTERS = {
  "embedding.name": "pca",
  "embedding.dim": 4,
  "partition.labels": "kmeans",
}
DEEPCLUSTER = {
  "embedding.name": "deepcluster",
  "embedding.epochs": 2,
  "embedding.clusters": 8,
  "embedding.features": 16,
  "embedding.dim": 8,
}


def assert_close(found, wanted, tolerance):
  """Each leaf by the norm of its difference, in terms of its own.

  A leaf without a gradient, such as a bias before a batch normalisation, is
  moved by rounding alone: a hundredth of the tolerance is allowed to a value.
  """
  assert jax.tree.structure(found) == jax.tree.structure(wanted)
  leaves = jax.tree_util.tree_leaves_with_path(wanted)
  for (path, y), x in zip(leaves, jax.tree.leaves(found), strict=True):
    assert (x.shape, x.dtype) == (y.shape, y.dtype), path
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    allowed = np.linalg.norm(y) + 0.01 * np.sqrt(y.size)
    off = np.linalg.norm(x - y) / allowed
    assert off <= tolerance, f"{jax.tree_util.keystr(path)}: {off:.1e}"


def after_steps(method, **changes):
  """Host states after 3 steps and their metrics; seed axis first."""
  few = FEW_TASKS if method == "arml" else {}
  settings = tiny.config(method=method, **{**few, **changes})
  states, logs, run, _ = tiny.run_steps(settings, 3)
  return parallel.to_host(states, run.plan), logs


def of_seed(tree, s):
  return jax.tree.map(lambda x: x[s : s + 1], tree)


# A method of each kind; `make test-long` has the others. Two levels, as of
# "maxl", and a whole run are below; "single" is there with all that is random.
OF_EACH_KIND = ("meta_mtl", "arml", "damtl", "mean_teacher", "self_training")
# Variants of a method treat seeds as it does.
EACH = [
  *(
    pytest.param(
      *case.values, id=case.id, marks=() if case.id in OF_EACH_KIND else LONG
    )
    for case in CASES
    if not case.values[1]
  ),
  pytest.param("single", RANDOM, id="all_random"),
]


@pytest.mark.parametrize(("method", "changes"), EACH)
def test_a_seed_among_others_is_the_seed_alone(method, changes):
  """One after another bit for bit; under vmap but for another rounding."""
  loop, vmap = (
    after_steps(method, seed=5, num_seeds=2, seeds=seeds, **changes)
    for seeds in ("loop", "vmap")
  )
  assert_close(vmap, loop, 1e-5)
  with pytest.raises(AssertionError, match=r"\d"):
    assert_close(of_seed(loop, 0), of_seed(loop, 1), 1e-5)
  alone = after_steps(method, seed=6, **changes)
  jax.tree.map(np.testing.assert_array_equal, of_seed(loop, 1), alone)


# With the other form the devices are in `test_methods`, one seed at a time.
@pytest.mark.slow
@pytest.mark.parametrize(
  ("method", "modes"),
  [
    pytest.param("maxl", [("sharding", "divide")], id="maxl"),
    pytest.param("maxl", [("pmap", "auto")], id="maxl_pmap", marks=LONG),
    *(
      pytest.param(
        x, [("pmap", "auto"), ("sharding", "divide")], id=x, marks=LONG
      )
      for x in ("meta_mtl", "arml", "damtl")
    ),
  ],
)
def test_devices_and_seeds_together(method, modes, x64):
  """Of each kind of method: two levels, episodes, Gram matrices, class means.

  In float64, where rounding is far below 1e-10; steps are long enough for a
  hypergradient to show in what it moves. Images are also in parts.
  """
  changes = {"num_seeds": 2, "generator.optimizer.learning_rate": 1.0}
  one = after_steps(method, seeds="loop", **changes)
  for mode, pool in modes:
    found = after_steps(
      method, seeds="vmap", parallel=mode, pool=pool, **changes
    )
    assert_close(found, one, 1e-10)


def whole_run(folder, method, **changes):
  """Last checkpoint and rows of a run, by seed."""
  settings = tiny.config(
    method=method,
    num_steps=4,
    log_every=2,
    eval_every=2,
    average_last=1,
    **changes,
  )
  train.train_and_evaluate(settings, str(folder))
  with checkpoint_format.open_manager(folder / "checkpoints") as manager:
    saved = manager.restore(manager.latest_step())
  rows = rows_lib.read_rows(str(folder / "metrics.jsonl"))
  # Those of the state; the digest beside them is of all seeds.
  leaves = {name: x for name, x in saved.items() if name[0] in ".["}
  seeds = sorted({row["seed"] for row in rows})
  return {
    seed: (
      {name: x[s] for name, x in leaves.items()},
      [row for row in rows if row["seed"] == seed],
    )
    for s, seed in enumerate(seeds)
  }


def numbers(rows):
  """Metrics of rows, which are their only numbers with a fraction."""
  return [
    {name: x for name, x in row.items() if isinstance(x, float)} for row in rows
  ]


@pytest.mark.parametrize(
  ("method", "changes"),
  [
    pytest.param("maxl", {}, id="maxl"),
    pytest.param("prototypical", CLUSTERS, id="prototypical"),
    pytest.param("damtl", {}, id="damtl", marks=LONG),
    pytest.param("meta_mtl", CLUSTERS, id="meta_mtl", marks=LONG),
    pytest.param("fine_tune", DEEPCLUSTER, id="deepcluster", marks=LONG),
  ],
)
def test_a_run_of_two_seeds_is_two_runs(method, changes, tmp_path):
  """With its evaluations, caches, and host work between the stages."""
  loop, vmap, alone = (
    whole_run(tmp_path / name, method, **changes, **options)
    for name, options in (
      ("loop", {"seed": 5, "num_seeds": 2, "seeds": "loop"}),
      ("vmap", {"seed": 5, "num_seeds": 2, "seeds": "vmap"}),
      ("alone", {"seed": 6}),
    )
  )
  assert list(loop) == list(vmap) == [5, 6] and list(alone) == [6]
  np.testing.assert_equal(loop[6], alone[6])
  for seed, (state, rows) in loop.items():
    found, again = vmap[seed]
    assert_close(found, state, 1e-5)
    # Rounding may carry one of some thousand images to another class.
    for row, wanted in zip(numbers(again), numbers(rows), strict=True):
      assert row == pytest.approx(wanted, rel=1e-4, abs=2e-3)
