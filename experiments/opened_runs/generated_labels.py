"""What MAXL's generator of a saved run makes of test images."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaaux import models, parallel
from metaaux.errors import UserError
from metaaux.models import ModelOptions
from metaaux.run import batches
from metaaux.run.checkpoints import reopen

_MAX_IMAGES = 1000


class Generated(NamedTuple):
  """Labels of test images by the generator of one seed, and their features.

  Attributes:
    seed: of the run.
    step: that the checkpoint is of.
    images: uint8 or float32 [n, H, W, C].
    primary: int [n], true classes.
    human: int [n], true sub-classes, -1 where there are none.
    labels: float [n, K], zero outside the block of the primary class.
    features: float [n, D], what the evaluator's heads receive.
    psi: auxiliary classes of each primary class.
    primary_names: class names.
    human_names: sub-class names; () without them.
  """

  seed: int
  step: int
  images: np.ndarray
  primary: np.ndarray
  human: np.ndarray
  labels: np.ndarray
  features: np.ndarray
  psi: tuple[int, ...]
  primary_names: tuple[str, ...]
  human_names: tuple[str, ...]


def generated(workdir: str) -> Generated:
  """Opens a run of MAXL and labels test images by its first seed.

  Args:
    workdir: of a run, finished or not.

  Raises:
    UserError: there is no checkpoint, or the data is not at hand.
  """
  restored = reopen.restore(workdir)
  run, stage, problem = restored.run, restored.stage, restored.run.problem
  if stage.targets is None:
    raise UserError(f"{workdir!r} generates no labels")
  network = models.make(ModelOptions.of(run.config.model), {"features": 0})
  examples, _ = run.tests["test"]

  @jax.jit
  def block(state: Any, examples: Any, index_B: Any) -> tuple[Any, Any]:
    batch = batches.draw(run, examples, index_B, None)
    found, _ = network.apply(
      state.params, state.stats, batch["image"], train=False
    )
    return stage.targets(state, batch), found["features"]

  state = jax.tree.map(
    lambda x: jnp.asarray(x[0]), parallel.to_host(restored.states, run.plan)
  )
  # The generator normalises by the batch, so that all batches are full.
  tested = problem.tested()[0]
  size = min(run.config.batch_size, len(tested))
  chosen = tested[: max(1, min(len(tested), _MAX_IMAGES) // size) * size]
  parts = [
    block(state, examples, jnp.asarray(chosen[i : i + size]))
    for i in range(0, len(chosen), size)
  ]
  labels, features = (
    np.concatenate([np.asarray(part[k]) for part in parts]) for k in (0, 1)
  )
  return Generated(
    seed=int(run.seeds[0]),
    step=restored.step,
    images=problem.test["image"][chosen],
    primary=problem.test["primary"][chosen],
    human=problem.test["auxiliary"][chosen],
    labels=labels,
    features=features,
    psi=problem.spec.psi,
    primary_names=problem.primary_names,
    human_names=problem.auxiliary_names,
  )
