"""Problems whose gradients are known, and ways of running a weighting."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from metaaux.methods.reweighting import WEIGHTINGS, Tasks

# What a constructor cannot do without.
REQUIRED = {
  "auto_lambda": {"inner_lr": 0.1},
  "dwa": {"updates_per_epoch": 1},
}


def make(name, *args, **options):
  return WEIGHTINGS[name](*args, **{**REQUIRED.get(name, {}), **options})


def basis(*scales_and_axes, size=4):
  """Columns scale * e_axis: pairs, or an axis for scale 1."""
  columns = []
  for entry in scales_and_axes:
    scale, axis = entry if isinstance(entry, tuple) else (1.0, entry)
    columns.append(scale * np.eye(size)[axis])
  return np.stack(columns, axis=1)


def linear(primary_P, columns_PxK, primary=3.0, losses=None):
  """Linear losses with these gradients, over parameters of two leaves.

  Args:
    primary_P: g_m.
    columns_PxK: G.
    primary: L_m at the parameters, which are zero.
    losses: [K], L_k there; None: 1, 2, 3, ...
  """
  num_tasks = columns_PxK.shape[1]
  losses = jnp.arange(1.0, num_tasks + 1) if losses is None else losses
  flat = jnp.zeros(len(primary_P))
  params = {"w": flat[1:].reshape(1, -1), "b": flat[:1]}

  def ravel(params):
    return jnp.concatenate([params["b"], params["w"][0]])

  return Tasks(
    params,
    lambda params: primary + jnp.sum(ravel(params) * primary_P),
    lambda params: jnp.asarray(losses) + ravel(params) @ columns_PxK,
  )


def random_linear(num_tasks=4, size=12, seed=0, **options):
  rng = np.random.default_rng(seed)
  columns = rng.normal(size=(size, num_tasks))
  return linear(rng.normal(size=size), columns, **options)


def network_params(seed=0, num_tasks=3):
  rng = np.random.default_rng(seed)
  return {
    "hidden": jnp.asarray(rng.normal(size=(3, 5))),
    "shift": jnp.asarray(rng.normal(size=5)),
    "out": {"w": jnp.asarray(rng.normal(size=(5, num_tasks + 1)))},
  }


def network_batch(seed=1, num_tasks=3, size=16):
  rng = np.random.default_rng(seed)
  return {
    "x": jnp.asarray(rng.normal(size=(size, 3))),
    "y": jnp.asarray(rng.normal(size=(size, num_tasks + 1))),
  }


def network(params, batch, axis_name=None, **options):
  """Regression on K + 1 targets with a hidden layer; all is shared."""

  def losses(params):
    hidden = jnp.tanh(batch["x"] @ params["hidden"] + params["shift"][None])
    error = hidden @ params["out"]["w"] - batch["y"]
    return jnp.mean(error**2, axis=0)

  return Tasks(
    params,
    lambda params: losses(params)[0],
    lambda params: losses(params)[1:],
    axis_name=axis_name,
    **options,
  )


def dense_gradients(tasks):
  """g_m [P] and G [P, K], by one Jacobian."""
  flat, unravel = ravel_pytree(tasks.params)

  @jax.jit
  def rows(flat):
    return (
      jax.grad(lambda x: tasks.primary_loss(unravel(x)))(flat),
      jax.jacrev(lambda x: tasks.auxiliary_losses(unravel(x)))(flat),
    )

  primary, auxiliary = rows(flat)
  return np.asarray(primary), np.asarray(auxiliary).T


@functools.cache
def network_gradients(num_tasks=3):
  """As `dense_gradients`, of `network` as it starts, in float64."""
  with jax.enable_x64(True):
    params = network_params(num_tasks=num_tasks)
    return dense_gradients(network(params, network_batch(num_tasks=num_tasks)))


def run(weighting, tasks, num_updates, state=None, seed=0):
  """Weights after each update [n, K], the last state, metrics [n]."""
  if state is None:
    losses = jax.eval_shape(lambda: tasks.auxiliary_losses(tasks.params))
    state = weighting.init(len(losses))
  keys = jax.random.split(jax.random.key(seed), num_updates)
  loop = jax.jit(lambda *x: jax.lax.scan(step_of(weighting, tasks), *x))
  state, (weights, metrics) = loop(state, keys)
  return np.asarray(weights), state, metrics


def step_of(weighting, tasks):
  def step(state, key):
    weight_K, state, metrics = weighting.update(state, tasks, key)
    return state, (weight_K, metrics)

  return step


@functools.lru_cache
def on_linear(weighting, num_updates):
  """(g_m, G) -> weights [n, K], metrics; compiled once for a shape."""

  def loop(primary_P, columns_PxK):
    tasks = linear(primary_P, columns_PxK)
    state = weighting.init(columns_PxK.shape[1])
    keys = jax.random.split(jax.random.key(0), num_updates)
    return jax.lax.scan(step_of(weighting, tasks), state, keys)[1]

  return jax.jit(loop)


def update_on(weighting, primary_P, columns_PxK):
  """As `update` of `linear`, and compiled as seldom as `on_linear`."""
  weights, metrics = on_linear(weighting, 1)(primary_P, columns_PxK)
  return np.asarray(weights[0]), {k: float(x[0]) for k, x in metrics.items()}


def update(weighting, tasks, state=None, seed=0):
  """Weights [K] after one update, and the metrics."""
  weights, _, metrics = run(weighting, tasks, 1, state, seed)
  return weights[0], {name: float(x[0]) for name, x in metrics.items()}


def on_pmap(function, batch):
  """function(batch) with the batch split over four devices."""
  parts = jax.tree.map(lambda x: x.reshape(4, -1, *x.shape[1:]), batch)
  result = jax.pmap(function, axis_name="devices")(parts)
  jax.tree.map(lambda x: np.testing.assert_array_equal(x[1:], x[:-1]), result)
  return jax.tree.map(lambda x: x[0], result)


def on_shard_map(function, batch):
  """The same where the axis tracks which values are replicated."""
  mesh = Mesh(np.array(jax.devices()[:4]), ("devices",))
  return jax.jit(
    jax.shard_map(function, mesh=mesh, in_specs=P("devices"), out_specs=P())
  )(batch)
