"""Every hypergradient estimator against closed forms; options and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from metaaux import losses
from metaaux.hypergrad import ESTIMATORS, hypergradient, inner_update

# Known answers on problems with a closed form.


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_scalar_toy(estimator, x64):
  f = hypergradient(
    lambda theta, phi, _: 0.5 * theta**2 + 0.5 * (theta - phi) ** 2,
    lambda theta, phi, _: 0.5 * theta**2,
    inner_lr=0.1,
    estimator=estimator,
    neumann_terms=1,
  )
  value, grad = jax.jit(f)(jnp.array(1.0), jnp.array(3.0), None, None)
  np.testing.assert_allclose(value, 0.5 * 1.1**2, rtol=1e-12)
  np.testing.assert_allclose(grad, 0.11, rtol=1e-10)


def quadratic(**kwargs):
  a, c = 2.0, 0.5
  return hypergradient(
    lambda theta, phi, _: 0.5 * a * theta**2 + 0.5 * c * (theta - phi) ** 2,
    lambda theta, phi, _: 0.5 * theta**2,
    inner_lr=0.1,
    **kwargs,
  )


@pytest.mark.parametrize("estimator", ["exact", "remat", "neumann"])
@pytest.mark.parametrize(
  ("num_steps", "theta", "grad"),
  [
    (1, 0.9, 0.045),
    (4, 0.7265625, 0.7265625 * 0.13671875),
    (10, 0.6225254, 0.1174938),
  ],
)
def test_several_steps_of_a_quadratic(estimator, num_steps, theta, grad, x64):
  f = quadratic(
    num_steps=num_steps, estimator=estimator, neumann_terms=num_steps
  )
  value, got = jax.jit(f)(jnp.array(1.0), jnp.array(3.0), None, None)
  np.testing.assert_allclose(value, 0.5 * theta**2, rtol=2e-7)
  np.testing.assert_allclose(got, grad, rtol=4e-7)
  closed = 0.2 * (1 - 0.75**num_steps)
  np.testing.assert_allclose(got, jnp.sqrt(2 * value) * closed, rtol=1e-12)


def test_neumann_series_tends_to_the_implicit_gradient(x64):
  f = quadratic(estimator="neumann", neumann_terms=150)
  _, grad = jax.jit(f)(jnp.array(0.6), jnp.array(3.0), None, None)
  np.testing.assert_allclose(grad, 0.12, rtol=1e-12)


MICRO_PARAMS = jnp.array([0.5, 1.0, -1.0])
MICRO_LABELS = jnp.array([[0.1, -0.2, 0.0, 0.0], [0.0, 0.0, 0.3, 0.4]])


def micro_maxl(entropy_weight):
  x, y = jnp.array([1.0, -0.5]), jnp.array([0, 1])
  mask = losses.class_mask(y, (2, 2))

  def primary(t):
    h = t[0] * x
    return jnp.mean(losses.focal_loss(jnp.stack([h, -h], -1), y))

  def inner(t, logits, _):
    h = t[0] * x
    auxiliary = jnp.stack([t[1] * h, -t[1] * h, t[2] * h, -t[2] * h], -1)
    labels = losses.masked_softmax(logits, mask)
    return primary(t) + jnp.mean(losses.focal_loss(auxiliary, labels))

  def outer(t, logits, _):
    label = jnp.mean(losses.masked_softmax(logits, mask), axis=0)
    return primary(t) + entropy_weight * losses.negative_entropy(label)

  return primary, inner, outer


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
  ("weight", "value", "first_row", "second_row"),
  [
    (0.2, -0.2280691, 0.0037785, -0.0042629),
    (0.0, 0.0479525, -0.0035553, -0.0017692),
  ],
)
def test_micro_maxl(estimator, weight, value, first_row, second_row, x64):
  _, inner, outer = micro_maxl(weight)
  f = hypergradient(
    inner,
    outer,
    inner_lr=0.1,
    estimator=estimator,
    neumann_terms=1,
    difference_radius=1e-4,
  )
  labels = MICRO_LABELS.astype(float)
  got, grad = jax.jit(f)(MICRO_PARAMS.astype(float), labels, None, None)
  want = [[first_row, -first_row, 0, 0], [0, 0, second_row, -second_row]]
  np.testing.assert_allclose(got, value, atol=6e-8)
  np.testing.assert_allclose(grad, want, atol=6e-8)
  assert not np.any(np.asarray(grad)[np.asarray(want) == 0])


def test_micro_maxl_inner_step(x64):
  primary, inner, _ = micro_maxl(0.0)
  t, labels = MICRO_PARAMS.astype(float), MICRO_LABELS.astype(float)
  step = inner_update(inner, inner_lr=0.1)
  adapted, of_primary, of_both = jax.jit(
    lambda t: (step(t, labels, None), primary(t), inner(t, labels, None))
  )(t)
  np.testing.assert_allclose(of_primary, 0.0451158, atol=6e-8)
  np.testing.assert_allclose(of_both, 0.9008217, atol=6e-8)
  np.testing.assert_allclose(
    adapted, [0.4773951, 0.9920236, -0.9905965], atol=6e-8
  )


def micro_options(estimator):
  """Settings that every estimator accepts, two steps where it can."""
  steps = 1 if estimator == "finite_difference" else 2
  return {"estimator": estimator, "num_steps": steps, "inner_lr": 0.1}


def test_gradient_at_the_old_point_is_first_order_in_the_learning_rate(x64):
  """The T1 - T2 approximation, with the outer gradient before the step."""
  _, inner, outer = micro_maxl(0.0)
  t, labels = MICRO_PARAMS.astype(float), MICRO_LABELS.astype(float)

  @jax.jit
  def at_old_point(t):
    direction = jax.grad(outer)(t, labels, None)
    return jax.jvp(
      lambda t: jax.grad(inner, 1)(t, labels, None), (t,), (direction,)
    )[1]

  @jax.jit
  def hypergradient_at(inner_lr):
    f = hypergradient(inner, outer, inner_lr=inner_lr)
    return f(t, labels, None, None)[1]

  mixed, errors = at_old_point(t), []
  for inner_lr in (1e-2, 1e-3):
    exact = hypergradient_at(inner_lr)
    error = jnp.linalg.norm(-inner_lr * mixed - exact)
    errors.append(error / jnp.linalg.norm(exact))
  assert errors[0] < 0.1
  np.testing.assert_allclose(errors[0] / errors[1], 10, rtol=0.1)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_zero_learning_rate_gives_zero(estimator):
  _, inner, outer = micro_maxl(0.0)
  f = hypergradient(inner, outer, inner_lr=0.0, estimator=estimator)
  _, grad = jax.jit(f)(MICRO_PARAMS, MICRO_LABELS, None, None)
  np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_one_column_a_class_gives_zero(estimator):
  mask = losses.class_mask(jnp.array([0, 1, 2]), (1, 1, 1))

  def inner(logits, label_logits, _):
    labels = losses.masked_softmax(label_logits, mask)
    return jnp.mean(losses.focal_loss(logits, labels))

  def outer(logits, label_logits, _):
    labels = losses.masked_softmax(label_logits, mask)
    entropy = losses.negative_entropy(jnp.mean(labels, axis=0))
    return jnp.mean(losses.focal_loss(logits, jnp.array([0, 1, 2]))) + entropy

  f = hypergradient(inner, outer, inner_lr=0.5, estimator=estimator)
  rng = np.random.default_rng(0)
  logits, label_logits = jnp.asarray(rng.normal(size=(2, 3, 3)), jnp.float32)
  value, grad = jax.jit(f)(logits, label_logits, None, None)
  assert value != outer(logits, label_logits, None)
  np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_outer_loss_without_params_leaves_the_direct_part(estimator):
  _, inner, _ = micro_maxl(0.0)
  f = hypergradient(
    inner,
    lambda t, labels, _: jnp.sum(labels**2),
    inner_lr=0.1,
    estimator=estimator,
  )
  _, grad = jax.jit(f)(MICRO_PARAMS, MICRO_LABELS, None, None)
  np.testing.assert_array_equal(grad, 2 * MICRO_LABELS)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_under_jit_and_vmap_with_a_traced_learning_rate(estimator):
  _, inner, outer = micro_maxl(0.2)
  settings = micro_options(estimator)

  def run(t, labels, inner_lr):
    f = hypergradient(inner, outer, **settings | {"inner_lr": inner_lr})
    return f(t, labels, None, None)

  t = jnp.stack([MICRO_PARAMS, 2 * MICRO_PARAMS])
  labels = jnp.stack([MICRO_LABELS, -MICRO_LABELS])
  rates = jnp.array([0.1, 0.3])
  values, grads = jax.jit(jax.vmap(run))(t, labels, rates)
  for i in range(2):
    value, grad = jax.jit(run)(t[i], labels[i], rates[i])
    np.testing.assert_allclose(values[i], value, rtol=1e-5)
    np.testing.assert_allclose(grads[i], grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("estimator", ["exact", "finite_difference", "neumann"])
def test_estimates_can_be_differentiated(estimator, x64):
  """Also where the outer gradient is 0: a norm is then not differentiable."""
  f = hypergradient(
    lambda theta, phi, _: jnp.sum((theta - phi) ** 2),
    lambda theta, phi, _: jnp.sum(theta**2),
    inner_lr=0.5,
    estimator=estimator,
    neumann_terms=1,
  )
  phi = jnp.zeros(2)
  jacobian = jax.jacobian(lambda phi: f(jnp.ones(2), phi, None, None)[1])
  slope = jax.jit(jacobian)(phi)
  assert np.all(np.isfinite(slope))


# Containers, errors.


def test_parameters_may_be_an_nnx_state():
  graph, params = nnx.split(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))

  def loss(params, scale, batch):
    logits = nnx.merge(graph, params)(batch["x"]) * scale
    return jnp.mean(losses.softmax_cross_entropy(logits, batch["y"]))

  batch = {"x": jnp.ones((4, 2)), "y": jnp.array([0, 1, 2, 0])}
  batches = jax.tree.map(lambda x: jnp.stack([x, x]), batch)
  scale = jnp.array(1.0)
  f = hypergradient(loss, loss, inner_lr=0.1, num_steps=2)
  value, grad = jax.jit(f)(params, scale, batches, batch)
  assert np.isfinite(grad)
  step = inner_update(loss, inner_lr=0.1, num_steps=2)
  adapted = jax.jit(step)(params, scale, batches)
  assert jax.tree.structure(adapted) == jax.tree.structure(params)
  np.testing.assert_allclose(loss(adapted, scale, batch), value, rtol=1e-6)


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"estimator": "first_order"}, "identically 0.*Meta-MTL"),
    ({"estimator": "exakt"}, "exakt.*known: exact, remat"),
    ({"inner_lr": None}, "exactly one"),
    ({"inner_optimizer": optax.sgd(0.1)}, "exactly one"),
    ({"inner_lr": np.ones(2)}, r"shape \(2,\)"),
    ({"num_steps": 0}, "num_steps=0"),
    ({"estimator": "finite_difference", "num_steps": 2}, "num_steps=2"),
    (
      {
        "estimator": "neumann",
        "inner_lr": None,
        "inner_optimizer": optax.sgd(0.1),
      },
      "plain SGD",
    ),
    ({"estimator": "neumann", "neumann_terms": 0}, "neumann_terms=0"),
  ],
)
def test_wrong_settings_say_what_is_wrong(settings, message):
  _, inner, outer = micro_maxl(0.2)
  with pytest.raises(ValueError, match=message):
    hypergradient(inner, outer, **{"inner_lr": 0.1} | settings)


@pytest.mark.parametrize("estimator", ["exact", "remat", "neumann"])
def test_wrong_number_of_inner_batches(estimator):
  _, inner, outer = micro_maxl(0.2)
  f = hypergradient(inner, outer, **micro_options(estimator))
  batches = {"x": jnp.zeros((3, 8))}
  with pytest.raises(ValueError, match=r"\['x'\] has shape \(3, 8\).*=2"):
    f(MICRO_PARAMS, MICRO_LABELS, batches, None)
