"""Losses, gradients and their inner products, averaged over devices.

Gradients are averaged before any product is formed: the mean of the products of
single devices is that of noisier gradients, and larger. Products accumulate in
the default float type.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metaaux import parallel
from metaaux.hypergrad._inner import averaged_value_and_grad
from metaaux.methods.reweighting._core import Array, Tasks, Tree, widen
from metaaux.methods.reweighting._products import matmul

# In a loop, convolutions are slow on a CPU; unrolled, many tasks compile long.
_UNROLLED_TASKS = 4


class Gram(NamedTuple):
  """Inner products of the gradients g_m of the primary and g_k of the others.

  Attributes:
    auxiliary: H, [K, K], entries <g_j, g_k>.
    cross: b, [K], entries <g_k, g_m>.
    primary: scalar, <g_m, g_m>.
  """

  auxiliary: Array
  cross: Array
  primary: Array

  @property
  def of_all(self) -> Array:
    """[T, T] for T = K + 1 tasks, the primary one first."""
    row = jnp.concatenate([self.primary[None], self.cross])
    rest = jnp.concatenate([self.cross[:, None], self.auxiliary], axis=1)
    return jnp.concatenate([row[None], rest])


def primary_loss(tasks: Tasks) -> Array:
  """L_m at the current parameters, a scalar."""
  loss = tasks.primary_loss(tasks.params)
  return widen(parallel.pmean(loss, tasks.axis_name))


def auxiliary_losses(tasks: Tasks) -> Array:
  """L_k at the current parameters, [K]."""
  return widen(_mean_losses(tasks)(tasks.params))


def gradient(tasks: Tasks, loss: Callable[[Tree], Array]) -> tuple[Array, Tree]:
  """Value and gradient of a scalar loss at the current parameters."""
  return averaged_value_and_grad(loss, tasks.axis_name)(tasks.params)


def sum_gradient(tasks: Tasks, weight_K: Array) -> Tree:
  """Gradient of L_m + sum_k weight_k L_k.

  One reverse pass with `all_losses`, two without.
  """

  def total(params: Tree) -> Array:
    if tasks.all_losses is None:
      primary = tasks.primary_loss(params)
      loss_K = tasks.auxiliary_losses(params)
    else:
      primary, loss_K = tasks.all_losses(params)
    return primary + jnp.sum(weight_K * loss_K)

  return gradient(tasks, total)[1]


def inner_products(tasks: Tasks, direction: Tree) -> Array:
  """<g_k, direction> of every auxiliary task: one forward-mode pass.

  Args:
    tasks: the tasks; with `forward_mode=False` it takes K reverse passes.
    direction: like the parameters, the same on all devices.

  Returns:
    [K].
  """
  if not tasks.forward_mode:
    _, product_K = _for_each_gradient(tasks, lambda g: dot(g, direction))
    return product_K
  losses = _mean_losses(tasks)
  _, slope_K = jax.jvp(losses, (tasks.params,), (direction,))
  return widen(slope_K)


def squared_norms(tasks: Tasks) -> tuple[Array, Array]:
  """Losses [K] and ||g_k||^2 [K]: K reverse passes, one gradient at a time."""
  return _for_each_gradient(tasks, lambda g: dot(g, g))


def gram(tasks: Tasks) -> Gram:
  """Inner products of all gradients.

  Column j of H is the derivative of all K losses along g_j, so that one
  gradient is in memory at a time (or up to four, of as many tasks): K + 1
  reverse and K + 1 forward passes. With
  `forward_mode=False` all K gradients are kept, 4 K P bytes for P parameters.

  Args:
    tasks: the tasks.
  """
  _, primary_gradient = gradient(tasks, tasks.primary_loss)
  primary = dot(primary_gradient, primary_gradient)
  if not tasks.forward_mode:
    _, gradients = _for_each_gradient(tasks, lambda g: g)
    H = sum(map(_rows_times_rows, jax.tree.leaves(gradients)))
    b = sum(
      matmul(_rows(g_K), widen(g_m).ravel())
      for g_K, g_m in zip(
        jax.tree.leaves(gradients),
        jax.tree.leaves(primary_gradient),
        strict=True,
      )
    )
    return Gram(H, b, primary)
  _, along = jax.linearize(_mean_losses(tasks), tasks.params)
  _, H = _for_each_gradient(tasks, lambda g: widen(along(g)))
  # Both triangles hold the same numbers, but for the rounding.
  return Gram((H + H.T) / 2, widen(along(primary_gradient)), primary)


def dot(a: Tree, b: Tree) -> Array:
  """Inner product over all leaves, in their order."""
  products = jax.tree.map(lambda x, y: jnp.sum(widen(x) * widen(y)), a, b)
  return sum(jax.tree.leaves(products), jnp.zeros_like(widen(0)))


def _mean_losses(tasks: Tasks) -> Callable[[Tree], Array]:
  """The auxiliary losses, averaged over devices."""
  return lambda params: parallel.pmean(
    tasks.auxiliary_losses(params), tasks.axis_name
  )


def _for_each_gradient(
  tasks: Tasks, function: Callable[[Tree], Tree]
) -> tuple[Array, Tree]:
  """Losses [K], and a function of each g_k with the results stacked."""
  loss_K, pullback = jax.vjp(_mean_losses(tasks), tasks.params)

  def of_task(_: None, one_hot_K: Array) -> tuple[None, Tree]:
    (local,) = pullback(one_hot_K)
    # Leaf by leaf, as in `averaged_value_and_grad`, which says why twice.
    mean = jax.tree.map(lambda x: parallel.pmean(x, tasks.axis_name), local)
    return None, function(mean)

  num_tasks = len(loss_K)
  _, results = jax.lax.scan(
    of_task,
    None,
    jnp.eye(num_tasks, dtype=loss_K.dtype),
    unroll=num_tasks if num_tasks <= _UNROLLED_TASKS else 1,
  )
  return widen(loss_K), results


def _rows(x: Array) -> Array:
  return widen(x).reshape(len(x), -1)


def _rows_times_rows(x: Array) -> Array:
  return matmul(_rows(x), _rows(x).T)
