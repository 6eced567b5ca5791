"""The autoencoder of a run, and figures that say what it is worth."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaaux import parallel
from metaaux.data import augment
from metaaux.errors import UserError
from metaaux.methods.embeddings import acai
from metaaux.run import batches
from metaaux.run import directory as run_directory
from metaaux.run.checkpoints import reopen

_BATCH = 250
# More would cost many minutes and change little. The losses pass an image
# through seven networks, the probe through one.
_MAX_LABELLED, _MAX_TEST, _MAX_LOSSES, _PROBE_ITERS = 5000, 10_000, 2000, 200

# Least of E[(c - a)^2] + c^2 over constants c, where a is a share of a mixture:
# uniform on [0, 1/2], mean 1/4, variance 1/48.
_BLIND = 1 / 48 + 1 / 32


class Trained(NamedTuple):
  """The autoencoder of one seed, and images that it has not seen.

  Attributes:
    run: whose it is.
    seed: of the run.
    step: updates of the autoencoder.
    num_steps: those that it is to have.
    networks: without parameters.
    params: by part.
    train: int [m], positions of the labelled images in the pool.
    test: `image` and `primary` of test images, in random order.
  """

  run: Any
  seed: int
  step: int
  num_steps: int
  networks: acai.Acai
  params: Any
  train: np.ndarray
  test: dict[str, np.ndarray]


def load(workdir: str, seed: int | None = None) -> Trained:
  """The autoencoder as its newest checkpoint has it.

  Args:
    workdir: of a run, finished or not.
    seed: None: the first of the run.

  Raises:
    UserError: there is no run, no such seed, no autoencoder or no checkpoint of
      it; or the run's data is not at hand.
  """
  config = run_directory.load_config(workdir)
  name = config.embedding.name
  if name != "acai":
    raise UserError(
      f"the run {workdir!r} has embedding.name={name!r}, and acai alone is an "
      "autoencoder; see experiments.clusters for pictures of others"
    )
  seed = config.seed if seed is None else seed
  last = config.seed + config.num_seeds - 1
  if not config.seed <= seed <= last:
    raise UserError(
      f"--seed={seed}: the run has the seeds {config.seed} to {last}"
    )
  restored = reopen.restore(workdir, "embed")
  run, number = restored.run, seed - config.seed
  states = parallel.to_host(restored.states, run.plan)
  test = run.problem.test
  # Images next to each other are mixed, and should not be of one class.
  order = np.random.default_rng(0).permutation(len(test["primary"]))[:_MAX_TEST]
  return Trained(
    run=run,
    seed=seed,
    step=restored.step,
    num_steps=restored.stage.num_steps,
    networks=acai.make(config, run.problem.spec),
    params=jax.tree.map(lambda x: x[number], states.params),
    train=run.problem.train[number],
    test={key: test[key][order] for key in ("image", "primary")},
  )


def in_blocks(
  function: Callable[..., Any], params: Any, *arrays: np.ndarray
) -> np.ndarray:
  """A function of a batch, applied to rows of any number.

  Args:
    function: (params, arrays [B, ...]) -> [B, ...].
    params: what it needs besides.
    *arrays: [n, ...] each.

  Returns:
    [n, ...].
  """
  compiled, count = jax.jit(function), len(arrays[0])
  return np.concatenate(
    [
      np.asarray(compiled(params, *(x[i : i + _BATCH] for x in arrays)))
      for i in range(0, count, _BATCH)
    ]
  )


def normalised(trained: Trained, images: jax.Array) -> jax.Array:
  """Raw images as the networks take them."""
  return batches.normalised(trained.run, images)


def measure(trained: Trained) -> dict[str, Any]:
  """What the report holds; the docstring of `interpolations` explains it.

  Args:
    trained: of `load`.
  """
  networks, params = trained.networks, trained.params
  images, primary = trained.test["image"], trained.test["primary"]
  pool = trained.run.problem.pool

  def losses(params: Any, images: jax.Array, mix_B: jax.Array) -> jax.Array:
    _, critic_loss, error = networks.losses(
      params, normalised(trained, images), mix_B
    )
    # A row for each image, so that a last, smaller batch counts for less.
    return jnp.tile(jnp.stack([critic_loss, error])[None], (len(images), 1))

  def encode(params: Any, images: jax.Array) -> jax.Array:
    return networks.encode(params, normalised(trained, images))

  some = images[:_MAX_LOSSES]
  draws = np.random.default_rng(0).random(len(some), np.float32)
  mix = 0.5 - np.abs(draws - 0.5)
  critic_loss, error = in_blocks(losses, params, some, mix).mean(
    axis=0, dtype=np.float64
  )
  where = np.random.default_rng(0).permutation(trained.train)[:_MAX_LABELLED]
  labelled, known = pool["image"][where], pool["primary"][where]
  codes = in_blocks(encode, params, labelled)
  test_codes = in_blocks(encode, params, images)
  return {
    "name": "acai",
    "seed": trained.seed,
    "step": trained.step,
    "num_steps": trained.num_steps,
    "dim": codes.shape[1],
    "test_images": len(images),
    "loss_images": len(some),
    "labelled_images": len(where),
    "rmse": float(error**0.5),
    "rmse_mean_image": rmse_of_mean_image(some, pool["image"]),
    "critic_loss": float(critic_loss),
    "critic_loss_blind": _BLIND,
    "probe_accuracy": probe(codes, known, test_codes, primary),
    "probe_accuracy_pixels": probe(
      _flat(labelled), known, _flat(images), primary
    ),
  }


def rmse_of_mean_image(images: np.ndarray, pool: np.ndarray) -> float:
  """Error of the mean of a pool as the reconstruction of every image.

  Args:
    images: raw [n, H, W, C].
    pool: raw [m, H, W, C].

  Returns:
    In pixels of [-1, 1]. What pads the images takes part, as in the loss.
  """
  mean = pool.mean(axis=0, dtype=np.float64)
  mean = (mean / 255 if pool.dtype == np.uint8 else mean).astype(np.float32)

  def error(mean: jax.Array, images: jax.Array) -> jax.Array:
    pixels = augment.normalise(images, 0.0, 1.0)
    return jnp.mean((2 * (pixels - mean[None])) ** 2, axis=(1, 2, 3))

  height, width = images.shape[1:3]
  scales = acai.num_scales(images.shape[1:])
  whole = acai.padded(height, scales) * acai.padded(width, scales)
  found = in_blocks(error, mean, images).mean(dtype=np.float64)
  return float((found * height * width / whole) ** 0.5)


def _flat(images: np.ndarray) -> np.ndarray:
  pixels = np.asarray(augment.normalise(jnp.asarray(images), 0.0, 1.0))
  return pixels.reshape(len(images), -1)


def probe(
  vectors_MxD: np.ndarray,
  labels_M: np.ndarray,
  test_NxD: np.ndarray,
  test_N: np.ndarray,
) -> float:
  """Test accuracy of a logistic regression, a fraction.

  Args:
    vectors_MxD: float [m, d], centred and scaled as a whole to unit variance.
    labels_M: int [m].
    test_NxD: float [n, d], shifted and scaled likewise.
    test_N: int [n].
  """
  from sklearn.exceptions import ConvergenceWarning
  from sklearn.linear_model import LogisticRegression

  mean = vectors_MxD.mean(axis=0)
  scale = (vectors_MxD - mean).std() or 1.0
  model = LogisticRegression(max_iter=_PROBE_ITERS)
  with warnings.catch_warnings():
    # Enough for an accuracy.
    warnings.simplefilter("ignore", ConvergenceWarning)
    model.fit((vectors_MxD - mean) / scale, labels_M)
  return float(model.score((test_NxD - mean) / scale, test_N))
