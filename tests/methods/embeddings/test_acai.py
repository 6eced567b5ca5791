"""ACAI: the sizes of the paper's networks, the losses, one stage."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaaux import stage as stage_lib
from metaaux.methods.embeddings import acai
from metaaux.models import autoencoder


def config(**embedding):
  options = {
    "width": 2,
    "latent": 2,
    "learning_rate": 0.0,
    "num_steps": 10,
    "batch_size": 8,
    **embedding,
  }
  return types.SimpleNamespace(
    dataset="digits",
    model=types.SimpleNamespace(lowering="native"),
    embedding=types.SimpleNamespace(**options),
  )


def spec(*shape):
  return stage_lib.Spec(shape, (1, 1), 100, False)


def count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
  ("shape", "width", "channels", "latent", "encoder", "decoder"),
  [
    ((28, 28, 1), 16, 0, (4, 4, 16), 166_288, 83_329),
    ((32, 32, 1), 16, 16, (4, 4, 16), 166_288, 83_329),
    ((32, 32, 3), 64, 16, (4, 4, 16), 2_434_704, 1_219_203),
    ((32, 32, 3), 64, 0, (4, 4, 64), 2_655_936, 1_329_795),
    ((32, 32, 1), 64, 16, (4, 4, 16), 2_434_576, 1_218_049),
    ((64, 64, 3), 64, 64, (4, 4, 64), 10_030_272, 5_017_219),
  ],
)
def test_sizes_of_the_table(shape, width, channels, latent, encoder, decoder):
  networks = acai.make(config(width=width, latent=channels), spec(*shape))
  params = jax.eval_shape(networks.init, jax.random.key(0))
  assert acai.latent_shape(shape, channels) == latent
  assert count(params["encoder"]) == count(params["critic"]) == encoder
  assert count(params["decoder"]) == decoder
  images = jax.ShapeDtypeStruct((5, *shape), jnp.float32)
  codes = jax.eval_shape(networks.encode, params, images)
  assert codes.shape == (5, np.prod(latent))
  again = jax.eval_shape(networks.reconstruct, params, images)
  assert again.shape == images.shape


def test_unpadded_digits_of_two_scales():
  for kind, channels, size in [
    (autoencoder.Encoder, 5, 39_941),
    (autoencoder.Decoder, 1, 20_129),
  ]:
    module = kind(16, 2, channels, "native")
    shape = (1, 28, 28, 1) if channels == 5 else (1, 7, 7, 5)
    inputs = jax.ShapeDtypeStruct(shape, jnp.float32)
    initial = functools.partial(autoencoder.init, module)
    assert count(jax.eval_shape(initial, jax.random.key(0), inputs)) == size


@pytest.mark.parametrize(
  ("shape", "scales", "latent"),
  [
    ((8, 8, 1), 1, (4, 4, 1)),
    ((4, 4, 1), 1, (2, 2, 1)),
    ((84, 84, 3), 4, (6, 6, 64)),
    ((105, 105, 1), 5, (4, 4, 64)),
    ((32, 20, 3), 3, (4, 3, 53)),
  ],
)
def test_other_sizes_get_latents_of_a_few_positions(shape, scales, latent):
  assert acai.num_scales(shape) == scales
  assert acai.latent_shape(shape, 0) == latent


def test_initial_kernels_have_the_paper_s_deviation():
  params = autoencoder.init(
    autoencoder.Encoder(16, 2, 8, "native"),
    jax.random.key(0),
    jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32),
  )
  kernel = params["Conv_5"]["kernel"]
  assert kernel.shape == (3, 3, 32, 64)
  deviation = 1 / np.sqrt(1.04 * 9 * 32)
  np.testing.assert_allclose(np.std(kernel), deviation, rtol=0.02)
  assert not any(layer["bias"].any() for layer in params.values())


def test_pooling_and_upsampling():
  x = jnp.arange(16.0).reshape(1, 4, 4, 1)
  pooled = autoencoder.average_pool_2x2(x)
  assert pooled[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
  large = autoencoder.upsample_2x2(x[:, :2, :2])[0, :, :, 0].tolist()
  assert large == [[0, 0, 1, 1]] * 2 + [[4, 4, 5, 5]] * 2


@functools.cache
def tiny():
  networks = acai.make(config(), spec(6, 6, 1))
  params = jax.jit(networks.init)(jax.random.key(0))
  pixels = np.random.default_rng(0).random((4, 6, 6, 1), np.float32)
  images = jnp.asarray((pixels - 0.5) / 0.25)  # as batches of digits come
  return networks, params, images, pixels


def test_losses_are_those_of_the_paper():
  networks, params, images, pixels = tiny()
  mix = jnp.array([0.0, 0.5, 0.25, 0.1])
  loss, critic_loss, error = jax.jit(networks.losses)(params, images, mix)
  sizes = (2, 1)
  encoder = autoencoder.Encoder(*sizes, 2, "native")
  decoder = autoencoder.Decoder(*sizes, 1, "native")

  @functools.partial(jax.jit, static_argnums=(0, 1))
  def apply(module, part, x):
    return module.apply({"params": params[part]}, x)

  def critic(x):
    return np.asarray(apply(encoder, "critic", x)).mean(axis=(1, 2, 3))

  x = 2 * jnp.asarray(pixels) - 1  # 6 is even: no padding
  z = apply(encoder, "encoder", x)
  a = mix[:, None, None, None]
  mixed = apply(decoder, "decoder", a * z + (1 - a) * z[np.array([1, 0, 3, 2])])
  again = apply(decoder, "decoder", z)
  np.testing.assert_allclose(error, ((x - again) ** 2).mean(), rtol=1e-5)
  expected = error + 0.5 * (critic(mixed) ** 2).mean()
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  blend = critic(again + 0.2 * (x - again))
  expected = ((critic(mixed) - mix) ** 2).mean() + (blend**2).mean()
  np.testing.assert_allclose(critic_loss, expected, rtol=1e-5)


def test_each_loss_moves_its_own_parts_alone():
  networks, params, images, _ = tiny()
  mix = jnp.array([0.0, 0.5, 0.25, 0.1])

  @jax.jit
  def gradients(params):
    return [
      jax.grad(lambda p, i=i: networks.losses(p, images, mix)[i])(params)
      for i in range(2)
    ]

  moved = [
    {
      part: any(np.asarray(leaf).any() for leaf in jax.tree.leaves(tree))
      for part, tree in found.items()
    }
    for found in gradients(params)
  ]
  assert moved == [
    {"encoder": True, "decoder": True, "critic": False},
    {"encoder": False, "decoder": False, "critic": True},
  ]


def test_neighbours_are_mixed():
  z = jnp.arange(5.0).reshape(5, 1, 1, 1)
  mix = jnp.array([0.25, 0.25, 0.5, 0.0, 0.1])
  found = acai.mixture(z, mix).ravel()
  np.testing.assert_allclose(found, [0.75, 0.25, 2.5, 2.0, 4.0], rtol=1e-6)


def test_mix_is_in_half_the_unit_interval_and_of_the_example():
  mix = acai._mix(jax.random.key(0), jnp.arange(1000))
  assert 0 <= mix.min() < 0.01 and 0.49 < mix.max() <= 0.5
  np.testing.assert_allclose(mix.mean(), 0.25, atol=0.02)
  some = acai._mix(jax.random.key(0), jnp.array([7, 3]))
  np.testing.assert_array_equal(some, mix[np.array([7, 3])])


def test_padding_is_black_and_cut_off_again():
  found = acai._scaled(jnp.zeros((1, 5, 3, 1)), 0.5, 0.25, (8, 4))
  assert found.shape == (1, 8, 4, 1)
  assert (found[0, 1:6, :3] == 0).all()  # 0.5 of [0, 1]
  assert found.sum() == -(8 * 4 - 5 * 3)
  shown = acai._shown(found, (5, 3, 1))
  assert shown.shape == (1, 5, 3, 1) and (shown == 0.5).all()


def test_interpolations_start_and_end_at_reconstructions():
  networks, params, images, _ = tiny()
  paths = jax.jit(networks.interpolate, static_argnums=2)(params, images, 3)
  assert paths.shape == (2, 3, 6, 6, 1)
  ends = jax.jit(networks.reconstruct)(params, images)
  np.testing.assert_allclose(paths[:, 0], ends[0::2], atol=1e-6)
  np.testing.assert_allclose(paths[:, -1], ends[1::2], atol=1e-6)


def test_training_lowers_the_error():
  stage = acai.make_stage(config(learning_rate=0.01), spec(6, 6, 1), "all")
  assert (stage.name, stage.num_steps, stage.predict) == ("embed", 10, None)
  wanted = stage_lib.StreamSpec(
    "all", False, 8, size_key="embedding.batch_size"
  )
  assert stage.streams["train"] == wanted
  batch = {"image": tiny()[2], "index": jnp.arange(4)}
  state = jax.jit(stage.init)(jax.random.key(0), batch, None)
  update = jax.jit(stage.updates["update"])
  errors = []
  for step in range(30):
    key = jax.random.key(step)
    state, metrics = update(state, {"train": batch}, key, jnp.int32(step))
    errors.append(float(metrics["rmse"]))
  assert set(metrics) == {"loss", "rmse", "critic_loss"}
  assert errors[-1] < 0.9 * errors[0]


def test_no_number_of_steps_means_twenty_passes():
  stage = acai.make_stage(config(num_steps=0), spec(6, 6, 1), "all")
  assert stage.num_steps == 20 * (100 // 8)


def test_two_devices_equal_one():
  batch = {"image": tiny()[2], "index": jnp.array([5, 2, 9, 1])}

  def run(axis_name):
    stage = acai.make_stage(config(), spec(6, 6, 1), "all", axis_name)
    state = jax.jit(stage.init)(jax.random.key(0), batch, None)
    return state, lambda state, part: stage.updates["update"](
      state, {"train": part}, jax.random.key(1), jnp.int32(0)
    )

  state, update = run(None)
  alone, values = jax.jit(update)(state, batch)
  state, update = run("d")
  halves = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), batch)
  both, spread = jax.jit(jax.vmap(update, (None, 0), axis_name="d"))(
    state, halves
  )
  for one, two in zip(
    jax.tree.leaves((alone.optimizer, values)),
    jax.tree.leaves((both.optimizer, spread)),
    strict=True,
  ):
    np.testing.assert_allclose(one, two[1], rtol=1e-4, atol=1e-6)
