"""Batches that devices cannot share, of every stream of every method."""

import pytest
import tiny
from cases import METHODS

from metaaux import methods, parallel
from metaaux.errors import UserError
from metaaux.run import batches, opening

# Streams that have a size of their own, by the key that sets it.
OWN = {
  "embedding.batch_size": {
    "embedding.name": "acai",
    "embedding.width": 4,
    "partition.labels": "kmeans",
  },
  "domains.batch_size": tiny.of_domains(),
  "partition.batch_size": {
    "embedding.name": "pixels",
    "partition.labels": "kmeans",
  },
}
USERS = {
  "embedding.batch_size": (
    "fine_tune",
    "joint",
    "kmeans",
    "meta_mtl",
    "prototypical",
  ),
  # What "fada" pairs is of one size, so that it has none of its own.
  "domains.batch_size": ("arml",),
  "partition.batch_size": ("joint",),
}


def checked(method, **changes):
  """The streams of all stages, after a look at their batches on 4 devices."""
  settings = tiny.config(method=method, parallel="pmap", **changes)
  run = opening.open_run(settings)
  stages = methods.make(settings, run.problem.spec, axis_name=parallel.AXIS)
  batches.check_batches(run, stages)
  return [spec for stage in stages for spec in stage.streams.values()]


@pytest.mark.parametrize("method", METHODS)
def test_the_common_size_is_that_of_every_other_stream(method):
  with pytest.raises(
    UserError, match=r"batch_size=18 .*4 devices.*--config\.batch_size=16$"
  ):
    checked(method, batch_size=18)
  sizes = {spec.batch_size for spec in checked(method)}
  assert sizes <= {0, 16 if method == "fine_tune" else 0}


@pytest.mark.parametrize(
  ("method", "key"),
  [(method, key) for key, names in USERS.items() for method in names],
)
def test_a_size_of_its_own_is_named(method, key):
  for size in (18, 2):
    with pytest.raises(
      UserError, match=rf"batch_size={size} of stage.*4 devices; set config"
    ) as caught:
      checked(method, **{**OWN[key], key: size})
    assert f"config.{key} to a multiple of 4, e.g. " in str(caught.value)
    fitting = int(str(caught.value).split()[-1])
    specs = checked(method, **{**OWN[key], key: fitting})
    assert {spec.batch_size for spec in specs} == {0, fitting}


def test_no_other_method_has_a_stream_of_such_a_size():
  for key, changes in OWN.items():
    for method in METHODS:
      try:
        specs = checked(method, **{**changes, key: 20})
      except UserError:
        continue  # such a problem is not for this method
      found = 20 in {spec.batch_size for spec in specs}
      assert found == (method in USERS[key]), (method, key)
