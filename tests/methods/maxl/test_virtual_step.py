"""What MAXL's probe says of a step, on losses whose gradients are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from metaaux.methods.maxl import diagnostics

AT = {"trunk": np.array([1.0, 2.0]), "head_primary": np.array([3.0])}
OF_PRIMARY = np.array([3.0, 4.0])


def terms(of_auxiliary):
  """Linear losses with these gradients in the trunk; the head has others."""

  def at(params):
    head = params["head_primary"].sum()
    return {
      "primary_loss": params["trunk"] @ OF_PRIMARY + 7 * head,
      "auxiliary_loss": params["trunk"] @ jnp.asarray(of_auxiliary) - 5 * head,
    }

  return at


@pytest.mark.parametrize(
  ("of_auxiliary", "cosine"),
  [
    ([6.0, 8.0], 1.0),
    ([-0.3, -0.4], -1.0),
    ([4.0, -3.0], 0.0),
    ([5.0, 0.0], 0.6),
    ([0.0, 0.0], 0.0),
  ],
)
def test_gain_and_cosine_by_hand(of_auxiliary, cosine, x64):
  found = diagnostics.virtual_step(
    terms(of_auxiliary), AT, inner_lr=0.1, weight=0.5
  )
  np.testing.assert_allclose(found["gradient_cosine"], cosine, atol=1e-12)
  # .1 <g_p, g_p + g_a / 2>, with 7 and -5 of the head.
  gain = 0.1 * (25 + 49 + (OF_PRIMARY @ of_auxiliary - 35) / 2)
  np.testing.assert_allclose(found["meta_gain"], gain, rtol=1e-12)


def test_how_far_from_the_start(x64):
  start = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
  here = {"a": jnp.array([3.0]), "b": jnp.array([5.0])}
  np.testing.assert_allclose(diagnostics.relative_distance(here, start), 0.2)
  assert diagnostics.relative_distance(start, start) == 0
