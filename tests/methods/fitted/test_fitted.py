"""Classifiers of scikit-learn as methods: the same answers as by themselves."""

import json
import warnings

import jax
import numpy as np
import pytest
import tiny
from sklearn import datasets, linear_model, neighbors, semi_supervised

from metaaux import methods, parallel, train
from metaaux.config.keys import names
from metaaux.methods.fitted import logistic
from metaaux.methods.fitted import neighbours as neighbours_lib
from metaaux.run import batches, opening
from metaaux.run import prepare as prepare_lib
from metaaux.run import states as states_lib

RNG = np.random.default_rng(0)


def fitted(method, workdir=""):
  """Predictions for test rows, with the rows and labels that were there."""
  config = tiny.config(method=method, num_seeds=2)
  run = opening.open_run(config)
  (stage,) = methods.make(config, run.problem.spec)
  states = states_lib.begin(run, stage, None, str(workdir))
  seed = 1
  state = jax.tree.map(lambda x: x[seed], parallel.to_host(states, run.plan))
  pool, test = (
    np.asarray(batches.normalised(run, each["image"])).reshape(
      len(each["image"]), -1
    )
    for each in (run.problem.pool, run.problem.test)
  )
  logits = np.asarray(stage.predict(state, test))
  labels = run.problem.pool["primary"]
  return logits, pool, labels, run.problem.train[seed], test, state


def test_logistic_regression_is_that_of_the_labelled_rows(tmp_path):
  found = fitted("logistic", tmp_path)
  logits, pool, labels, where, test, state = found
  model = linear_model.LogisticRegression(
    C=float(state.strength), max_iter=1000, tol=1e-7
  )
  model.fit(pool[where].astype(np.float64), labels[where])
  expected = model.predict_proba(test)
  found = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  np.testing.assert_allclose(found, expected, atol=1e-4)


def test_knn_has_the_class_of_the_nearest_labelled_row():
  logits, pool, labels, where, test, _ = fitted("knn")
  model = neighbors.KNeighborsClassifier(1).fit(pool[where], labels[where])
  assert (logits.argmax(1) == model.predict(test)).mean() > 0.995  # ties


def test_labels_spread_as_in_scikit_learn():
  logits, pool, labels, where, test, state = fitted("label_spreading")
  known = np.full(len(labels), -1)
  known[where] = labels[where]
  model = semi_supervised.LabelSpreading(
    kernel="knn", n_neighbors=7, max_iter=1000
  )
  with np.errstate(all="ignore"), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    model.fit(pool, known)
    np.testing.assert_allclose(
      state.votes, np.nan_to_num(model.label_distributions_), atol=1e-6
    )
    expected = model.predict(test)
  assert (logits.argmax(1) == expected).mean() > 0.99


def test_labels_of_other_rows_have_no_say(tmp_path):
  """Wrong ones change nothing."""
  for name in ("knn", "label_spreading", "logistic"):
    config = tiny.config(method=name)
    run = opening.open_run(config)
    (stage,) = methods.make(config, run.problem.spec)
    wrong = run.problem.pool["primary"].copy()
    others = np.setdiff1d(np.arange(len(wrong)), run.problem.train[0])
    wrong[others] = 0
    changed = run._replace(
      problem=run.problem._replace(pool={**run.problem.pool, "primary": wrong})
    )
    found, same = (
      prepare_lib.prepare(each, stage, None, str(tmp_path))
      for each in (run, changed)
    )
    for one, other in zip(
      jax.tree.leaves(found), jax.tree.leaves(same), strict=True
    ):
      np.testing.assert_array_equal(one, other, err_msg=name)


def test_the_penalty_is_chosen_among_labelled_rows():
  """A strong one cannot tell classes apart by numbers so small."""
  labels = np.repeat([0, 1], [40, 20])
  plain = (labels - 0.5 + 0.1 * RNG.normal(size=60))[:, None]
  assert logistic.choose(plain, labels, 0) >= 0.1
  # Of equals the strongest.
  assert logistic.choose(0 * plain, labels, 0) == logistic.STRENGTHS[0]
  # Nothing can be held out of a class of one.
  assert logistic.choose(plain[38:41], labels[38:41], 0) == 1.0


@pytest.mark.parametrize("classes", [[0, 1], [1, 3], [0, 2, 3]])
def test_classes_without_a_row_are_never_predicted(classes):
  x, y = datasets.load_iris(return_X_y=True)
  x = x[:100] if len(classes) == 2 else x
  y = np.array(classes)[y[: len(x)]]
  found = logistic.fit_linear(x, y, 1.0, 4)
  logits = logistic.predict(found, x)
  assert logits.shape == (len(x), 4)
  assert set(np.asarray(logits.argmax(1))) == set(classes)
  model = linear_model.LogisticRegression(max_iter=1000).fit(x, y)
  np.testing.assert_array_equal(logits.argmax(1), model.predict(x))


def test_fewer_rows_than_neighbours():
  rows = np.float32([[0, 0], [1, 0]])
  state = neighbours_lib.Neighbours(rows, np.float32([[1, 0], [0, 1]]))
  found = neighbours_lib.predict(state, np.float32([[0.1, 0]]), 7)
  np.testing.assert_allclose(np.exp(found), [[0.5, 0.5]], rtol=1e-5)


@pytest.mark.parametrize("method", names.FITTED)
def test_a_run_of_them_is_a_run(tmp_path, method):
  config = tiny.config(method=method, num_seeds=2)
  result = train.train_and_evaluate(config, str(tmp_path))
  stored = json.loads((tmp_path / "result.json").read_text())
  assert stored["method"] == method and stored["steps"] == 1
  assert result["mean"] > 0.6
  again = train.train_and_evaluate(config, str(tmp_path / "again"))
  assert again["per_seed"] == result["per_seed"]
  spread = tiny.config(method=method, num_seeds=2, parallel="pmap")
  found = train.train_and_evaluate(spread, str(tmp_path / "devices"))
  assert found["per_seed"] == result["per_seed"]
