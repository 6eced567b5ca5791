"""Inner gradient steps: what every hypergradient estimator stands on."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from metaaux.losses import distances

Array = jax.Array
PyTree = Any
Loss = Callable[[PyTree, PyTree, PyTree], Array]
InnerUpdate = Callable[[PyTree, PyTree, PyTree], PyTree]


def inner_update(
  inner_loss: Loss,
  *,
  inner_lr: ArrayLike | None = None,
  inner_optimizer: optax.GradientTransformation | None = None,
  num_steps: int = 1,
  axis_name: str | None = None,
  remat: bool = False,
) -> InnerUpdate:
  """The inner steps alone: params after gradient steps on the inner loss.

  Args:
    inner_loss: (params, meta_params, batch) -> scalar.
    inner_lr: learning rate of plain SGD, a number or a (traced) scalar.
    inner_optimizer: optax transformation, instead of `inner_lr`; its state is
      fresh at each call.
    num_steps: number of steps, >= 1.
    axis_name: device axis to average gradients over, as in `hypergradient`.
    remat: scan over the steps and recompute each in a backward pass.

  Returns:
    (params, meta_params, inner_batches) -> adapted params, differentiable in
    params and meta_params. Leaves of inner_batches have a leading axis
    num_steps.

  Raises:
    ValueError: not exactly one of inner_lr and inner_optimizer, a bad number
      of steps or, when called, a leaf with another leading axis or a leaf of
      params that is not floating.
  """
  optimizer = _optimizer(inner_lr, inner_optimizer)
  check_count("num_steps", num_steps)
  inner_grad = averaged_value_and_grad(inner_loss, axis_name)

  def update(
    params: PyTree, meta_params: PyTree, inner_batches: PyTree
  ) -> PyTree:
    check_floating("params", params)
    check_leading_axis(inner_batches, num_steps)

    def step(carry: PyTree, batch: PyTree) -> tuple[PyTree, None]:
      params, state = carry
      _, grads = inner_grad(params, meta_params, batch)
      updates, state = optimizer.update(grads, state, params)
      return (optax.apply_updates(params, updates), state), None

    carry = (params, optimizer.init(params))
    if remat:
      # A scan already keeps XLA from merging the recomputation with the
      # forward pass; the barriers against that would only cost time.
      step = jax.checkpoint(step, prevent_cse=False)
      carry, _ = jax.lax.scan(step, carry, inner_batches, length=num_steps)
    else:
      for i in range(num_steps):
        carry, _ = step(carry, take_batch(inner_batches, i))
    return carry[0]

  return update


def averaged_value_and_grad(
  loss: Loss, axis_name: str | None, argnums: int | tuple[int, ...] = 0
) -> Callable[..., tuple[Array, PyTree]]:
  """Value and gradient of the mean of `loss` over devices.

  Where an axis tracks which values are replicated (`shard_map` with its checks
  on), it is the mean of the losses that makes the gradient right and the mean
  of the gradients that changes nothing; where it does not (`pmap`), the other
  way round. Both together are right in both.
  """
  if axis_name is None:
    return jax.value_and_grad(loss, argnums)

  def mean_loss(*args: PyTree) -> Array:
    return jax.lax.pmean(loss(*args), axis_name)

  def value_and_grad(*args: PyTree) -> tuple[Array, PyTree]:
    result = jax.value_and_grad(mean_loss, argnums)(*args)
    # Leaf by leaf: JAX 0.8 cannot transpose one psum of several operands of
    # which only some depend on what is differentiated.
    return jax.tree.map(lambda x: jax.lax.pmean(x, axis_name), result)

  return value_and_grad


def take_batch(batches: PyTree, index: int | slice) -> PyTree:
  """One of the batches stacked on the leading axis, or a slice of them."""
  return jax.tree.map(lambda x: x[index], batches)


def check_leading_axis(batches: PyTree, num_steps: int) -> None:
  """Raises ValueError for a leaf that does not hold one batch a step."""
  for path, leaf in jax.tree_util.tree_leaves_with_path(batches):
    if jnp.shape(leaf)[:1] != (num_steps,):
      raise ValueError(
        f"inner_batches{jax.tree_util.keystr(path)} has shape "
        f"{jnp.shape(leaf)}; its leading axis must be num_steps={num_steps}, "
        "one batch a step (x[None] for a single one)."
      )


def check_count(name: str, value: Any) -> None:
  """Raises ValueError unless a static number is a Python int >= 1."""
  if isinstance(value, (np.integer, np.ndarray, jax.Array)):
    raise ValueError(
      f"{name}={value!r} is of type {type(value).__name__}; it decides what is "
      f"compiled: pass a Python int, {name}=int(...)."
    )
  if isinstance(value, bool) or not isinstance(value, int) or value < 1:
    raise ValueError(f"{name}={value!r} must be an integer >= 1.")


def check_floating(name: str, tree: PyTree) -> None:
  """Raises ValueError for a leaf that has no gradient."""
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    where = name + jax.tree_util.keystr(path)
    distances.check_native(where, leaf)
    dtype = jnp.result_type(leaf)
    if not jnp.issubdtype(dtype, jnp.inexact):
      raise ValueError(
        f"{where} is {dtype}{list(jnp.shape(leaf))}, which has no gradient; "
        "pass it in the batches or close over it, or make it floating."
      )


def _optimizer(
  inner_lr: ArrayLike | None,
  inner_optimizer: optax.GradientTransformation | None,
) -> optax.GradientTransformation:
  if (inner_lr is None) == (inner_optimizer is None):
    raise ValueError(
      f"inner_lr={inner_lr!r} and inner_optimizer={inner_optimizer!r}: give "
      "exactly one of them."
    )
  if inner_optimizer is not None:
    return inner_optimizer
  if jnp.ndim(inner_lr) != 0:
    raise ValueError(
      f"inner_lr has shape {jnp.shape(inner_lr)}, expected a scalar; "
      "use inner_optimizer for rates by leaf."
    )
  return optax.sgd(inner_lr)
