"""Weights over time against the published code of ARML, rewritten in NumPy.

The code halves all losses (the labelled mean is taken over a batch of which
half has no label, and auxiliary losses are multiplied by 0.5), moves weights at
its iterations 20, 40 ..., counted from 1, and takes no step of the network
there. On plain gradient descent at twice the rate its network is ours.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from config_files import load_config

from metaaux import config as config_lib
from metaaux import stage as stage_lib
from metaaux.methods.arml import arml
from metaaux.methods.task_set import Losses, TaskSet
from metaaux.stage import StreamSpec

NUM_STEPS, SIZE = 100, 6
RATE = 2.0**-7  # exact in float32, in which schedules are
MOVED = ("gradnorm", "ol_aux", "arml")  # at each 20th iteration
RULES = ("uniform", "adaloss", "cosine_similarity", *MOVED)


class Toy:
  """Quadratic primary and rotation losses, and a negative cosine."""

  def __init__(self):
    rng = np.random.default_rng(0)
    self.start = rng.normal(size=SIZE)
    self.A = [x @ x.T / SIZE for x in rng.normal(size=(2, SIZE, SIZE))]
    self.centres = rng.normal(size=(2, SIZE))
    self.direction = -self.start + rng.normal(size=SIZE)

  def values(self, theta, np=np):
    quadratics = [
      (theta - c) @ (A @ (theta - c)) / 2 + 1
      for A, c in zip(self.A, self.centres, strict=True)
    ]
    length = np.sqrt((theta @ theta) * (self.direction @ self.direction))
    return [*quadratics, -(theta @ self.direction) / length]

  def gradients(self, theta):
    """[3, P], by hand."""
    pairs = zip(self.A, self.centres, strict=True)
    rows = [A @ (theta - c) for A, c in pairs]
    norm, other = np.linalg.norm(theta), np.linalg.norm(self.direction)
    cosine = theta @ self.direction / norm / other
    rows.append(cosine * theta / norm**2 - self.direction / norm / other)
    return np.stack(rows)

  def tasks(self):
    """The same as pure functions, of a network with one convolution."""

    def losses(params, stats, extra, batches, key):
      del extra, batches, key
      theta = params["Conv_0"]["kernel"].ravel()
      primary, *others = self.values(theta, jnp)
      return Losses(primary, jnp.stack(others), stats, {})

    def init(key, batch):
      del key, batch
      kernel = jnp.asarray(self.start).reshape(1, 1, 2, 3)
      return {"Conv_0": {"kernel": kernel}}, (), ()

    return TaskSet(
      names=("rotation", "exemplar"),
      streams={"train": StreamSpec(split="train", augment=False)},
      init=init,
      losses=losses,
      predict=lambda params, stats, images: images,
      shifts=(0.0, 1.0),
      loss_scale=0.5,
    )


def official_step(rule, alpha, losses, gradients, first):
  """One update of the code's weights, from losses that are halved."""
  main, aux = gradients[0], gradients[1:]
  if rule == "arml":
    alpha = alpha + 0.05 * 2 * aux @ (main - alpha @ aux)
    alpha = alpha + (2 - alpha.sum()) / 2
  elif rule == "ol_aux":
    alpha = alpha + 0.05 * aux @ main
  elif rule == "gradnorm":
    r = losses[1:] / first
    r = r / r.mean()
    norms = np.linalg.norm(aux, axis=1)
    # Of sum_i |a_i n_i - mean(a n) r_i|, the mean differentiated, too.
    sign = np.sign(alpha * norms - np.mean(alpha * norms) * r)
    alpha = alpha - 0.05 * (sign * norms - norms / 2 * (sign @ r))
    alpha = alpha * 2 / alpha.sum()
  return np.maximum(alpha, 0)


def official(rule, toy, *, skip, until):
  """Weights in terms of the primary task's, after each iteration."""
  theta, alpha, first, path = toy.start.copy(), np.ones(2), None, []
  for iteration in range(1, NUM_STEPS + 1):
    due = iteration % 20 == 0
    losses = np.array(toy.values(theta)) / 2
    gradients = toy.gradients(theta) / 2
    main, aux = gradients[0], gradients[1:]
    if rule == "adaloss":
      alpha = 1 / (losses[1:] + np.array([0, 1]) + 1e-6)
    if rule == "cosine_similarity" and due and iteration < until:
      alpha = (aux @ main > 0).astype(float)
    if due and rule in MOVED:
      first = losses[1:] if first is None else first
      alpha = official_step(rule, alpha, losses, gradients, first)
    # Where the network steps, too, which is ours, it does with the new weights.
    if not (due and skip):
      theta = theta - 2 * RATE * (main + alpha @ aux)
    path.append(alpha)
  return np.stack(path), theta


def ours(config, toy, monkeypatch):
  """The same of a run, step by step."""
  monkeypatch.setattr(arml.tasks_lib, "make", lambda *a, **b: toy.tasks())
  spec = stage_lib.Spec((8, 8, 1), (1,) * 10, 100, has_auxiliary=False)
  (stage,) = arml.make(config, spec)
  state = stage.init(jax.random.key(0), {}, None)
  compiled = {name: jax.jit(update) for name, update in stage.updates.items()}
  path = []
  for step in range(NUM_STEPS):
    key = jax.random.key(step)
    update = compiled[stage.phase(step)]
    state, metrics = update(state, {"train": {}}, key, jnp.int32(step))
    path.append([metrics[f"weight_{k}"] for k in ("rotation", "exemplar")])
  return np.array(path), state.params["Conv_0"]["kernel"].ravel()


@pytest.mark.parametrize("rule", RULES)
def test_weights_over_time_are_those_of_the_code(rule, x64, monkeypatch):
  toy = Toy()
  config = load_config("arml_cifar10", f"preset=code,weighting={rule}")
  # Of CosineSim alone; the code's bound is strict, as here at iteration 40.
  until = 0.4 if rule == "cosine_similarity" else 1.0
  config.update_from_flattened_dict(_plain_descent(until))
  config_lib.validate(config)
  wanted, theta = official(rule, toy, skip=True, until=40)
  found, end = ours(config, toy, monkeypatch)
  np.testing.assert_allclose(found, wanted, rtol=1e-9)
  np.testing.assert_allclose(end, theta, rtol=1e-9)
  changes = np.flatnonzero((np.diff(wanted, axis=0) != 0).any(1)) + 1
  if rule in MOVED:
    np.testing.assert_array_equal(changes, [19, 39, 59, 79, 99])


@pytest.mark.parametrize("rule", ["adaloss", "ol_aux", "arml"])
def test_units_and_timetable_hold_without_the_preset(rule, x64, monkeypatch):
  toy = Toy()
  config = load_config("arml_cifar10", f"weighting={rule}")
  config.update_from_flattened_dict(_plain_descent(1.0))
  config.weighting.projection = "shift_clamp"
  wanted, _ = official(rule, toy, skip=False, until=NUM_STEPS)
  found, _ = ours(config, toy, monkeypatch)
  np.testing.assert_allclose(found, wanted, rtol=1e-9)


def _plain_descent(until):
  return {
    "num_steps": NUM_STEPS,
    "optimizer.name": "sgd",
    "optimizer.learning_rate": RATE,
    "optimizer.schedule": "constant",
    "weighting.until": until,
  }
