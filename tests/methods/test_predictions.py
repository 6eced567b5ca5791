"""What is evaluated: each image alone, by the statistics of training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from metaaux.run import attribute_scores, batches

ATTRIBUTES = {
  "setting": "attributes",
  "attributes": ("2", "10"),
  "primary": "7",
  "labels_per_class": 0,
  "label_fraction": 0.1,
  "gamma": 0.0,
  "model.decoder": "linear",
}


# One of each kind of prediction; NDDR has statistics between its towers.
@pytest.mark.parametrize(
  ("method", "changes"),
  [
    *((method, {}) for method in ("single", "uniform", "maxl", "arml")),
    pytest.param("arml", ATTRIBUTES, id="attributes"),
    *((method, {}) for method in ("fada", "pi_model", "co_training", "nddr")),
  ],
)
def test_a_prediction_does_not_depend_on_the_other_images(method, changes):
  """With batch normalisation, of which a network at its start has enough."""
  changes = {"model.batch_norm": method != "nddr", **changes}
  states, _, run, stage = tiny.run_steps(
    tiny.config(method=method, **changes), 0
  )
  rows = jnp.asarray(run.problem.train[0][:16])
  images = batches.draw(run, run.pool, rows, None)["image"]
  # Others that are far from what the first one looks like.
  images = images.at[1:].multiply(3.0)
  stage = attribute_scores.with_attributes(stage, run)
  predict = jax.jit(stage.predict)
  together, alone = predict(states[0], images), predict(states[0], images[:1])
  np.testing.assert_allclose(together[:1], alone, rtol=1e-5, atol=1e-6)
  assert np.ptp(together) > 0
