"""Hypergradients: how an outer loss depends on meta-parameters of inner steps.

With F the inner loss, V the outer loss, theta the params and phi the
meta_params, n inner steps on F(., phi) lead from theta_0 to theta_n; wanted is
dV(theta_n, phi)/dphi. The direct part dV/dphi at fixed theta_n is always exact;
the estimators differ in the indirect part, which goes through theta_n.

Parameters are any pytree of floating arrays: nested dicts, an NNX state after
`nnx.split`, an Equinox module after `partition`.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from metaaux.hypergrad._inner import (
  InnerUpdate,
  Loss,
  PyTree,
  averaged_value_and_grad,
  check_count,
  check_floating,
  check_leading_axis,
  inner_update,
  take_batch,
)

Array = jax.Array
Hypergradient = Callable[[PyTree, PyTree, PyTree, PyTree], tuple[Array, PyTree]]

# Of finite differences: in float32, and in units of half precision's digits.
_RADIUS, _LEAST_STEPS = 0.01, 4

ESTIMATORS = ("exact", "remat", "finite_difference", "neumann")


def hypergradient(
  inner_loss: Loss,
  outer_loss: Loss,
  *,
  inner_lr: ArrayLike | None = None,
  inner_optimizer: optax.GradientTransformation | None = None,
  num_steps: int = 1,
  estimator: str = "exact",
  axis_name: str | None = None,
  neumann_terms: int = 4,
  difference_radius: float | None = None,
  prepare: Callable[[PyTree], PyTree] | None = None,
) -> Hypergradient:
  r"""Outer loss after inner updates, and its gradient for the meta_params.

  Estimators, with lr the inner learning rate:

  * `exact`: reverse mode through the inner steps, which are unrolled; memory
    grows by the activations of each step.
  * `remat`: the same value; the steps are scanned and recomputed in the
    backward pass, so that memory grows by one copy of the params (and inner
    optimiser state) a step.
  * `finite_difference`: one plain SGD step; the indirect part is
    -lr (dF/dphi(theta_0 + e v) - dF/dphi(theta_0 - e v)) / (2 e) with
    v = dV/dtheta(theta_1) and e = difference_radius / ||v||; Liu, Simonyan &
    Yang 2019 (DARTS), section "Approximate architecture gradient". Its error
    is O(e^2). In half precision the way is longer, so that the parameters
    resolve it, and e is what they have really moved.
  * `neumann`: the implicit gradient by a truncated series, plain SGD only;
    the indirect part is -lr J^T sum_{j < neumann_terms} (I - lr H)^j v with
    v = dV/dtheta(theta_n), and H = d2F/dtheta2, J = d2F/dtheta dphi at
    theta_{n-1} on the last inner batch; Lorraine, Vicol & Duvenaud 2020,
    with all of lr H^-1 in the sum. One term is the exact gradient of the last
    step alone; n terms are the exact gradient of n steps where H and J are
    constant.

  An inner optimiser starts each call in a fresh state, `init(params)`, and is
  differentiated through, momentum and preconditioner included.

  Note: Adam needs `eps_root > 0` (1e-8, say) as an inner optimiser: an entry
  of the inner gradient that is exactly zero otherwise makes the hypergradient
  NaN, the derivative of a square root at 0. So does clipping by global norm
  where the whole gradient is zero.

  Note: with a fresh state, Adam's first step is g / sqrt(g^2 + eps_root) an
  entry: nearly the sign of the inner gradient g, whatever its length. Its
  derivative is eps_root / (g^2 + eps_root)^(3/2), that is 1e-8 for g = 1 and
  eps_root = 1e-8, and only where |g| is not above sqrt(eps_root) much of a
  signal is left; what float32 gives as a hypergradient then is mostly rounding.
  More steps have the change of g from one step to the next as a signal. Use
  plain SGD or momentum inside, or an eps_root of the order of g^2, with which
  the step is about proportional to g.

  Args:
    inner_loss: (params, meta_params, batch) -> scalar, mean over the batch.
    outer_loss: (params, meta_params, batch) -> scalar, mean over the batch.
    inner_lr: learning rate of plain SGD, a number or a (traced) scalar.
    inner_optimizer: optax transformation, instead of `inner_lr`.
    num_steps: number n of inner steps, >= 1.
    estimator: one of `ESTIMATORS`.
    axis_name: axis of `pmap` or `shard_map` that batches are split over in
      equal shards, params and meta_params being replicated; the loss and the
      gradient are averaged over it at both levels. None on one device, and
      under `jit` with sharded arrays.
    neumann_terms: number of terms of `neumann`, >= 1; the series converges for
      0 < lr < 2 / (largest eigenvalue of H), H positive definite.
    difference_radius: distance > 0 of `finite_difference` from theta_0;
      None: 0.01, in half precision more: the cube root of the resolution, in
      terms of float32's, times that. There it is never less than four times
      the resolution of the params, as a norm.
    prepare: what both losses receive in place of the meta_params, as a function
      of them: the labels of a batch, say. `exact` and `remat` go through it
      once, forward and backward, however often the losses use the result.

  Returns:
    (params, meta_params, inner_batches, outer_batch) -> (value, grads): the
    scalar V(theta_n, phi) and grads like meta_params. Leaves of inner_batches
    have a leading axis n, one batch a step.

  Raises:
    ValueError: the options contradict each other, or (when called) a leaf of
      inner_batches has another leading axis or one of params or meta_params is
      not floating.
  """
  check_estimator(
    estimator, inner_lr, num_steps, neumann_terms, difference_radius
  )
  if prepare is not None and estimator not in ("exact", "remat"):
    inner_loss = _after(prepare, inner_loss)
    outer_loss = _after(prepare, outer_loss)
  adapt = inner_update(
    inner_loss,
    inner_lr=inner_lr,
    inner_optimizer=inner_optimizer,
    num_steps=num_steps,
    axis_name=axis_name,
    remat=estimator == "remat",
  )
  if estimator == "finite_difference":
    estimate = _finite_difference(
      inner_loss, outer_loss, adapt, inner_lr, axis_name, difference_radius
    )
  elif estimator == "neumann":
    estimate = _neumann(
      inner_loss, outer_loss, inner_lr, num_steps, axis_name, neumann_terms
    )
  else:
    estimate = _unrolled(outer_loss, adapt, axis_name, prepare or _itself)
  return _checked(estimate)


def _itself(tree: PyTree) -> PyTree:
  return tree


def _checked(estimate: Hypergradient) -> Hypergradient:
  """An estimator that complains about leaves without a gradient."""

  def checked(
    params: PyTree, meta_params: PyTree, inner_batches: PyTree, batch: PyTree
  ) -> tuple[Array, PyTree]:
    check_floating("params", params)
    check_floating("meta_params", meta_params)
    return estimate(params, meta_params, inner_batches, batch)

  return checked


def _after(prepare: Callable[[PyTree], PyTree], loss: Loss) -> Loss:
  return lambda params, meta, batch: loss(params, prepare(meta), batch)


def _unrolled(
  outer_loss: Loss,
  adapt: InnerUpdate,
  axis_name: str | None,
  prepare: Callable[[PyTree], PyTree],
) -> Hypergradient:
  """Reverse mode through all inner steps."""

  def loss_after(
    meta_params: PyTree, params: PyTree, inner_batches: PyTree, batch: PyTree
  ) -> Array:
    prepared = prepare(meta_params)
    adapted = adapt(params, prepared, inner_batches)
    return outer_loss(adapted, prepared, batch)

  value_and_grad = averaged_value_and_grad(loss_after, axis_name)

  def estimate(
    params: PyTree, meta_params: PyTree, inner_batches: PyTree, batch: PyTree
  ) -> tuple[Array, PyTree]:
    return value_and_grad(meta_params, params, inner_batches, batch)

  return estimate


def _finite_difference(
  inner_loss: Loss,
  outer_loss: Loss,
  adapt: InnerUpdate,
  inner_lr: ArrayLike,
  axis_name: str | None,
  given_radius: float | None,
) -> Hypergradient:
  """Mixed second derivative from two gradients at either side of params."""
  outer_grads = averaged_value_and_grad(outer_loss, axis_name, (0, 1))
  meta_grad = averaged_value_and_grad(inner_loss, axis_name, 1)

  def estimate(
    params: PyTree, meta_params: PyTree, inner_batches: PyTree, batch: PyTree
  ) -> tuple[Array, PyTree]:
    adapted = adapt(params, meta_params, inner_batches)
    value, (v, direct) = outer_grads(adapted, meta_params, batch)
    norm, inverse_norm = _norm(v)
    radius = _radius(params, given_radius)
    step = radius * inverse_norm
    inner_batch = take_batch(inner_batches, 0)
    ahead, behind = _add(params, step, v), _add(params, -step, v)
    _, plus = meta_grad(ahead, meta_params, inner_batch)
    _, minus = meta_grad(behind, meta_params, inner_batch)
    # 1 / (2 e) as norm / (2 radius): at v = 0 the indirect part is then 0.
    scale = inner_lr * norm / (2 * radius)
    if _half_precision(params):
      # Each entry has gone to one of few neighbours: e along v is their mean.
      moved = _dot(v, ahead) - _dot(v, behind)
      scale = inner_lr * norm**2 / jnp.where(moved > 0, moved, 1)
    return value, _add(direct, -scale, _add(plus, -1, minus))

  return estimate


def _half_precision(tree: PyTree) -> bool:
  return _resolution(tree) > jnp.finfo(jnp.float32).eps


def _resolution(tree: PyTree) -> float:
  """That of the coarsest leaf, relative."""
  leaves = jax.tree.leaves(tree)
  return max(float(jnp.finfo(jnp.result_type(x)).eps) for x in leaves)


def _radius(params: PyTree, given: float | None) -> ArrayLike:
  """Distance at which params differ in more than the digits that they lack."""
  radius = _RADIUS if given is None else given
  if not _half_precision(params):
    return radius
  if given is None:
    coarser = _resolution(params) / float(jnp.finfo(jnp.float32).eps)
    radius *= coarser ** (1 / 3)

  def steps(x: Array) -> Array:
    return jnp.finfo(x.dtype).eps * _widen(x)

  params = jax.tree.map(jnp.asarray, params)
  least = _LEAST_STEPS * _norm(jax.tree.map(steps, params))[0]
  return jnp.maximum(radius, least)


def _neumann(
  inner_loss: Loss,
  outer_loss: Loss,
  inner_lr: ArrayLike,
  num_steps: int,
  axis_name: str | None,
  num_terms: int,
) -> Hypergradient:
  """Truncated Neumann series for the inverse Hessian of the inner loss."""
  one_step = inner_update(inner_loss, inner_lr=inner_lr, axis_name=axis_name)
  outer_grads = averaged_value_and_grad(outer_loss, axis_name, (0, 1))
  inner_grads = averaged_value_and_grad(inner_loss, axis_name, (0, 1))

  def estimate(
    params: PyTree, meta_params: PyTree, inner_batches: PyTree, batch: PyTree
  ) -> tuple[Array, PyTree]:
    check_leading_axis(inner_batches, num_steps)
    point = adapted = params
    for i in range(num_steps):
      point = adapted
      adapted = one_step(
        point, meta_params, take_batch(inner_batches, slice(i, i + 1))
      )
    value, (term, direct) = outer_grads(adapted, meta_params, batch)
    inner_batch = take_batch(inner_batches, num_steps - 1)
    # The differential of both inner gradients: v -> (H v, J^T v). Under jit
    # the half of each result that is not used costs nothing.
    _, differential = jax.linearize(
      lambda params: inner_grads(params, meta_params, inner_batch)[1], point
    )
    total = term
    for _ in range(num_terms - 1):
      term = _add(term, -inner_lr, differential(term)[0])
      total = _add(total, 1, term)
    return value, _add(direct, -inner_lr, differential(total)[1])

  return estimate


def _add(x: PyTree, scale: ArrayLike, y: PyTree) -> PyTree:
  """x + scale y, added in float32 at least and rounded to the dtypes of x."""
  return jax.tree.map(
    lambda a, b: (_widen(a) + scale * _widen(b)).astype(a.dtype), x, y
  )


def _widen(x: Array) -> Array:
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _dot(x: PyTree, y: PyTree) -> Array:
  """Inner product over all leaves."""
  products = jax.tree.map(lambda a, b: jnp.sum(_widen(a) * _widen(b)), x, y)
  return sum(jax.tree.leaves(products))


def _norm(tree: PyTree) -> tuple[Array, Array]:
  """Euclidean norm over all leaves and its inverse; 0 and 1 for a zero tree."""
  square = sum(jnp.sum(jnp.square(_widen(x))) for x in jax.tree.leaves(tree))
  positive = square > 0
  # Not a where around sqrt(0), whose derivative is NaN all the same.
  norm = jnp.sqrt(jnp.where(positive, square, 1))
  return jnp.where(positive, norm, 0), 1 / norm


def check_estimator(
  estimator: str,
  inner_lr: ArrayLike | None,
  num_steps: int,
  neumann_terms: int,
  difference_radius: float | None = None,
) -> None:
  """Raises ValueError unless the options of `hypergradient` fit together."""
  if estimator == "first_order":
    raise ValueError(
      "estimator='first_order' holds the inner gradient constant, but that is "
      "the only way from a label generator or task weights to the outer loss: "
      "its estimate is identically 0. It means something in Meta-MTL, where "
      "the inner step starts from the learned parameters themselves; here use "
      "'exact'."
    )
  if estimator not in ESTIMATORS:
    raise ValueError(
      f"no estimator {estimator!r}; known: {', '.join(ESTIMATORS)}."
    )
  if estimator in ("finite_difference", "neumann") and inner_lr is None:
    raise ValueError(
      f"estimator={estimator!r} is defined for plain SGD; pass inner_lr "
      "instead of inner_optimizer, or use 'exact'."
    )
  if estimator == "finite_difference" and num_steps != 1:
    raise ValueError(
      f"estimator='finite_difference' is defined for one inner step, not "
      f"num_steps={num_steps}; use 'exact' or 'remat'."
    )
  check_count("num_steps", num_steps)
  check_count("neumann_terms", neumann_terms)
  # One that is traced has no value yet.
  is_known = not isinstance(difference_radius, jax.core.Tracer | None)
  if is_known and not 0 < difference_radius < math.inf:
    raise ValueError(
      f"difference_radius={difference_radius!r} is not a finite number > 0; "
      "None chooses one by the precision of the params."
    )
