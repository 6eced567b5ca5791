"""What must hold for every method: one table, all methods."""

import functools

import chex
import jax
import numpy as np
import pytest
import tiny
from cases import CASES, METHODS

from metaaux import methods, parallel
from metaaux.errors import UserError
from metaaux.methods.maxl import given_labels
from metaaux.methods.meta_mtl import decoders
from metaaux.run import states as states_lib
from metaaux.run.checkpoints import format as checkpoint_format

WITHOUT_BATCH_NORM = ("joint", "meta_mtl", "pta", *tiny.SEVERAL)
# Their steps are those of `uniform`, `maxl` and `vat`.
LIKE_ANOTHER = (
  *("frozen", "human", "kmeans", "prototypical", "random"),
  *("no_entropy", "vat_entmin"),
)
# Each kind of loss with batch norm; `make test-long` has the others.
BATCH_NORM = ("single", "maxl", "arml", "mean_teacher")


def trained(method, changes=()):
  """Host states after 0 to 3 steps on one device, metrics, run and stage.

  Compiled once for all tests that look at them; none may change them. The
  config is the common one, so that batch normalisation is off.
  """
  return _trained(method, tuple(dict(changes).items()))


@functools.cache
def _trained(method, changes):
  return tiny.host_states(tiny.config(method=method, **dict(changes)), 3)


@pytest.mark.parametrize("method", METHODS)
def test_loss_falls_and_stays_finite(method):
  settings = tiny.config(method=method, num_steps=60)
  _, metrics, _, _ = tiny.run_steps(settings, 60)
  values = [v for row in metrics for v in row.values()]
  assert np.isfinite(values).all()
  losses = [row.get("primary_loss", row["loss"]).mean() for row in metrics]
  assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])


# The methods themselves are trained twice by `test_seeds`.
@pytest.mark.parametrize(
  ("method", "changes"), [case for case in CASES if case.values[1]]
)
def test_same_seed_same_bits(method, changes):
  settings = tiny.config(method=method, **changes)
  again, _, run, _ = tiny.run_steps(settings, 3)
  again = parallel.to_host(again, run.plan)
  chex.assert_trees_all_equal(trained(method, changes)[0][3], again)


@pytest.mark.parametrize(("method", "changes"), CASES)
def test_update_keeps_structure_shapes_and_dtypes(method, changes):
  before, after, *_ = trained(method, changes)[0]
  chex.assert_trees_all_equal_shapes_and_dtypes(before, after)


@pytest.mark.parametrize(("method", "changes"), CASES)
def test_state_is_restored_as_it_was_saved(method, changes, tmp_path):
  settings = tiny.config(method=method, **changes)
  (_, host, *_), _, run, stage = trained(method, changes)
  previous = None
  for before in methods.make(settings, run.problem.spec)[:-1]:
    previous = states_lib.shapes(run, before, previous)
  with checkpoint_format.open_manager(str(tmp_path), 1) as manager:
    checkpoint_format.save(manager, 1, host)
    restored = states_lib.restore(run, stage, previous, manager, 1)
  chex.assert_trees_all_equal(parallel.to_host(restored, run.plan), host)


@pytest.mark.parametrize(
  ("method", "changes", "batch_norm"),
  [
    pytest.param(
      *case.values,
      batch_norm,
      id=f"{batch_norm}-{case.id}",
      marks=(
        pytest.mark.long if batch_norm and case.id not in BATCH_NORM else ()
      ),
    )
    for batch_norm in (False, True)
    for case in CASES
    if not (batch_norm and case.id in LIKE_ANOTHER)
  ],
)
def test_four_devices_train_like_one(method, changes, batch_norm):
  if batch_norm:
    # Without equal pixels: the last bit would say which is the largest.
    noise = {"augment.noise": 0.1}
    changes = {**noise, **changes, "model.batch_norm": True}
  if batch_norm and method in WITHOUT_BATCH_NORM:
    with pytest.raises(UserError, match=r"batch.norm"):
      tiny.run_steps(tiny.config(method=method, **changes), 0)
    return
  (*_, one), metrics, run, _ = trained(method, changes)
  assert run.plan.num_shards == 1
  assert run.config.model.batch_norm == batch_norm
  settings = tiny.config(method=method, parallel="pmap", **changes)
  states, logs, run, _ = tiny.run_steps(settings, 3)
  assert run.plan.num_shards == 4
  four = parallel.to_host(states, run.plan)
  chex.assert_trees_all_close(one, four, rtol=1e-5, atol=1e-6)
  # Every logged number too, the norm of the hypergradient among them; batch
  # norm divides by deviations that are small.
  rtol = 5e-5 if batch_norm else 1e-5
  chex.assert_trees_all_close(metrics, logs, rtol=rtol)


@pytest.mark.parametrize(
  "method", ["maxl", "meta_mtl", "arml", "damtl", "nddr"]
)
def test_a_mesh_trains_like_one_device(method):
  """A method of each kind: two levels, episodes, Gram matrices, class means."""
  (*_, one), metrics, *_ = trained(method)
  settings = tiny.config(method=method, parallel="sharding")
  states, logs, run, _ = tiny.run_steps(settings, 3)
  assert run.plan.num_shards == 4
  mesh = parallel.to_host(states, run.plan)
  chex.assert_trees_all_close(one, mesh, rtol=1e-5, atol=1e-6)
  chex.assert_trees_all_close(metrics, logs, rtol=1e-5)


# What has no dropout of a kind refuses it, rather than do nothing.
WITHOUT_DROPOUT = [
  *(
    (kind, method)
    for kind in ("dropout", "block_dropout")
    for method in ("frozen", "maxl", "no_entropy")
  ),
  ("block_dropout", "fine_tune"),
  *(
    (kind, method)
    for kind in ("dropout", "block_dropout")
    for method in tiny.SEVERAL
  ),
]


@pytest.mark.parametrize(("kind", "method"), WITHOUT_DROPOUT)
def test_dropout_is_refused(kind, method):
  settings = tiny.config(method=method, **{f"model.{kind}": 0.5})
  with pytest.raises(
    UserError, match=rf"method='{method}'.* model\.{kind}=0\.5.*set it to 0$"
  ):
    tiny.run_steps(settings, 0)


@pytest.mark.parametrize("method", METHODS)
def test_dropout_has_an_effect(method):
  if ("dropout", method) in WITHOUT_DROPOUT:
    return
  settings = tiny.config(method=method, **{"model.dropout": 0.5})
  plain = trained(method)[0][1]
  dropped, _, run, _ = tiny.run_steps(settings, 1)
  dropped = parallel.to_host(dropped, run.plan)
  assert any(
    not np.array_equal(one, other)
    for one, other in zip(*map(jax.tree.leaves, (plain, dropped)), strict=True)
  )


@pytest.mark.parametrize(
  "changes",
  [
    {},
    # Each device has its own statistics, which every update has to average.
    {"sync_batch_norm": False, "maxl.meta_updates_statistics": True},
  ],
  ids=["synchronised", "own"],
)
def test_replicas_stay_equal(changes):
  settings = tiny.config(
    method="maxl", parallel="pmap", **{"model.batch_norm": True, **changes}
  )
  states, *_ = tiny.run_steps(settings, 3)
  for leaf in jax.tree.leaves(states):
    for replica in leaf[1:]:
      np.testing.assert_array_equal(leaf[0], replica)


def test_dropout_of_fine_tuning_is_of_the_example():
  final = []
  for mode in ("none", "pmap"):
    settings = tiny.config(
      method="fine_tune", parallel=mode, **{"model.dropout": 0.5}
    )
    states, _, run, stage = tiny.run_steps(settings, 3)
    final.append(parallel.to_host(states, run.plan))
  chex.assert_trees_all_close(*final, rtol=1e-5, atol=1e-6)
  # Predictions are without it.
  state = jax.tree.map(lambda x: x[0], final[0])
  images = np.ones((2, 8, 8, 1), np.float32)
  first, second = stage.predict(state, images)
  np.testing.assert_allclose(first, second, rtol=1e-5)


def test_all_methods_start_alike_and_see_the_same_batches():
  """Paired differences need the same start, batches and labelled subset."""
  (single, *_), _, run, _ = trained("single")
  for method in METHODS:
    # Those start from an embedding's encoder, or have other data.
    if method in ("fine_tune", "fada", *tiny.SEVERAL):
      continue
    (states, *_), _, other, _ = trained(method)
    np.testing.assert_array_equal(other.problem.train, run.problem.train)
    found = _parameters(states)
    for name, leaf in single.params.items():
      chex.assert_trees_all_equal(found[name], leaf)


def _parameters(state):
  """Of the network that predicts, as single-task training names them."""
  params = state.first.params if hasattr(state, "first") else state.params
  if isinstance(params, decoders.Params):
    return {**params.shared, "head_primary": params.main}
  return params


@pytest.mark.parametrize(
  "method",
  ["uniform", "random", "frozen", "kmeans", "prototypical", "human", "maxl"],
)
def test_zero_auxiliary_weight_is_the_single_task(method, x64):
  (single,), *_ = tiny.run_steps(tiny.config(method="single"), 3)
  settings = tiny.config(method=method, auxiliary_weight=0.0)
  (joint,), *_ = tiny.run_steps(settings, 3)
  for name, leaf in single.params.items():
    chex.assert_tree_all_finite(leaf)
    chex.assert_trees_all_equal_dtypes(leaf, jax.tree.map(np.float64, leaf))
    chex.assert_trees_all_close(joint.params[name], leaf, rtol=1e-10)


def test_fixed_labels():
  batch = {
    "primary": np.array([0, 1, 1, 0]),
    "auxiliary": np.array([1, 4, 2, 0]),
    "index": np.array([0, 1, 2, 3]),
  }
  draws = np.array([0.0, 0.99999997, 0.4, 0.6], np.float32)
  expected = {
    "uniform": [
      [0.5, 0.5, 0, 0, 0],
      [0, 0, 1 / 3, 1 / 3, 1 / 3],
      [0, 0, 1 / 3, 1 / 3, 1 / 3],
      [0.5, 0.5, 0, 0, 0],
    ],
    "human": np.eye(5)[[1, 4, 2, 0]],
    "random": np.eye(5)[[0, 4, 3, 1]],
  }
  for kind, labels in expected.items():
    found = given_labels.auxiliary_labels(kind, batch, draws, (2, 3))
    np.testing.assert_allclose(found, labels, rtol=1e-6, err_msg=kind)


def test_random_labels_are_spread_over_the_block():
  (states, *_), _, run, _ = trained("random")
  index = np.arange(1000)
  batch = {"primary": run.problem.pool["primary"][index], "index": index}
  labels = given_labels.auxiliary_labels(
    "random", batch, states.draws[0], run.problem.spec.psi
  )
  share = np.asarray(labels).mean(0)
  np.testing.assert_allclose(share, 0.1, atol=0.03)


def test_human_labels_that_do_not_exist():
  with pytest.raises(UserError, match=r"config\.aux"):
    tiny.run_steps(tiny.config(method="human", primary="2", psi=(3, 3)), 0)


def test_batch_that_devices_cannot_share():
  with pytest.raises(UserError, match="multiple of 4"):
    tiny.run_steps(tiny.config(batch_size=18, parallel="pmap"), 0)
