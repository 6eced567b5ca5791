"""MAXL: auxiliary labels that a second network learns to make.

Liu, Davison & Johns 2019, "Self-Supervised Generalisation with Meta Auxiliary
Learning". Two networks share nothing: the evaluator (`params`, theta1) has a
primary and an auxiliary head, the label generator (`meta_params`, theta2) says
what the auxiliary head should predict. Every step

  (a) trains the evaluator on both heads, with the generator's labels;
  (b) trains the generator so that one such step, taken virtually, lowers the
      primary loss: its gradient passes through the step.

The paper and its official code differ in many details; `config.set_variant`
lists them. Here each is one key.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metaaux import hypergrad, models, parallel
from metaaux.errors import UserError
from metaaux.methods import optim, steps
from metaaux.methods.maxl import diagnostics, label_gradient
from metaaux.methods.maxl.losses import (
  Maxl,
  MaxlState,
  entropy_loss,
  generate,
  initial_generator,
  label_generator,
  primary_loss,
  through_labels,
  train_loss,
)
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import ModelOptions
from metaaux.stage import (
  Array,
  Batch,
  Batches,
  Key,
  Metrics,
  Spec,
  Stage,
  State,
  StreamSpec,
)

Tree = Any

# Decay of the running mean label (entropy_mean="running").
_MEAN_DECAY = 0.98


def train_step(
  maxl: Maxl, state: MaxlState, batches: Batches, key: Key, step: Array
) -> tuple[MaxlState, Metrics]:
  """(a) theta1 <- theta1 - alpha grad L_train, the labels held fixed."""
  del key
  batch = batches["train"]
  labels_BxK = generate(maxl, state, state.meta_params, batch)
  params, stats, optimizer, metrics = steps.descend(
    lambda p, s: train_loss(maxl, p, s, batch, labels_BxK),
    maxl.optimizer,
    state.params,
    state.stats,
    state.optimizer,
    step,
    maxl.axis_name,
  )
  state = state._replace(params=params, stats=stats, optimizer=optimizer)
  return state, metrics


def meta_step(
  maxl: Maxl, state: MaxlState, batches: Batches, key: Key, step: Array
) -> tuple[MaxlState, Metrics]:
  """(b) theta2 <- theta2 - beta (grad L_meta + decay); theta1 stays."""
  del key
  options = maxl.config.maxl
  inner, outer = batches[options.inner_batch], batches["meta"]
  value, grads = hypergradient(maxl, state, inner, outer, step)
  meta_params, meta_optimizer = maxl.meta_optimizer.update(
    grads, state.meta_optimizer, state.meta_params, step
  )
  new = state._replace(meta_params=meta_params, meta_optimizer=meta_optimizer)
  if options.entropy_mean == "running":
    labels_BxK = generate(maxl, state, state.meta_params, outer)
    mean_K = parallel.pmean(labels_BxK.mean(0), maxl.axis_name)
    running_K = _MEAN_DECAY * state.mean_label_K + (1 - _MEAN_DECAY) * mean_K
    new = new._replace(mean_label_K=running_K)
  if options.meta_updates_statistics:
    _, stats = maxl.evaluator.apply(
      state.params, state.stats, inner["image"], train=True
    )
    new = new._replace(stats=parallel.pmean(stats, maxl.axis_name))
  norm = optax.tree.norm(grads)
  return new, {"meta_loss": value, "hypergradient_norm": norm}


def both_steps(
  maxl: Maxl, state: MaxlState, batches: Batches, key: Key, step: Array
) -> tuple[MaxlState, Metrics]:
  """(a), then (b), as the paper alternates them."""
  state, metrics = train_step(maxl, state, batches, key, step)
  state, meta_metrics = meta_step(maxl, state, batches, key, step)
  return state, {**metrics, **meta_metrics}


def inner_rate(maxl: Maxl, step: Array) -> Array | float:
  """alpha of the virtual step: theta1's current rate unless it is set."""
  return maxl.config.inner.learning_rate or maxl.optimizer.learning_rate(step)


def hypergradient(
  maxl: Maxl, state: MaxlState, inner: Batch, outer: Batch, step: Array
) -> tuple[Array, Tree]:
  """L_meta (eq. 3 and 4) and its gradient in theta2, through the inner step.

  Args:
    maxl: the fixed parts.
    state: theta1, theta2 and their statistics; nothing is changed.
    inner: batch of the virtual step.
    outer: batch of the primary loss after it, and of the entropy term.
    step: int32 scalar.

  Returns:
    L_meta in nats and a tree like `meta_params`, averaged over devices.
  """

  def labels_of(meta_params: Tree) -> tuple[Array, Array]:
    labels_BxK = generate(maxl, state, meta_params, inner)
    if inner is outer:
      return labels_BxK, labels_BxK
    return labels_BxK, generate(maxl, state, meta_params, outer)

  def inner_loss(params: Tree, labels: tuple[Array, Array], b: Batch) -> Array:
    return train_loss(maxl, params, state.stats, b, labels[0])[0]

  def outer_loss(params: Tree, labels: tuple[Array, Array], b: Batch) -> Array:
    value = primary_loss(maxl, params, state.stats, b)
    if not maxl.entropy_weight:
      return value
    return value + entropy_loss(maxl, labels[1], state.mean_label_K)

  if maxl.config.maxl.centre_hypergradient:
    return label_gradient.hypergradient(
      through_labels(maxl, state, inner),
      lambda p, m: outer_loss(p, labels_of(m), outer),
      inner_lr=inner_rate(maxl, step),
      axis_name=maxl.axis_name,
      reshape=partial(
        label_gradient.centre,
        primary_B=inner["primary"],
        psi=maxl.psi,
        axis_name=maxl.axis_name,
      ),
    )(state.params, state.meta_params)
  num_steps = maxl.config.inner.num_steps
  estimate = hypergrad.hypergradient(
    inner_loss,
    outer_loss,
    inner_lr=inner_rate(maxl, step),
    num_steps=num_steps,
    estimator=maxl.config.inner.estimator,
    axis_name=maxl.axis_name,
    prepare=labels_of,
  )
  repeated = jax.tree.map(
    lambda x: jnp.broadcast_to(x[None], (num_steps, *x.shape)), inner
  )
  return estimate(state.params, state.meta_params, repeated, outer)


def hypergradient_norms(
  maxl: Maxl, state: MaxlState, inner: Batch, outer: Batch, step: Array
) -> Metrics:
  """Norms of the hypergradient and of its two parts, which may cancel.

  The entropy term depends on theta2 directly; the part of the primary loss is
  what goes through the virtual step. Arguments as of `hypergradient`.

  Returns:
    `hypergradient_norm`, `hypergradient_primary_norm` and
    `hypergradient_entropy_norm`.
  """

  def entropy(meta_params: Tree) -> Array:
    labels_BxK = generate(maxl, state, meta_params, outer)
    return entropy_loss(maxl, labels_BxK, state.mean_label_K)

  _, total = hypergradient(maxl, state, inner, outer, step)
  direct = jax.grad(entropy)(state.meta_params)
  direct = parallel.pmean(direct, maxl.axis_name)
  return {
    "hypergradient_norm": optax.tree.norm(total),
    "hypergradient_primary_norm": optax.tree.norm(
      optax.tree.sub(total, direct)
    ),
    "hypergradient_entropy_norm": optax.tree.norm(direct),
  }


def init_state(
  maxl: Maxl, key: Key, batch: Batch, previous: State | None
) -> MaxlState:
  """Evaluator by Glorot uniform, generator by Glorot normal initialisation."""
  del previous
  # The evaluator starts where the baselines' network starts with this seed.
  params, stats = maxl.evaluator.init(key, batch["image"])
  meta_params, meta_stats = initial_generator(
    maxl.generator, key, batch["image"]
  )
  num_labels = sum(maxl.psi)
  return MaxlState(
    params=params,
    stats=stats,
    optimizer=maxl.optimizer.init(params),
    meta_params=meta_params,
    meta_stats=meta_stats,
    meta_optimizer=maxl.meta_optimizer.init(meta_params),
    # A copy: a donated state may not hold one buffer twice.
    meta_initial=jax.tree.map(jnp.copy, meta_params),
    mean_label_K=jnp.full((num_labels,), 1 / num_labels),
  )


def probe(
  maxl: Maxl, state: MaxlState, batches: Batches, step: Array
) -> Metrics:
  """What is worth knowing of a state but too dear for every step."""
  batch = batches["meta"]
  labels_BxK = generate(maxl, state, state.meta_params, batch)
  metrics = diagnostics.virtual_step(
    lambda p: train_loss(maxl, p, state.stats, batch, labels_BxK)[1][1],
    state.params,
    inner_lr=inner_rate(maxl, step),
    weight=maxl.config.auxiliary_weight,
    axis_name=maxl.axis_name,
  )
  inner = batches[maxl.config.maxl.inner_batch]
  norms = hypergradient_norms(maxl, state, inner, batch, step)
  moved = diagnostics.relative_distance(state.meta_params, state.meta_initial)
  return {**metrics, **norms, "generator_moved": moved}


def assemble(
  config: Any, spec: Spec, *, entropy: bool = True, axis_name: str | None = None
) -> Maxl:
  """Networks and optimisers of a config; arguments as of `make`."""
  _check(config)
  sync_axis = axis_name if config.sync_batch_norm else None
  heads = {"primary": spec.num_primary, "auxiliary": spec.num_auxiliary}
  return Maxl(
    config=config,
    psi=spec.psi,
    entropy_weight=config.maxl.entropy_weight if entropy else 0.0,
    evaluator=models.make(
      ModelOptions.of(config.model), heads, axis_name=sync_axis
    ),
    generator=label_generator(config, spec, sync_axis),
    optimizer=optim.make(
      OptimizerOptions.of(config.optimizer), config.num_steps
    ),
    meta_optimizer=optim.make(
      OptimizerOptions.of(config.generator.optimizer), config.num_steps
    ),
    axis_name=axis_name,
  )


def make(
  config: Any, spec: Spec, *, entropy: bool = True, axis_name: str | None = None
) -> tuple[Stage, ...]:
  """The one stage of MAXL.

  Args:
    config: `model`, `optimizer`, `generator.optimizer`, `inner`, `maxl`,
      `gamma`, `auxiliary_weight`, `num_steps`, `sync_batch_norm`.
    spec: the problem; `psi` is the number of generated classes of each primary
      class.
    entropy: False leaves the entropy term out, the paper's ablation.
    axis_name: devices to average over, None on one device.

  Raises:
    UserError: options that exclude each other.
  """
  maxl = assemble(config, spec, entropy=entropy, axis_name=axis_name)
  every = config.maxl.alternate_every
  updates = {"both": both_steps}
  if every:
    updates = {"train": train_step, "meta": meta_step}

  def phase(step: int) -> str:
    if not every:
      return "both"
    return "meta" if step // every % 2 else "train"

  stage = Stage(
    name="train",
    num_steps=config.num_steps,
    streams={
      "train": StreamSpec(split="train", augment=True),
      "meta": StreamSpec(split="meta", augment=True),
    },
    init=partial(init_state, maxl),
    updates={name: partial(fn, maxl) for name, fn in updates.items()},
    predict=steps.predictor(maxl.evaluator),
    phase=phase,
    targets=lambda s, batch: generate(maxl, s, s.meta_params, batch),
    probe=partial(probe, maxl),
    alarms=diagnostics.alarms,
  )
  return (stage,)


def _check(config: Any) -> None:
  """Refuses options without an effect, or whose combination has no meaning."""
  models.refuse_dropout(config, "dropout", "block_dropout")
  estimator, num_steps = config.inner.estimator, config.inner.num_steps
  try:
    hypergrad.check_estimator(estimator, 1.0, num_steps, neumann_terms=1)
  except ValueError as error:
    raise UserError(f"config.inner: {error}") from None
  if config.maxl.centre_hypergradient and (estimator, num_steps) != (
    "exact",
    1,
  ):
    raise UserError(
      "maxl.centre_hypergradient=True needs inner.num_steps=1 and "
      f"inner.estimator='exact', not {num_steps} and {estimator!r}"
    )
