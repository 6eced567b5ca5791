"""Our side of `benchmarks.step`: one process that runs a step when asked."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import Run, serve
from metaaux import hypergrad, losses, models

Array = jax.Array

BATCH = 32
PSI = (5,) * 20
STEP_SIZE = 0.01
ENTROPY_WEIGHT = 0.2


def _network(name: str, heads: dict[str, int]) -> models.Network:
  return models.make(
    models.ModelOptions(name, kernels=(5, 4), padding="VALID"), heads
  )


def _batch(side: int, channels: int, classes: int) -> dict[str, Array]:
  draw = np.random.default_rng(0).normal(size=(BATCH, side, side, channels))
  return {
    "image": jnp.asarray(draw, jnp.float32),
    "primary": jnp.arange(BATCH) % classes,
  }


def _vgg() -> tuple[models.Network, Any, Any, dict[str, Array]]:
  network = _network("vgg16", {"primary": len(PSI), "auxiliary": sum(PSI)})
  batch = _batch(32, 3, len(PSI))
  return network, *network.init(jax.random.key(0), batch["image"]), batch


def _joint_loss(logits: dict[str, Array], primary: Array, soft: Array) -> Array:
  return jnp.mean(
    losses.focal_loss(logits["primary"], primary)
    + losses.focal_loss(logits["auxiliary"], soft)
  )


def _descend(params: Any, gradient: Any) -> Any:
  return jax.tree.map(lambda p, g: p - STEP_SIZE * g, params, gradient)


def forward() -> Run:
  """Logits of a batch and updated running statistics, no gradient."""
  network, params, stats, batch = _vgg()
  step = jax.jit(lambda p, s, x: network.apply(p, s, x, train=True))
  return lambda: jax.block_until_ready(step(params, stats, batch["image"]))


def train() -> Run:
  """One SGD step of both tasks on given soft labels."""
  network, params, stats, batch = _vgg()
  soft = jax.nn.softmax(_batch(1, sum(PSI), 1)["image"][:, 0, 0])

  def loss(params: Any, stats: Any, batch: Any, soft: Array) -> Any:
    logits, stats = network.apply(params, stats, batch["image"], train=True)
    return _joint_loss(logits, batch["primary"], soft), stats

  def step(params: Any, stats: Any, *given: Any) -> tuple[Any, Any]:
    gradient, stats = jax.grad(loss, has_aux=True)(params, stats, *given)
    return _descend(params, gradient), stats

  return _repeat(step, (params, stats), batch, soft)


def meta() -> Run:
  """One step of MAXL's label generator, through a virtual SGD step."""
  network, params, stats, batch = _vgg()
  generator = _network("vgg16", {"labels": sum(PSI)})
  meta_params, meta_stats = generator.init(jax.random.key(1), batch["image"])
  allowed = losses.class_mask(batch["primary"], PSI)

  def labels(meta_params: Any, image: Array) -> Array:
    logits, _ = generator.apply(meta_params, meta_stats, image, train=True)
    return losses.masked_softmax(logits["labels"], allowed)

  def inner_loss(params: Any, soft: Array, batch: Any) -> Array:
    logits, _ = network.apply(params, stats, batch["image"], train=True)
    return _joint_loss(logits, batch["primary"], soft)

  def outer_loss(params: Any, soft: Array, batch: Any) -> Array:
    logits, _ = network.apply(params, stats, batch["image"], train=True)
    primary = losses.focal_loss(logits["primary"], batch["primary"]).mean()
    return primary - ENTROPY_WEIGHT * losses.marginal_entropy(soft)

  def step(meta_params: Any, params: Any, batch: Any) -> tuple[Any]:
    estimate = hypergrad.hypergradient(
      inner_loss,
      outer_loss,
      inner_lr=STEP_SIZE,
      estimator="exact",
      prepare=lambda m: labels(m, batch["image"]),
    )
    inner = jax.tree.map(lambda x: x[None], batch)
    _, gradient = estimate(params, meta_params, inner, batch)
    return (_descend(meta_params, gradient),)

  return _repeat(step, (meta_params,), params, batch)


def convnet() -> Run:
  """One SGD step of the small network on 28x28 images, cross-entropy."""
  network, batch = _network("convnet", {"primary": 10}), _batch(28, 1, 10)
  params, _ = network.init(jax.random.key(0), batch["image"])

  def loss(params: Any, batch: Any) -> Array:
    logits, _ = network.apply(params, {}, batch["image"], train=True)
    return losses.softmax_cross_entropy(
      logits["primary"], batch["primary"]
    ).mean()

  def step(params: Any, batch: Any) -> tuple[Any]:
    return (_descend(params, jax.grad(loss)(params, batch)),)

  return _repeat(step, (params,), batch)


def _repeat(step: Any, state: tuple[Any, ...], *constants: Any) -> Run:
  """Runs a step from the state that it last returned, which is donated."""
  step = jax.jit(step, donate_argnums=tuple(range(len(state))))

  def run() -> None:
    nonlocal state
    state = jax.block_until_ready(step(*state, *constants))

  return run


CONTESTANTS = {
  "forward": forward,
  "train": train,
  "meta": meta,
  "convnet": convnet,
}


if __name__ == "__main__":
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  serve(CONTESTANTS)
