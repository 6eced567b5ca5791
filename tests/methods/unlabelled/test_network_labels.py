"""Pseudo-labels, and the two methods that train on their own."""

import jax
import numpy as np
import pytest
import tiny

from metaaux import methods
from metaaux.methods.unlabelled import network_labels
from metaaux.run import opening, prepare


def test_confident():
  table = np.array([[0.96, 0.04], [0.5, 0.5], [0.05, 0.95]])
  np.testing.assert_array_equal(
    network_labels.confident(table, 0.95), [0, -1, 1]
  )


def test_draws_only_labelled_images_and_all_of_them():
  known = jax.device_put(network_labels.labelled(np.array([-1, 3, -1, 0, 1])))
  assert known.count == 3
  drawn = jax.vmap(lambda key: network_labels.draw(known, key, 8))(
    jax.random.split(jax.random.key(0), 20)
  )
  assert set(np.asarray(drawn).ravel().tolist()) == {1, 3, 4}


@pytest.mark.parametrize("method", ["self_training", "co_training"])
def test_true_labels_are_used_only_where_they_are_known(method):
  settings = tiny.config(method=method, **{"pseudo_labels.confidence": 0.6})
  states, _, run, _ = tiny.run_steps(settings, 40)
  train, primary = run.problem.train[0], run.problem.pool["primary"]
  learners = states[0] if method == "co_training" else states
  for state in learners:
    labels = np.asarray(state.known.labels)
    labelled = np.flatnonzero(labels >= 0)
    assert len(labelled) > len(train)  # the round before was sure of some
    others = np.setdiff1d(labelled, train)
    # Guesses, and so not all of them right.
    assert 0.6 < np.mean(labels[others] == primary[others]) < 1
    kept = np.intersect1d(labelled, train)
    right = np.mean(labels[kept] == primary[kept])
    assert right == 1 if method == "self_training" else right > 0.7


def test_each_network_of_co_training_has_a_half_of_its_own():
  settings = tiny.config(method="co_training")
  run = opening.open_run(settings)
  stage = methods.make(settings, run.problem.spec)[0]
  found = stage.prepare.compute(prepare.view(run, stage, None, 0, ""))
  train = run.problem.train[0]
  halves = [np.flatnonzero(np.asarray(known.labels) >= 0) for known in found]
  for half in halves:
    assert len(half) == len(train) // 2
    assert np.isin(half, train).all()
  assert 0 < len(np.intersect1d(*halves)) < len(train) // 2
