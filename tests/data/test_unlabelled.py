"""The images that are neither for training nor for the outer update."""

import numpy as np
import pytest
import tiny

from metaaux import data, methods
from metaaux.errors import UserError
from metaaux.run import batches, opening


def test_unlabelled_images():
  for changes in (
    {},
    {"labels_per_class": 30},
    {"meta_fraction": 0.5, "batch_size": 8},
  ):
    config = tiny.config(num_seeds=2, **{"labels_per_class": 20, **changes})
    made = data.build(config)
    found = made.positions("unlabelled")
    assert found.dtype == np.int32
    for row, train, meta in zip(found, made.train, made.meta, strict=True):
      assert sorted({*row, *train, *meta}) == list(range(1000))
      assert not np.isin(row, train).any() and not np.isin(row, meta).any()
    assert not np.array_equal(found[0], found[1])


def test_no_unlabelled_images():
  made = data.build(tiny.config(labels_per_class=0))
  with pytest.raises(UserError, match=r"all 1000 .* labelled.*pool=all"):
    made.positions("unlabelled")


@pytest.mark.parametrize(
  "method",
  [
    *("pi_model", "mean_teacher", "vat", "vat_entmin", "pseudo_label"),
    *("self_training", "co_training"),
  ],
)
@pytest.mark.parametrize("meta_fraction", [0.0, 0.25])
def test_nothing_unlabelled_to_learn_from(method, meta_fraction):
  config = tiny.config(
    method=method, labels_per_class=0, meta_fraction=meta_fraction
  )
  run = opening.open_run(config)
  stages = methods.make(config, run.problem.spec)
  message = rf"method={method} learns from images without labels, but all 1000"
  with pytest.raises(UserError, match=message) as caught:
    batches.check_batches(run, stages)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["single", "kmeans", "vat", "co_training"])
def test_others_have_what_they_need(method):
  labels = 40 if method in ("vat", "co_training") else 0
  config = tiny.config(method=method, labels_per_class=labels)
  run = opening.open_run(config)
  batches.check_batches(run, methods.make(config, run.problem.spec))


def test_images_of_several_tasks_are_never_unlabelled():
  made = data.build(tiny.config(method="damtl"))
  with pytest.raises(UserError, match="never unlabelled; set semi_supervised"):
    made.positions("unlabelled")
