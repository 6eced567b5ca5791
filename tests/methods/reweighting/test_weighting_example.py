"""The example of docs/reweighting.md runs, and does what it says."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENT = pathlib.Path(__file__).parents[3] / "docs" / "reweighting.md"


def primary_loss(params, batch):
  hidden = batch["x"] @ params["shared"]["w"]
  return jnp.mean((hidden @ params["primary"] - batch["y"][:, 0]) ** 2)


def auxiliary_losses(params, batch):
  """The first target is the primary one, the second is noise."""
  hidden = batch["x"] @ params["shared"]["w"]
  return jnp.mean((hidden @ params["auxiliary"] - batch["y"]) ** 2, axis=0)


def test_example():
  (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
  assert len([x for x in code.splitlines() if x.strip()]) < 30
  rng = np.random.default_rng(0)
  x = rng.normal(size=(60, 16, 4)).astype(np.float32)
  y = np.stack([x[..., 0], 3 * x[..., 1]], axis=-1)
  params = {
    "shared": {"w": jnp.eye(4)},
    "primary": jnp.array([0.5, 0.0, 0.0, 0.0]),
    "auxiliary": jnp.array([[0.5, 0.0], [0.0, 0.5], [0.0, 0.0], [0.0, 0.0]]),
  }
  names = {
    "primary_loss": primary_loss,
    "auxiliary_losses": auxiliary_losses,
    "params": params,
    "num_tasks": 2,
    "key": jax.random.key(0),
    "batches": [{"x": a, "y": b} for a, b in zip(x, y, strict=True)],
  }
  exec(code, names)
  weight_K = names["state"].weight_K
  assert weight_K[0] > 1.02
  np.testing.assert_allclose(weight_K.sum(), 2, rtol=1e-6)
  batch = names["batches"][0]
  assert primary_loss(names["params"], batch) < primary_loss(params, batch)
