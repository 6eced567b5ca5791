"""The fast forms of convolution and pooling against the native ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from metaaux.errors import UserError
from metaaux.models import layers

DIMENSIONS = ("NHWC", "HWIO", "NHWC")

# batch, height, width, input channels, output channels, kernel side, padding
CASES = [
  # Winograd.
  (3, 8, 8, 16, 5, 3, "SAME"),
  (2, 4, 4, 17, 3, 3, "SAME"),
  (2, 8, 6, 16, 3, 3, ((1, 1), (1, 1))),
  # Views of the map.
  (2, 1, 1, 16, 3, 3, "SAME"),
  (2, 7, 5, 16, 4, 3, "SAME"),
  (2, 12, 12, 1, 6, 5, "VALID"),
  (2, 6, 7, 16, 3, 4, ((2, 0), (1, 3))),
  (1, 34, 30, 16, 2, 3, "VALID"),
  (2, 9, 7, 16, 5, 4, "SAME"),
  (2, 5, 5, 16, 4, 1, "SAME"),
]
# More shapes that take the same two forms.
MORE = [
  (1, 4, 6, 16, 4, 3, "SAME"),
  (1, 32, 30, 16, 2, 3, "SAME"),
  (3, 2, 2, 16, 5, 3, "SAME"),
  (1, 2, 2, 3, 2, 3, "SAME"),
  (2, 3, 3, 16, 2, 3, "SAME"),
  (2, 8, 8, 3, 4, 3, "SAME"),
  (2, 6, 6, 16, 4, 3, "VALID"),
  (2, 12, 12, 16, 6, 4, "VALID"),
  (1, 24, 22, 16, 2, 3, "VALID"),
  (1, 34, 30, 2, 2, 3, "SAME"),
  (2, 7, 9, 16, 5, 5, "VALID"),
]


def _convolve(lowering, x, kernel, padding, **options):
  strides = options.pop("window_strides", (1, 1))
  return layers.convolution(lowering)(
    x, kernel, strides, padding, dimension_numbers=DIMENSIONS, **options
  )


def _normal(*shapes):
  # NumPy draws at once; JAX would compile a program for every shape.
  generator = np.random.default_rng(7)
  return tuple(jnp.asarray(generator.normal(size=shape)) for shape in shapes)


def _inputs(batch, height, width, channels, out, side):
  x_shape = (batch, height, width, channels)
  kernel_shape = (side, side, channels, out)
  return _normal(x_shape, kernel_shape, x_shape, kernel_shape)


def _derivatives(function, x, kernel, x_tangent, kernel_tangent):
  """Value, gradient, gradient of a gradient, and forward over reverse."""

  def loss(x, kernel):
    # Not linear, so that second derivatives are not zero.
    return jnp.sum(jnp.sin(function(x, kernel)))

  gradient = jax.grad(loss, argnums=(0, 1))

  def along(x, kernel):
    by_x, by_kernel = gradient(x, kernel)
    return jnp.vdot(by_x, x_tangent) + jnp.vdot(by_kernel, kernel_tangent)

  return {
    "value": function(x, kernel),
    "gradient": gradient(x, kernel),
    "reverse over reverse": jax.grad(along, argnums=(0, 1))(x, kernel),
    "forward over reverse": jax.jvp(
      gradient, (x, kernel), (x_tangent, kernel_tangent)
    )[1],
  }


def _assert_close(got, want, tolerance=1e-10):
  for name in want:
    pairs = zip(
      jax.tree.leaves(got[name]), jax.tree.leaves(want[name]), strict=True
    )
    for a, b in pairs:
      np.testing.assert_allclose(
        a, b, rtol=0, atol=tolerance * np.abs(b).max(), err_msg=name
      )


@pytest.mark.parametrize(
  "case",
  [*CASES, *(pytest.param(case, marks=pytest.mark.long) for case in MORE)],
  ids=str,
)
def test_equals_native_up_to_second_derivatives(x64, case):
  *shapes, padding = case
  inputs = _inputs(*shapes)

  @functools.partial(jax.jit, static_argnums=0)
  def derivatives(lowering, *inputs):
    return _derivatives(
      lambda x, kernel: _convolve(lowering, x, kernel, padding), *inputs
    )

  def program(lowering):
    return str(
      jax.make_jaxpr(lambda x, k: _convolve(lowering, x, k, padding))(
        *inputs[:2]
      )
    )

  want = derivatives("native", *inputs)
  for lowering in ("fast", "short"):
    if program(lowering) == program("native"):
      continue  # and so are its derivatives
    got = derivatives(lowering, *inputs)
    assert got["value"].dtype == jnp.float64
    _assert_close(got, want)


@pytest.mark.parametrize(
  "options",
  [
    {"window_strides": (2, 2)},
    {"rhs_dilation": (2, 2)},
    {"lhs_dilation": (2, 2), "padding": ((1, 1), (1, 1))},
  ],
  ids=str,
)
@pytest.mark.parametrize("lowering", ["fast", "short"])
def test_other_options_reach_the_native_form(x64, options, lowering):
  x, kernel, *_ = _inputs(2, 8, 8, 16, 4, 3)
  options = {"padding": "SAME"} | options
  np.testing.assert_array_equal(
    _convolve(lowering, x, kernel, **options),
    _convolve("native", x, kernel, **options),
  )


def test_groups_reach_the_native_form(x64):
  x, *_ = _inputs(2, 8, 8, 16, 4, 3)
  kernel = _inputs(2, 8, 8, 8, 4, 3)[1]
  np.testing.assert_array_equal(
    _convolve("fast", x, kernel, "SAME", feature_group_count=2),
    _convolve("native", x, kernel, "SAME", feature_group_count=2),
  )


@pytest.mark.parametrize("side", [2, 7, 8])
def test_vmap_over_kernels(x64, side):
  x, *_ = _inputs(2, side, side, 16, 4, 3)
  kernels = jnp.stack([_inputs(1, 1, 1, 16, 4, 3)[1] * i for i in (1, 2)])

  def run(lowering):
    return jax.vmap(lambda k: _convolve(lowering, x, k, "SAME"))(kernels)

  np.testing.assert_allclose(run("fast"), run("native"), atol=1e-10)


@pytest.mark.parametrize("side", [2, 4, 8])
def test_float32_rounding(side):
  x, kernel = _normal((4, side, side, 64), (3, 3, 64, 64))
  want = _convolve("native", x, kernel, "SAME")
  got = _convolve("fast", x, kernel, "SAME")
  assert got.dtype == jnp.float32
  assert jnp.abs(got - want).max() < 1e-4 * jnp.abs(want).max()


@pytest.mark.parametrize(
  ("side", "channels", "kernel_side", "native"),
  [
    (2, 64, 3, False),  # views of the map
    (32, 64, 3, False),  # Winograd
    (32, 15, 3, False),
    (34, 64, 3, False),
    (34, 3, 3, False),
    (260, 64, 3, True),  # the views would take 300 MiB
    (34, 3, 5, True),
    (20, 32, 4, False),
    (21, 32, 4, True),
    (28, 1, 5, False),
  ],
)
def test_which_layers_are_native(side, channels, kernel_side, native):
  x = jnp.zeros((2, side, side, channels))
  kernel = jnp.zeros((kernel_side, kernel_side, channels, 4))
  program = jax.make_jaxpr(lambda: _convolve("fast", x, kernel, "SAME"))()
  assert ("conv_general_dilated" in str(program)) == native


def test_auto_is_fast_on_the_cpu():
  assert layers.convolution("auto") is layers.convolution("fast")
  assert layers.convolution("native") is jax.lax.conv_general_dilated


def test_unknown_lowering():
  with pytest.raises(UserError, match=r"'quick'.*auto, native, fast, short"):
    layers.convolution("quick")


# Of an even size and of an odd one.
@pytest.mark.parametrize(
  "shape",
  [
    (2, 8, 8, 3),
    (1, 5, 7, 2),
    pytest.param((3, 2, 2, 4), marks=pytest.mark.long),
  ],
)
def test_pool_equals_native_up_to_second_derivatives(x64, shape):
  inputs = _normal(shape, (1, 1, 1, 1), shape, (1, 1, 1, 1))

  def derivatives(pool):
    scaled = functools.partial(_derivatives, lambda x, scale: pool(x) * scale)
    return jax.jit(scaled)(*inputs)

  got = derivatives(layers.max_pool_2x2)
  want = derivatives(lambda x: nn.max_pool(x, (2, 2), strides=(2, 2)))
  _assert_close(got, want, tolerance=1e-12)


def test_pool_splits_the_gradient_of_ties():
  gradient = jax.grad(lambda x: layers.max_pool_2x2(x).sum())
  np.testing.assert_array_equal(
    gradient(jnp.ones((1, 2, 2, 1)))[0, :, :, 0], [[0.25, 0.25], [0.25, 0.25]]
  )
  x = jnp.array([[3.0, 1.0], [3.0, 2.0]])[None, :, :, None]
  np.testing.assert_array_equal(
    gradient(x)[0, :, :, 0], [[0.5, 0.0], [0.5, 0.0]]
  )
