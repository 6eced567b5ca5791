"""When a MAXL run warns, and when there is nothing to warn of."""

import jax.numpy as jnp
import numpy as np
import pytest

from metaaux import losses
from metaaux.methods.maxl import diagnostics

GOOD = {"meta_gain": 0.1, "meta_primary_loss": 1.0, "gradient_cosine": 0.5}
PRIMARY = np.repeat([0, 1, 2], [50, 10, 40])
PSI = (5, 1, 4)  # blocks and classes of different sizes, as of 3 | 10


def labelled(logits_of_block, spread=0.0):
  """Labels of softmax(logits + noise) in the block of each of 100 images."""
  rng = np.random.default_rng(0)
  mask = np.asarray(losses.class_mask(PRIMARY, PSI))
  logits = np.tile(logits_of_block(np.arange(10)), (len(PRIMARY), 1))
  logits = logits + spread * rng.normal(size=logits.shape)
  return np.asarray(losses.masked_softmax(jnp.asarray(logits), mask))


def alarms_of(labels, **more):
  found = losses.label_statistics(labels, PRIMARY, PSI)
  return list(diagnostics.alarms({**found, **GOOD, **more}).values())


UNIFORM = labelled(lambda k: 0.0 * k, 0.01)
FEW = labelled(lambda k: np.where(np.isin(k, (0, 1, 5, 6)), 0.0, -20.0), 5.0)
INFORMATIVE = labelled(lambda k: 0.0 * k, 2.0)


@pytest.mark.parametrize(
  ("labels", "begins"),
  [
    (UNIFORM, "the generated labels are almost uniform"),
    # Of all images alike, but in no sense in use by one column alone.
    (labelled(lambda k: 0.7 * (k % 3)), "all images of a class get almost"),
    (
      labelled(lambda k: 30.0 * np.isin(k, (0, 5, 6))),
      "the labels have collapsed",
    ),
    (FEW, "few auxiliary classes are in use (40%"),
    (INFORMATIVE, None),
  ],
  ids=["uniform", "constant", "collapsed", "few", "informative"],
)
def test_labels_have_one_alarm_at_most(labels, begins):
  """What is likeliest of near-uniform labels is noise, and no sign of use."""
  found = alarms_of(labels)
  assert len(found) == (begins is not None)
  assert all(alarm.startswith(begins) for alarm in found)


def test_labels_far_from_uniform_in_a_large_block():
  """A mean over blocks of different sizes is not the entropy of a uniform."""
  labels = labelled(lambda k: 0.0 * k, 1.2)
  found = losses.label_statistics(labels, PRIMARY, PSI)
  assert found["sample_entropy"] > 0.98 * np.mean(np.log(PSI))
  assert found["information_fraction"] > 0.2
  assert not alarms_of(labels)
  assert losses.label_statistics(UNIFORM, PRIMARY, PSI)[
    "uniform_entropy"
  ] == pytest.approx(np.sum([0.5, 0.1, 0.4] * np.log(PSI)))


def test_one_auxiliary_class_has_no_alarm():
  found = losses.label_statistics(np.eye(3)[PRIMARY], PRIMARY, (1, 1, 1))
  assert not diagnostics.alarms({**found, **GOOD})


@pytest.mark.parametrize(
  ("loss", "gain", "warns"),
  [
    (0.0, -3.88e-6, False),  # the task is learned; rounding
    (1e-5, -2e-5, False),
    (0.0, 0.0, False),
    (1.0, -1e-5, False),
    (1.0, 0.0, False),
    (1.0, -0.02, True),
    (0.01, -0.01, True),
    (1.0, 1e-6, False),
  ],
)
def test_a_step_that_raises_the_primary_loss(loss, gain, warns):
  found = alarms_of(INFORMATIVE, meta_gain=gain, meta_primary_loss=loss)
  assert len(found) == warns
  if warns:
    assert f"from {loss:.3g} by {-gain:.1e}" in found[0]


def test_virtual_step_of_two_parabolas():
  def terms(params):
    return {
      "primary_loss": 0.5 * jnp.sum((params["w"] - 1) ** 2),
      "auxiliary_loss": 0.5 * jnp.sum((params["w"] + 1) ** 2),
    }

  found = diagnostics.virtual_step(
    terms, {"w": jnp.zeros(1)}, inner_lr=0.1, weight=0.5
  )
  # The gradients are -1 and 1, so that w goes to 0.05.
  assert found["meta_primary_loss"] == pytest.approx(0.5)
  assert found["meta_gain"] == pytest.approx(0.5 - 0.5 * 0.95**2)
  assert found["gradient_cosine"] == pytest.approx(-1)
