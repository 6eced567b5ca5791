"""Multi-task training with fixed auxiliary labels: MAXL's baselines.

Loss and network are those of MAXL's evaluator; only the labels differ:

* `human`: the finer level of the label hierarchy, one-hot;
* `random`: a random class of the block of y, drawn once for each example;
* `uniform`: the uniform distribution over the block of y. It says nothing that
  y does not, so it is the control for every method that learns soft labels.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaaux import losses
from metaaux.methods.maxl import fixed_labels
from metaaux.stage import Array, Batch, Key, Spec, Stage


class MultiTaskState(NamedTuple):
  """The network, its optimiser, and what random labels are drawn from.

  `draws` is a number in [0, 1) for each example of the pool, None for other
  labels.
  """

  params: Any
  stats: Any
  optimizer: Any
  draws: Array | None


def auxiliary_labels(
  kind: str, batch: Batch, draws: Array | None, psi: tuple[int, ...]
) -> Array:
  """Fixed auxiliary labels of a batch.

  Args:
    kind: "human", "random" or "uniform".
    batch: `primary`, `auxiliary` and `index`, int [B].
    draws: float [n] in [0, 1), one for each example of the pool ("random").
    psi: number of auxiliary classes of each primary class.

  Returns:
    float32 [B, K]; rows sum to 1 and are 0 outside the block of the primary
    class.
  """
  if kind == "uniform":
    mask_BxK = losses.class_mask(batch["primary"], psi)
    return losses.masked_softmax(jnp.zeros(mask_BxK.shape), mask_BxK)
  if kind == "human":
    column_B = batch["auxiliary"]
  else:
    sizes_B = jnp.asarray(psi)[batch["primary"]]
    first_B = jnp.asarray(np.cumsum((0, *psi))[:-1])[batch["primary"]]
    draw_B = jnp.floor(draws[batch["index"]] * sizes_B).astype(jnp.int32)
    # In float32 the product can round up to the size of the block.
    column_B = first_B + jnp.minimum(draw_B, sizes_B - 1)
  return jax.nn.one_hot(column_B, sum(psi))


def make(
  config: Any, spec: Spec, *, labels: str, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """Trains both heads on the primary and on fixed auxiliary labels.

  Args:
    config: as for `fixed_labels.stage`.
    spec: the problem.
    labels: "human", "random" or "uniform".
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: human labels are asked for and the data has none.
  """
  if labels == "human":
    fixed_labels.check_human(spec, labels)

  def new_state(
    params: Any, stats: Any, optimizer: Any, key: Key, given: Any
  ) -> MultiTaskState:
    del given
    draws = None
    if labels == "random":
      draw_key = jax.random.fold_in(key, 1)
      draws = jax.random.uniform(draw_key, (spec.num_examples,))
    return MultiTaskState(params, stats, optimizer, draws)

  stage = fixed_labels.stage(
    config,
    spec,
    new_state=new_state,
    labels_of=lambda state, batch: auxiliary_labels(
      labels, batch, state.draws, spec.psi
    ),
    axis_name=axis_name,
  )
  return (stage,)
