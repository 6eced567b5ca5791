"""ACAI: an autoencoder whose interpolations a critic cannot tell from data.

Berthelot, Raffel, Roy & Goodfellow 2019, "Understanding and Improving
Interpolation in Autoencoders via an Adversarial Regularizer"
(arXiv:1807.07543), with the losses and the settings of its code. No label is
used.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaaux import parallel
from metaaux.methods import optim
from metaaux.methods.optim import OptimizerOptions
from metaaux.models import autoencoder
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

# Weight of the critic in the autoencoder's loss, and how much of the image is
# left in what the critic is to call no interpolation.
_CRITIC_WEIGHT = 0.5
_BLEND = 0.2
_LATENT_SIDE = 4
_LEARNING_RATE = 1e-4
_EPOCHS = 20


class AcaiState(NamedTuple):
  """Parameters by part ("encoder", "decoder", "critic") and Adam's moments."""

  params: dict[str, Tree]
  optimizer: Tree


class Acai(NamedTuple):
  """The networks without their parameters; images are normalised [B, H, W, C].

  Attributes:
    init: key -> parameters by part.
    losses: (parameters, images, mix [B]) -> (loss of the autoencoder, loss of
      the critic, mean squared error); each loss has gradients in its own parts
      alone. `mix` is the share a of an image's own latent, in [0, 0.5].
    encode: (parameters, images) -> latents [B, d].
    reconstruct: (parameters, images) -> images in [0, 1].
    interpolate: (parameters, images, num) -> [B // 2, num, H, W, C] in [0, 1],
      from the first image of each pair to the second.
  """

  init: Callable[[Key], dict[str, Tree]]
  losses: Callable[[dict[str, Tree], Array, Array], tuple[Array, Array, Array]]
  encode: Callable[[dict[str, Tree], Array], Array]
  reconstruct: Callable[[dict[str, Tree], Array], Array]
  interpolate: Callable[[dict[str, Tree], Array, int], Array]


def num_scales(image_shape: tuple[int, int, int]) -> int:
  """S, halvings after which the longer side is about 4; at least 1."""
  return max(1, round(math.log2(max(image_shape[:2]) / _LATENT_SIDE)))


def padded(side: int, scales: int) -> int:
  """The smallest multiple of 2^S that is not below a side."""
  return -(-side // 2**scales) * 2**scales


def latent_shape(
  image_shape: tuple[int, int, int], channels: int
) -> tuple[int, int, int]:
  """Shape of an image's latent.

  Args:
    image_shape: H, W, C.
    channels: c; 0: as many as make the latent about a third of the image (16
      for MNIST, 64 for CIFAR, as in the paper), at most 64.
  """
  scales = num_scales(image_shape)
  height, width = (padded(side, scales) >> scales for side in image_shape[:2])
  third = round(math.prod(image_shape) / (3 * height * width))
  return height, width, channels or min(64, max(1, third))


def make(config: Any, spec: Spec) -> Acai:
  """The networks for images of one shape.

  Sides that 2^S does not divide are padded with black, as the paper's 28x28
  images are to 32x32. Batches come normalised; here that is undone, since the
  weights of the losses are meant for pixels in [-1, 1].

  Args:
    config: `model.lowering`, `embedding.width` and `embedding.latent` (see
      `latent_shape`).
    spec: `image_shape`, and how pixels are normalised.
  """
  options, shape = config.embedding, spec.image_shape
  latent, scales = latent_shape(shape, options.latent), num_scales(shape)
  sides = tuple(padded(side, scales) for side in shape[:2])
  sizes = {"width": options.width, "num_scales": scales}
  # Of these few channels XLA's own convolution is fast on a CPU, too.
  automatic = config.model.lowering == "auto"
  sizes["lowering"] = "native" if automatic else config.model.lowering
  encoder = autoencoder.Encoder(channels=latent[2], **sizes)
  decoder = autoencoder.Decoder(channels=shape[2], **sizes)
  mean, std = spec.pixel_mean, spec.pixel_std

  def init(key: Key) -> dict[str, Tree]:
    images = jax.ShapeDtypeStruct((1, *sides, shape[2]), jnp.float32)
    latents = jax.ShapeDtypeStruct((1, *latent), jnp.float32)
    keys = jax.random.split(key, 3)
    return {
      "encoder": autoencoder.init(encoder, keys[0], images),
      "decoder": autoencoder.init(decoder, keys[1], latents),
      "critic": autoencoder.init(encoder, keys[2], images),
    }

  def latents(params: dict[str, Tree], images: Array) -> Array:
    x = _scaled(images, mean, std, sides)
    return encoder.apply({"params": params["encoder"]}, x)

  def decode(params: dict[str, Tree], z: Array) -> Array:
    return decoder.apply({"params": params["decoder"]}, z)

  def losses(
    params: dict[str, Tree], images: Array, mix_B: Array
  ) -> tuple[Array, Array, Array]:
    def critic(weights: Tree, x: Array) -> Array:
      return encoder.apply({"params": weights}, x).mean(axis=(1, 2, 3))

    fixed = jax.lax.stop_gradient
    x, z = _scaled(images, mean, std, sides), latents(params, images)
    weights = params["critic"]
    again, mixed = decode(params, z), decode(params, mixture(z, mix_B))
    error = jnp.mean((x - again) ** 2)
    fooled = jnp.mean(critic(fixed(weights), mixed) ** 2)
    guess_B = critic(weights, fixed(mixed))
    blend = fixed(again + _BLEND * (x - again))
    critic_loss = jnp.mean((guess_B - mix_B) ** 2) + jnp.mean(
      critic(weights, blend) ** 2
    )
    return error + _CRITIC_WEIGHT * fooled, critic_loss, error

  def encode(params: dict[str, Tree], images: Array) -> Array:
    return latents(params, images).reshape(len(images), -1)

  def interpolate(params: dict[str, Tree], images: Array, num: int) -> Array:
    z = latents(params, images[: len(images) // 2 * 2])
    first, second = z[0::2, None], z[1::2, None]
    t = jnp.linspace(0, 1, num)[None, :, None, None, None]
    path = (1 - t) * first + t * second
    x = decode(params, path.reshape(-1, *latent))
    return _shown(x.reshape(-1, num, *x.shape[1:]), shape)

  def reconstruct(params: dict[str, Tree], images: Array) -> Array:
    return _shown(decode(params, latents(params, images)), shape)

  return Acai(init, losses, encode, reconstruct, interpolate)


def mixture(z_BxHxWxC: Array, mix_B: Array) -> Array:
  """a z + (1 - a) z', where z' is the latent of the neighbour in the batch.

  Images 2i and 2i + 1 are neighbours; the last of an odd number is its own.

  Note: the paper's code pairs the first with the last and so on. In a batch in
  random order that is the same, but here pairs stay together when the batch is
  split over devices.
  """
  count = z_BxHxWxC.shape[0]
  order = jnp.minimum(jnp.arange(count) ^ 1, count - 1)
  mix = mix_B[:, None, None, None]
  return mix * z_BxHxWxC + (1 - mix) * z_BxHxWxC[order]


def make_stage(
  config: Any, spec: Spec, images: str, axis_name: str | None = None
) -> Stage:
  """Trains encoder, decoder and critic at once with Adam.

  Metrics: `loss` of the autoencoder, `rmse` of the reconstruction in pixels of
  [-1, 1], `critic_loss`.

  Args:
    config: `embedding` (`num_steps`, 0: 20 passes over the pool; `batch_size`;
      `learning_rate`, 0: 1e-4) and what `make` reads.
    spec: the problem.
    images: that it learns from: "all" or "train", the labelled ones.
    axis_name: devices to average over, None on one device.
  """
  networks, options = make(config, spec), config.embedding
  epoch = max(1, spec.num_examples // options.batch_size)
  num_steps = options.num_steps or _EPOCHS * epoch
  optimizer = optim.make(
    OptimizerOptions("adam", options.learning_rate or _LEARNING_RATE), num_steps
  )

  def init(key: Key, batch: Batch, previous: State | None) -> AcaiState:
    del batch, previous
    params = networks.init(key)
    return AcaiState(params, optimizer.init(params))

  def update(
    state: AcaiState, batches: Batches, key: Key, step: Array
  ) -> tuple[AcaiState, Metrics]:
    batch = batches["train"]

    def total(params: dict[str, Tree]) -> tuple[Array, tuple[Array, ...]]:
      mix_B = _mix(key, batch["index"])
      values = networks.losses(params, batch["image"], mix_B)
      return values[0] + values[1], values

    gradients, values = jax.grad(total, has_aux=True)(state.params)
    gradients, values = parallel.pmean((gradients, values), axis_name)
    loss, critic_loss, error = values
    metrics = {
      "loss": loss,
      "rmse": jnp.sqrt(error),
      "critic_loss": critic_loss,
    }
    new = optimizer.update(gradients, state.optimizer, state.params, step)
    return AcaiState(*new), metrics

  return Stage(
    name="embed",
    num_steps=num_steps,
    streams={
      "train": StreamSpec(
        images,
        augment=False,
        batch_size=options.batch_size,
        size_key="embedding.batch_size",
      )
    },
    init=init,
    updates={"update": update},
    predict=None,
  )


def _mix(key: Key, index_B: Array) -> Array:
  """Shares in [0, 0.5] that depend on the example, not on its device."""
  keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, index_B)
  return 0.5 - jnp.abs(jax.vmap(jax.random.uniform)(keys) - 0.5)


def _scaled(images: Array, mean: Any, std: Any, sides: Any) -> Array:
  """Normalised images as pixels in [-1, 1], padded with black."""
  one = (1,) * (images.ndim - 1) + (-1,)
  mean, std = (
    jnp.reshape(jnp.asarray(v, images.dtype), one) for v in (mean, std)
  )
  top, left = _margins(images.shape[1:3], sides)
  bottom = sides[0] - images.shape[1] - top
  right = sides[1] - images.shape[2] - left
  return jnp.pad(
    2 * (images * std + mean) - 1,
    ((0, 0), (top, bottom), (left, right), (0, 0)),
    constant_values=-1,
  )


def _shown(x: Array, image_shape: tuple[int, int, int]) -> Array:
  """Pixels in [0, 1] of what a network made, without the padding."""
  height, width, _ = image_shape
  top, left = _margins((height, width), x.shape[-3:-1])
  x = x[..., top : top + height, left : left + width, :]
  return jnp.clip((x + 1) / 2, 0, 1)


def _margins(inner: Any, outer: Any) -> tuple[int, int]:
  """Rows above and columns to the left of an image in its padded one."""
  return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2
