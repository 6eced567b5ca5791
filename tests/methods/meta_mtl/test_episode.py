"""One episode against the closed forms of two toy problems."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux.methods.meta_mtl import episode as episode_lib
from metaaux.methods.meta_mtl import episode_official
from metaaux.methods.meta_mtl.decoders import Params
from metaaux.methods.meta_mtl.episode import Rule, before_outer_step, episode

A, B, RATE = 1.0, -2.0, 0.1


def _take(task_loss, main_loss, params, t, rule):
  """An episode of task t, and F after the outer step by plain SGD."""
  if rule.variant in episode_official.VARIANTS:
    found, code = episode_official.episode(
      task_loss,
      main_loss,
      params,
      jnp.int32(t),
      episode_official.init(params, rule),
      rule,
    )
    start, _ = episode_official.first_outer_step(
      params.shared, found.inner, found.outer, code, rule
    )
  else:
    found = episode(task_loss, main_loss, params, rule)
    start = before_outer_step(params.shared, found.inner, rule)
  return found, start - RATE * found.outer


def _quadratics(theta, variant, num_steps=1):
  """One update of toy A: two parabolas, the auxiliary one always drawn."""
  rule = Rule(variant, RATE, RATE, num_steps)
  params = Params(jnp.asarray(theta), jnp.zeros(()), jnp.zeros((1,)))
  _, theta = _take(
    lambda shared, at: 0.5 * (shared - B) ** 2,
    lambda shared, main: (0.5 * (shared - A) ** 2, ()),
    params,
    1,
    rule,
  )
  return theta


@pytest.mark.parametrize(
  ("variant", "path"),
  [
    ("paper_second_order", (0.108, 0.207252, 0.298465)),
    ("first_order", (0.12, 0.2292, 0.328572)),
    ("code_torch1", (0.24, 0.4368, 0.598176)),
    ("code_torch2", (-0.08, -0.1448, -0.197288)),
    ("alternating", (-0.08, -0.1448, -0.197288)),
  ],
)
def test_quadratics_path(x64, variant, path):
  theta = 0.0
  for want in path:
    theta = _quadratics(theta, variant)
    np.testing.assert_allclose(theta, want, atol=6e-7)


@pytest.mark.parametrize("num_steps", [1, 3])
@pytest.mark.parametrize("variant", episode_lib.VARIANTS)
def test_quadratics_fixed_point(x64, variant, num_steps):
  r = (1 - RATE) ** num_steps
  fixed = B + (A - B) / r
  if variant in ("code_torch2", "alternating"):
    fixed = B + (A - B) / (1 + r)
  np.testing.assert_allclose(
    _quadratics(fixed, variant, num_steps), fixed, atol=1e-12
  )


def _bilinear(variant, drawn, decoder_rate=RATE):
  """Toy B: prediction d w x; the target of the main task is 2, or 4 at t=0."""
  y = {"main": 4.0 if drawn == 0 else 2.0, "auxiliary": -1.0}

  def task_loss(w, at):
    if drawn == 0:
      return 0.5 * (at.main * w - y["main"]) ** 2
    return 0.5 * (at.auxiliary[0] * w - y["auxiliary"]) ** 2

  def main_loss(w, d):
    return 0.5 * (d * w - y["main"]) ** 2, ()

  rule = Rule(variant, RATE, decoder_rate)
  params = Params(*(jnp.asarray(x) for x in (1.0, 1.0, [0.5])))
  found, w = _take(task_loss, main_loss, params, drawn, rule)
  return w, found


@pytest.mark.parametrize(
  ("variant", "want"),
  [
    ("paper_second_order", 1.1048125),
    ("first_order", 1.1075),
    ("code_torch2", 1.0325),
    ("code_torch1", 1.215),
  ],
)
def test_bilinear_auxiliary_drawn(x64, variant, want):
  w, found = _bilinear(variant, 1)
  np.testing.assert_allclose(w, want, rtol=1e-12)
  np.testing.assert_allclose(found.ahead, 0.925, rtol=1e-12)
  np.testing.assert_allclose(found.params.auxiliary, [0.35], rtol=1e-12)
  assert found.params.main == 1.0


@pytest.mark.parametrize(
  ("variant", "want"),
  [("paper_second_order", 1.27027), ("first_order", 1.3003)],
)
def test_bilinear_main_drawn(x64, variant, want):
  w, found = _bilinear(variant, 0)
  np.testing.assert_allclose(w, want, rtol=1e-12)
  np.testing.assert_allclose(found.params.main, 1.3, rtol=1e-12)
  np.testing.assert_allclose(found.ahead, 1.3, rtol=1e-12)


@pytest.mark.parametrize("variant", episode_lib.VARIANTS)
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_decoders_have_a_rate_of_their_own(x64, variant, rate):
  """It moves D_t, and nothing but D_t."""
  _, found = _bilinear(variant, 1, rate)
  # The gradient of D_1 is w (d_1 w - y_1) = 1.5, that of w is 0.75.
  np.testing.assert_allclose(found.params.auxiliary, [0.5 - rate * 1.5])
  np.testing.assert_allclose(found.ahead, 0.925, rtol=1e-12)
  slope = found.ahead * (found.ahead - 2)  # of D_0 in the main loss, at F*
  moved = 1 - rate * slope if variant == "alternating" else 1
  np.testing.assert_allclose(found.params.main, moved, rtol=1e-12)


def _smooth_problem():
  """A small tanh network with two decoders, and a batch for each task."""
  draw = np.random.default_rng(0).normal
  params = Params(
    {"w": draw(size=(5, 4)), "v": draw(size=(4, 3))},
    draw(size=(3, 2)),
    draw(size=(1, 3, 2)),
  )
  x, y, x0, y0 = (draw(size=s) for s in ((7, 5), (7, 2), (6, 5), (6, 2)))

  def predict(shared, decoder, x):
    return jnp.tanh(jnp.tanh(x @ shared["w"]) @ shared["v"]) @ decoder

  def task_loss(shared, at):
    return jnp.mean((predict(shared, at.auxiliary[0], x) - y) ** 2)

  def main_loss(shared, main):
    return jnp.mean((predict(shared, main, x0) - y0) ** 2), ()

  return jax.tree.map(jnp.asarray, params), task_loss, main_loss


@pytest.mark.parametrize("num_steps", [1, 3])
def test_second_order_equals_nested_grad_and_differences(x64, num_steps):
  params, task_loss, main_loss = _smooth_problem()
  alpha = 0.3

  @jax.jit
  def after(shared):
    for _ in range(num_steps):
      gradient = jax.grad(task_loss)(shared, params)
      shared = jax.tree.map(lambda p, g: p - alpha * g, shared, gradient)
    return main_loss(shared, params.main)[0]

  rule = Rule("paper_second_order", alpha, 0.1, num_steps)
  by_episode = jax.jit(lambda p: episode(task_loss, main_loss, p, rule).outer)
  found = by_episode(params)
  want = jax.jit(jax.grad(after))(params.shared)
  for name in want:
    np.testing.assert_allclose(found[name], want[name], rtol=1e-10, atol=1e-14)
  direction = jax.tree.map(jnp.cos, params.shared)
  step = 1e-5

  def moved(sign):
    return after(
      jax.tree.map(lambda p, d: p + sign * step * d, params.shared, direction)
    )

  along = sum(jnp.vdot(found[n], direction[n]) for n in found)
  np.testing.assert_allclose(
    along, (moved(1) - moved(-1)) / (2 * step), rtol=1e-6
  )


def test_second_minus_first_order_is_the_hessian_term(x64):
  params, task_loss, main_loss = _smooth_problem()
  alpha = 0.3
  first, second = (
    jax.jit(
      lambda p, v=variant: episode(task_loss, main_loss, p, Rule(v, alpha, 0.1))
    )(params)
    for variant in ("first_order", "paper_second_order")
  )
  flat, unravel = jax.flatten_util.ravel_pytree(params.shared)
  hessian = jax.jit(jax.hessian(lambda f: task_loss(unravel(f), params)))(flat)
  gradient, _ = jax.flatten_util.ravel_pytree(first.outer)
  added, _ = jax.flatten_util.ravel_pytree(
    jax.tree.map(jnp.subtract, second.outer, first.outer)
  )
  np.testing.assert_allclose(added, -alpha * hessian @ gradient, rtol=1e-10)
