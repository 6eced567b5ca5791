"""One line where memory is not enough, before or while it is asked for."""

import jax
import numpy as np
import pytest
import tiny

from metaaux import train
from metaaux.errors import UserError
from metaaux.parallel import memory
from metaaux.run import compiled_programs


@pytest.mark.parametrize(
  ("changes", "key", "largest"),
  [
    ({"model.hidden": 2 * 10**9}, "model.hidden", "2000000000]"),
    ({"model.widths": (10**6, 10**6)}, "model.widths", "1000000, 1000000]"),
    ({"primary": "2", "psi": (2 * 10**9,)}, "psi", "4000000000]"),
  ],
)
def test_networks_that_do_not_fit(tmp_path, changes, key, largest):
  settings = tiny.config(method="uniform", **changes)
  with pytest.raises(UserError) as caught:
    train.train_and_evaluate(settings, str(tmp_path / "run"))
  text = str(caught.value)
  assert (
    "would take" in text and "of memory are free; the largest array" in text
  )
  assert f"{largest}; lower" in text and f"{key} (" in text
  assert "\n" not in text and not (tmp_path / "run").exists()


ERRORS = [
  MemoryError("Unable to allocate 9. PiB for an array with shape (3,)"),
  MemoryError(),
  jax.errors.JaxRuntimeError(
    "RESOURCE_EXHAUSTED: Out of memory allocating 123000000 bytes.\nmore"
  ),
  ValueError("array is too big; `arr.size * arr.dtype.itemsize` is larger"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_allocations_that_fail_in_a_run(tmp_path, monkeypatch, error):
  def update(*_):
    raise error

  monkeypatch.setattr(compiled_programs, "compile_update", lambda *_: update)
  settings = tiny.config(method="single")
  with pytest.raises(
    UserError, match=r"^out of memory \(.*; lower batch_"
  ) as e:
    train.train_and_evaluate(settings, str(tmp_path))
  assert "\n" not in str(e.value)
  if "RESOURCE" in str(error):
    assert "123.0 MB were asked for at once" in str(e.value)


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("INTERNAL")])
def test_other_errors_stay_as_they_are(error):
  with (
    pytest.raises(type(error), match=str(error)) as caught,
    memory.explained(tiny.config()),
  ):
    raise error
  assert caught.value is error


def test_what_is_free():
  free = memory.available()
  assert free is None or 2**20 < free < 2**50
  memory.check(1000, "a thing", "do something")
  if free is not None:
    with pytest.raises(UserError, match=r"a thing would take 1\.0 EB .*; do"):
      memory.check(10**18, "a thing", "do something")


def test_sizes():
  shown = [memory.size(n) for n in (0, 999, 1500, 2.5e9, 10**30)]
  assert shown[:4] == ["0 bytes", "999 bytes", "1.5 kB", "2.5 GB"]
  assert shown[4].endswith(" EB") and np.isfinite(float(shown[4].split()[0]))
