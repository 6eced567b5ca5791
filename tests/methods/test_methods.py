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
# Those that average over devices what no other one does; the others have the
# steps of one of them. `make test-long` has all.
OF_DEVICES = (
  *("single", "joint", "maxl", "maxl_options", "meta_mtl", "code_torch2"),
  *("arml", "two_stage", "fada", "mean_teacher", "vat", "pseudo_label"),
  *("co_training", "fine_tune", "damtl", "damtl_shared", "nddr"),
  "hard_sharing",
)
# Each kind of loss with batch norm; `make test-long` has the others.
BATCH_NORM = ("single", "maxl", "arml", "mean_teacher")
# Weights move at each step, so that there is one program to compile.
OF_BATCH_NORM = {"arml": {"weighting.every": 1}}


def long_unless(short):
  """Of a case that `make test` has only if it is a short one."""
  return () if short else pytest.mark.long


def some(cases, short):
  """Cases, of which `make test` has the short ones."""
  return [
    pytest.param(case, marks=long_unless(case in short)) for case in cases
  ]


def num_steps(method):
  """More where only few steps of stages before have made the start."""
  return 120 if method in tiny.SEVERAL else 60


def config(method, **changes):
  """Of all runs that are compared with one of `trained`."""
  return tiny.config(method=method, num_steps=num_steps(method), **changes)


def after_steps(settings):
  """What `tiny.run_steps` returns for 3 steps, and the states on the host."""
  states, logs, run, stage = tiny.run_steps(settings, 3)
  return parallel.to_host(states, run.plan), states, logs, run, stage


def trained(method, changes=()):
  """Host states after 0 to 3 steps on one device, metrics, run and stage.

  Compiled once for all tests that look at them; none may change them. The
  config is the common one, so that batch normalisation is off. Without changes
  it trains on, for the metrics of `num_steps`.
  """
  return _trained(method, tuple(dict(changes).items()))


@functools.cache
def _trained(method, changes):
  settings = config(method, **dict(changes))
  steps = 3 if changes else num_steps(method)
  return tiny.host_states(settings, steps, keep=3, before=3)


@pytest.mark.parametrize("method", METHODS)
def test_loss_falls_and_stays_finite(method):
  metrics = trained(method)[1]
  assert len(metrics) == num_steps(method)
  values = [v for row in metrics for v in row.values()]
  assert np.isfinite(values).all()
  losses = [row.get("primary_loss", row["loss"]).mean() for row in metrics]
  assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])


# The methods themselves are trained twice by `test_seeds`; of the variants one
# draws what its method does not.
@pytest.mark.parametrize(
  ("method", "changes"),
  [
    pytest.param(
      *case.values, id=case.id, marks=long_unless(case.id == "two_stage")
    )
    for case in CASES
    if case.values[1]
  ],
)
def test_same_seed_same_bits(method, changes):
  again, *_ = after_steps(config(method, **changes))
  chex.assert_trees_all_equal(trained(method, changes)[0][3], again)


@pytest.mark.parametrize(("method", "changes"), CASES)
def test_update_keeps_structure_shapes_and_dtypes(method, changes):
  before, after, *_ = trained(method, changes)[0]
  chex.assert_trees_all_equal_shapes_and_dtypes(before, after)


@pytest.mark.parametrize(("method", "changes"), CASES)
def test_state_is_restored_as_it_was_saved(method, changes, tmp_path):
  settings = config(method, **changes)
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
      marks=long_unless(case.id in (BATCH_NORM if batch_norm else OF_DEVICES)),
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
    own = OF_BATCH_NORM.get(method, {})
    changes = {**noise, **own, **changes, "model.batch_norm": True}
  if batch_norm and method in WITHOUT_BATCH_NORM:
    with pytest.raises(UserError, match=r"batch.norm"):
      tiny.run_steps(config(method, **changes), 0)
    return
  (*_, one), metrics, run, _ = trained(method, changes)
  assert run.plan.num_shards == 1
  assert run.config.model.batch_norm == batch_norm
  four, states, logs, run, _ = after_steps(
    config(method, parallel="pmap", **changes)
  )
  assert run.plan.num_shards == 4
  assert_replicas_equal(states)
  chex.assert_trees_all_close(one, four, rtol=1e-5, atol=1e-6)
  # Every logged number too, the norm of the hypergradient among them; batch
  # norm divides by deviations that are small.
  rtol = 5e-5 if batch_norm else 1e-5
  chex.assert_trees_all_close(metrics[:3], logs, rtol=rtol)


def assert_replicas_equal(states):
  for leaf in jax.tree.leaves(states):
    for replica in leaf[1:]:
      np.testing.assert_array_equal(leaf[0], replica)


# With a mesh the devices run the same function as without, by another way:
# two methods show that.
@pytest.mark.parametrize(
  "method",
  some(["maxl", "meta_mtl", "arml", "damtl", "nddr"], ("maxl", "meta_mtl")),
)
def test_a_mesh_trains_like_one_device(method):
  """A method of each kind: two levels, episodes, Gram matrices, class means."""
  (*_, one), metrics, *_ = trained(method)
  mesh, _, logs, run, _ = after_steps(config(method, parallel="sharding"))
  assert run.plan.num_shards == 4
  chex.assert_trees_all_close(one, mesh, rtol=1e-5, atol=1e-6)
  chex.assert_trees_all_close(metrics[:3], logs, rtol=1e-5)


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
  settings = config(method, **{f"model.{kind}": 0.5})
  with pytest.raises(
    UserError, match=rf"method='{method}'.* model\.{kind}=0\.5.*set it to 0$"
  ):
    tiny.run_steps(settings, 0)


# Each way in which dropout's key comes to the network.
WITH_DROPOUT = (
  *("single", "uniform", "joint", "meta_mtl", "arml"),
  *("mean_teacher", "self_training", "fine_tune"),
)


@pytest.mark.parametrize("method", some(METHODS, WITH_DROPOUT))
def test_dropout_has_an_effect(method):
  if ("dropout", method) in WITHOUT_DROPOUT:
    return
  plain = trained(method)[0][1]
  dropped = trained(method, {"model.dropout": 0.5})[0][1]
  assert any(
    not np.array_equal(one, other)
    for one, other in zip(*map(jax.tree.leaves, (plain, dropped)), strict=True)
  )


def test_replicas_stay_equal():
  """Where each device has statistics of its own, which updates average.

  Where they have the same, `test_four_devices_train_like_one` looks at it.
  """
  settings = tiny.config(
    method="maxl",
    parallel="pmap",
    sync_batch_norm=False,
    **{"model.batch_norm": True, "maxl.meta_updates_statistics": True},
  )
  states, *_ = tiny.run_steps(settings, 3)
  assert_replicas_equal(states)


def test_dropout_of_fine_tuning_is_of_the_example():
  changes = {"model.dropout": 0.5}
  one = trained("fine_tune", changes)[0][3]
  four, *_, stage = after_steps(config("fine_tune", parallel="pmap", **changes))
  chex.assert_trees_all_close(one, four, rtol=1e-5, atol=1e-6)
  # Predictions are without it.
  state = jax.tree.map(lambda x: x[0], one)
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


@functools.cache
def single_in_float64():
  (single,), *_ = tiny.run_steps(tiny.config(method="single"), 3)
  return single


# Labels that are given, that clusters give, and that are learned.
@pytest.mark.parametrize(
  "method",
  some(
    ["uniform", "random", "frozen", "kmeans", "prototypical", "human", "maxl"],
    ("uniform", "kmeans", "maxl"),
  ),
)
def test_zero_auxiliary_weight_is_the_single_task(method, x64):
  single = single_in_float64()
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
