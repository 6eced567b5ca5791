"""Hypergradients of a batch-norm network whose labels a second network makes.

Each estimator against differences, a second estimator, the closed form of one
step, and the same batch on four devices.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from metaaux import losses
from metaaux.hypergrad import ESTIMATORS, hypergradient

PSI = (2, 2, 1)
NUM_CLASSES, NUM_AUXILIARY = len(PSI), sum(PSI)
ENTROPY_WEIGHT = 0.2


# A network with batch norm, whose auxiliary labels a second network makes.


def make_params(seed=0):
  rng = np.random.default_rng(seed)
  return {
    "hidden": jnp.asarray(rng.normal(size=(3, 4))),
    "scale": jnp.asarray(rng.uniform(0.5, 1.5, size=4)),
    "shift": jnp.asarray(rng.normal(size=4)),
    "primary": jnp.asarray(rng.normal(size=(4, NUM_CLASSES))),
    "auxiliary": jnp.asarray(rng.normal(size=(4, NUM_AUXILIARY))),
  }


def make_meta(seed=1):
  rng = np.random.default_rng(seed)
  return {"w": jnp.asarray(rng.normal(size=(3, NUM_AUXILIARY)))}


def make_batches(num_steps, batch_size=8, seed=2):
  rng = np.random.default_rng(seed)
  x = jnp.asarray(rng.normal(size=(num_steps, batch_size, 3)))
  y = jnp.asarray(np.arange(num_steps * batch_size) % NUM_CLASSES)
  return {"x": x, "y": y.reshape(num_steps, batch_size)}


def first(batches):
  return jax.tree.map(lambda x: x[0], batches)


def mean(x, axis_name):
  return x if axis_name is None else jax.lax.pmean(x, axis_name)


def network(params, x, axis_name=None):
  hidden = x @ params["hidden"]
  centre = mean(jnp.mean(hidden, axis=0), axis_name)
  centred = hidden - centre[None, :]
  variance = mean(jnp.mean(centred**2, axis=0), axis_name)
  scale = params["scale"] / jnp.sqrt(variance + 1e-5)
  hidden = jnp.tanh(centred * scale[None, :] + params["shift"][None, :])
  return hidden @ params["primary"], hidden @ params["auxiliary"]


def soft_labels(meta, batch):
  mask = losses.class_mask(batch["y"], PSI)
  return losses.masked_softmax(batch["x"] @ meta["w"], mask)


def primary_loss(params, batch, axis_name=None):
  logits, _ = network(params, batch["x"], axis_name)
  return jnp.mean(losses.focal_loss(logits, batch["y"]))


def make_losses(axis_name=None, entropy_weight=ENTROPY_WEIGHT):
  def inner(params, meta, batch):
    primary, auxiliary = network(params, batch["x"], axis_name)
    loss = losses.focal_loss(primary, batch["y"])
    return jnp.mean(
      loss + losses.focal_loss(auxiliary, soft_labels(meta, batch))
    )

  def outer(params, meta, batch):
    label = mean(jnp.mean(soft_labels(meta, batch), axis=0), axis_name)
    entropy = losses.negative_entropy(label)
    return primary_loss(params, batch, axis_name) + entropy_weight * entropy

  return inner, outer


def differences(value, meta, step=1e-5):
  """Central differences of a scalar function of a tree, entry by entry."""
  flat, unravel = jax.flatten_util.ravel_pytree(meta)
  steps = step * np.eye(len(flat))
  slopes = [value(unravel(flat + d)) - value(unravel(flat - d)) for d in steps]
  return unravel(jnp.stack(slopes) / (2 * step))


def relative_error(got, want):
  got, want = (jax.flatten_util.ravel_pytree(t)[0] for t in (got, want))
  return float(jnp.linalg.norm(got - want) / jnp.linalg.norm(want))


# The batch-norm network: differences, a second estimator, the closed form.


@pytest.mark.parametrize(
  "settings",
  [
    # One step is held to its closed form below; Adam has a momentum too.
    pytest.param({"inner_lr": 0.5}, marks=pytest.mark.long),
    {"inner_lr": 0.5, "num_steps": 3},
    pytest.param(
      {"inner_optimizer": optax.sgd(0.2, momentum=0.9), "num_steps": 3},
      marks=pytest.mark.long,
    ),
    {"inner_optimizer": optax.adam(0.05, eps_root=1e-8), "num_steps": 3},
  ],
)
def test_exact_and_remat_equal_differences(settings, x64):
  # An unused parameter: its inner gradient is exactly 0, Adam's trap.
  params = make_params() | {"unused": jnp.zeros(2)}
  meta = make_meta()
  inner_batches = make_batches(settings.get("num_steps", 1))
  outer_batch = first(make_batches(1, seed=3))
  exact = hypergradient(*make_losses(), **settings)
  remat = hypergradient(*make_losses(), **settings, estimator="remat")
  exact, remat = jax.jit(exact), jax.jit(remat)
  value, grads = exact(params, meta, inner_batches, outer_batch)
  again, grads_again = remat(params, meta, inner_batches, outer_batch)
  np.testing.assert_allclose(again, value, rtol=1e-13)
  assert relative_error(grads_again, grads) < 1e-12
  want = differences(
    lambda meta: exact(params, meta, inner_batches, outer_batch)[0], meta
  )
  assert relative_error(grads, want) < 1e-7


def closed_form(params, meta, batch, inner_lr):
  """One JVP of the focal table along the outer gradient, one pullback."""
  batch_size = len(batch["y"])
  inner, _ = make_losses()
  labels, pullback = jax.vjp(lambda meta: soft_labels(meta, batch), meta)
  adapted = jax.tree.map(
    lambda p, g: p - inner_lr * g, params, jax.grad(inner)(params, meta, batch)
  )
  direction = jax.grad(primary_loss)(adapted, batch)
  _, slope = jax.jvp(
    lambda p: losses.focal_table(network(p, batch["x"])[1]),
    (params,),
    (direction,),
  )
  entropy_slope = 1 + jnp.log(jnp.mean(labels, axis=0))
  cotangent = ENTROPY_WEIGHT * entropy_slope[None, :] - inner_lr * slope
  return pullback(cotangent / batch_size)[0]


@pytest.mark.parametrize("estimator", ["exact", "remat", "neumann"])
def test_one_step_equals_the_closed_form(estimator, x64):
  f = hypergradient(
    *make_losses(), inner_lr=0.5, estimator=estimator, neumann_terms=1
  )
  estimate, closed = jax.jit(f), jax.jit(closed_form)
  for seed in (0, 10, 20):
    params, meta = make_params(seed), make_meta(seed + 1)
    batches = make_batches(1, seed=seed + 2)
    _, grads = estimate(params, meta, batches, first(batches))
    want = closed(params, meta, first(batches), 0.5)
    assert relative_error(grads, want) < 1e-12


def test_error_of_finite_difference_is_quadratic_in_its_radius(x64):
  problem = make_losses(entropy_weight=0.0)
  batches, outer_batch = make_batches(1), first(make_batches(1, seed=3))
  arguments = make_params(), make_meta(), batches, outer_batch

  @jax.jit
  def difference(radius):
    f = hypergradient(
      *problem,
      inner_lr=0.5,
      estimator="finite_difference",
      difference_radius=radius,
    )
    return f(*arguments)[1]

  _, want = jax.jit(hypergradient(*problem, inner_lr=0.5))(*arguments)
  errors = [relative_error(difference(r), want) for r in (0.1, 0.01, 0.001)]
  assert errors[0] < 0.1
  np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 100, rtol=0.1)


def test_neumann_equals_its_formula_with_dense_matrices(x64):
  num_steps, terms, inner_lr = 2, 3, 0.1
  inner, outer = make_losses()
  meta, batches = make_meta(), make_batches(num_steps)
  outer_batch = first(make_batches(1, seed=3))
  theta, unravel = jax.flatten_util.ravel_pytree(make_params())
  slope = jax.jit(jax.grad(lambda t, batch: inner(unravel(t), meta, batch)))
  for i in range(num_steps):
    batch = jax.tree.map(lambda x, i=i: x[i], batches)
    point, theta = theta, theta - inner_lr * slope(theta, batch)
  v, direct = jax.jit(jax.grad(outer, (0, 1)))(
    unravel(theta), meta, outer_batch
  )
  v = jax.flatten_util.ravel_pytree(v)[0]
  hessian = np.asarray(jax.jit(jax.jacobian(slope))(point, batch))
  step = np.eye(len(v)) - inner_lr * hessian
  series = sum(np.linalg.matrix_power(step, j) for j in range(terms)) @ v
  mixed = jax.jit(
    jax.jacobian(lambda w: jax.grad(inner)(unravel(point), {"w": w}, batch))
  )(meta["w"])
  mixed = np.concatenate(
    [np.reshape(mixed[name], (-1, meta["w"].size)) for name in sorted(mixed)]
  )
  want = direct["w"] - inner_lr * (series @ mixed).reshape(meta["w"].shape)
  f = hypergradient(
    inner,
    outer,
    inner_lr=inner_lr,
    num_steps=num_steps,
    estimator="neumann",
    neumann_terms=terms,
  )
  _, grads = jax.jit(f)(make_params(), meta, batches, outer_batch)
  assert relative_error(grads["w"], want) < 1e-12


def split(batches):
  """[n, B, ...] -> [devices, n, B / devices, ...]."""
  return jax.tree.map(lambda x: jnp.stack(jnp.split(x, 4, axis=1)), batches)


def on_pmap(f):
  """All of `f` on four devices, from and to whole arrays."""
  run = jax.pmap(f, axis_name="devices", in_axes=(None, None, 0, 0))

  def whole(params, meta, inner_batches, outer_batch):
    outer_batches = jax.tree.map(lambda x: x[None], outer_batch)
    outer_shards = jax.tree.map(lambda x: x[:, 0], split(outer_batches))
    result = run(params, meta, split(inner_batches), outer_shards)
    jax.tree.map(lambda x: np.testing.assert_array_equal(x[1:], x[:-1]), result)
    return first(result)

  return whole


def on_shard_map(f):
  """The same where the axis tracks which values are replicated."""
  return jax.jit(
    jax.shard_map(
      f,
      mesh=Mesh(np.array(jax.devices()[:4]), ("devices",)),
      in_specs=(P(), P(), P(None, "devices"), P("devices")),
      out_specs=(P(), P()),
    )
  )


# All where the axis tracks which values are replicated, which is stricter.
@pytest.mark.parametrize(
  ("runner", "estimator"),
  [
    *((on_shard_map, estimator) for estimator in ESTIMATORS),
    (on_pmap, "exact"),
    *(
      pytest.param(on_pmap, estimator, marks=pytest.mark.long)
      for estimator in ESTIMATORS
      if estimator != "exact"
    ),
  ],
)
def test_four_devices_equal_one(runner, estimator, x64):
  steps = 1 if estimator == "finite_difference" else 2
  settings = {"estimator": estimator, "num_steps": steps, "inner_lr": 0.1}
  arguments = (
    make_params(),
    make_meta(),
    make_batches(steps, batch_size=16),
    first(make_batches(1, batch_size=16, seed=3)),
  )
  one = hypergradient(*make_losses(), **settings)
  four = hypergradient(*make_losses("devices"), **settings, axis_name="devices")
  value, grads = jax.jit(one)(*arguments)
  got, got_grads = runner(four)(*arguments)
  np.testing.assert_allclose(got, value, rtol=1e-12)
  assert relative_error(got_grads, grads) < 1e-10
