"""The contract between a method and the training loop.

A method is a tuple of stages; a stage is a handful of pure functions over
pytrees. The loop (`train.py`) draws the batches, runs the updates on whatever
devices there are, evaluates, logs and saves; it never knows which method runs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from metaaux.errors import UserError

Array = jax.Array
Key = jax.Array  # a typed key, from jax.random.key
State = Any  # a pytree that holds everything a resume needs
Batch = Mapping[str, Array]
Batches = Mapping[str, Batch]  # one batch a stream
Metrics = Mapping[str, Array]  # scalars, averaged over devices


class Spec(NamedTuple):
  """What a method needs to know of the problem, and nothing of its data.

  Attributes:
    input_shape: of one example: height, width, channels of an image, or the
      one dimension of a vector.
    psi: number of auxiliary classes of each primary class, as in MAXL; its
      length is the number of primary classes, its sum the number of auxiliary
      ones.
    num_examples: size of the training pool that `index` of a batch points to.
    has_auxiliary: whether batches hold a human auxiliary label; without one
      the array is there and is -1 everywhere.
    groups: group of each primary class, where classes compete only within
      their group; (): all compete.
    origins: class of the auxiliary big task of each primary class, where the
      primary ones are of several tasks (`groups`), split task_0, task_1 ...;
      the big task's split is big, and its label `auxiliary`.
    num_big: number of classes of the big task; 0: there is none.
    domain_names: of the source domains, whose splits are domain_0, domain_1
      ...; (): the data has no target domain.
    attribute_names: of the binary attributes in `attributes` of a batch; ().
    pixel_mean: what normalising subtracts from pixels in [0, 1], one value for
      all channels or one a channel; from vectors, one for all dimensions or one
      a dimension.
    pixel_std: what it divides them by, likewise.
  """

  input_shape: tuple[int, ...]
  psi: tuple[int, ...]
  num_examples: int
  has_auxiliary: bool
  groups: tuple[int, ...] = ()
  domain_names: tuple[str, ...] = ()
  origins: tuple[int, ...] = ()
  num_big: int = 0
  attribute_names: tuple[str, ...] = ()
  pixel_mean: tuple[float, ...] = (0.5,)
  pixel_std: tuple[float, ...] = (0.25,)

  @property
  def is_image(self) -> bool:
    """Whether examples are images; else they are vectors."""
    return len(self.input_shape) == 3

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """Height, width and channels of one image.

    Raises:
      UserError: examples are vectors.
    """
    if not self.is_image:
      raise UserError(
        f"the data are vectors of {self.input_shape[0]} numbers, and this "
        "method, network or setting needs images; choose another"
      )
    return self.input_shape

  @property
  def num_primary(self) -> int:
    """Number of primary classes."""
    return len(self.psi)

  @property
  def num_auxiliary(self) -> int:
    """Number of auxiliary classes, all blocks together."""
    return sum(self.psi)


class StreamSpec(NamedTuple):
  """One stream of batches.

  A batch has `image` float32 [B, H, W, C] (normalised, augmented), `primary`
  int32 [B], `auxiliary` int32 [B] (block column, or -1) and `index` int32 [B]
  (position in the training pool); where the problem has binary attributes, also
  `attributes` int8 [B, K], 1 with, 0 without, -1 unknown.

  Attributes:
    split: "train", "meta", "domain_K", "all": every image of the training
      pool, labelled or not, or "unlabelled": those that are neither in "train"
      nor in "meta". Batches of the last two have -1 for labels, so that none
      can be used; `attributes`, which are labels of auxiliary tasks, are there.
    augment: whether the images are augmented.
    batch_size: over all devices; 0: that of the config.
    size_key: key of the config that sets `batch_size`, for messages.
    draw: (state, key, B) -> int32 [B], positions of a batch that depends on
      what the stage has learned; None: the split's epochs, one after another.
    second_view: whether a batch also has `view`, float32 [B, H, W, C]: the same
      images, augmented anew.
  """

  split: str
  augment: bool
  batch_size: int = 0
  draw: Callable[[State, Key, int], Array] | None = None
  second_view: bool = False
  size_key: str = "batch_size"


class PoolView(NamedTuple):
  """What a stage may look at, on the host and once, before it begins.

  Attributes:
    seed: of the run that is prepared.
    key: of this seed and stage.
    previous: state of the stage before, or None.
    images: uint8 or float32 [n, H, W, C], the whole training pool; with several
      hosts perhaps `lazy_images.Images`; `np.asarray` decodes any part of it.
    train: int32 [n_train], positions whose labels the primary task may use.
    primary: int32 [n], true labels. For reports, and at `train`; a method that
      reads others cheats.
    auxiliary: int32 [n], human auxiliary labels or -1.
    map: function -> [n, ...]; the function takes (previous, normalised images
      [B, H, W, C]) and returns [B, ...].
    cache: (name, what makes it, compute) -> arrays; computed once in a run
      directory for the same name and makers, which must be JSON-able.
    report: (name, JSON-able) writes reports/NAME-seedS.json.
  """

  seed: int
  key: Key
  previous: State | None
  images: np.ndarray
  train: np.ndarray
  primary: np.ndarray
  auxiliary: np.ndarray
  map: Callable[[Callable[[State, Array], Array]], np.ndarray]
  cache: Callable[
    [str, Mapping[str, Any], Callable[[], Mapping[str, np.ndarray]]],
    Mapping[str, np.ndarray],
  ]
  report: Callable[[str, Mapping[str, Any]], None]


class Prepare(NamedTuple):
  """Work on the whole pool before a stage begins, such as a clustering.

  Attributes:
    shapes: `jax.ShapeDtypeStruct`s of what `compute` returns.
    compute: view of the pool -> pytree of arrays, once for each seed.
  """

  shapes: Any
  compute: Callable[[PoolView], Any]


Update = Callable[[State, Batches, Key, Array], tuple[State, Metrics]]


def _one_phase(step: int) -> str:
  del step
  return "update"


def _no_alarms(metrics: Mapping[str, float]) -> Mapping[str, str]:
  del metrics
  return {}


class Stage(NamedTuple):
  """One phase of training that the loop runs to its end.

  Attributes:
    name: as it stands in metrics.jsonl and in `config.NAME.num_steps`.
    num_steps: how many updates the stage takes.
    streams: the batches that every update receives, by name.
    init: (key, batch, state of the stage before or None) -> state; with
      `prepare` the third is a pair of that state and what was prepared.
    updates: by phase, (state, batches, key, step) -> (state, metrics); `step`
      is an int32 scalar counted from 0 within the stage.
    predict: (state, images [B, H, W, C]) -> primary logits [B, C], evaluation
      mode; None for a stage that does not know the primary task, which is then
      not evaluated.
    prepare: what is computed on the whole pool before `init`, or None.
    phase: which of `updates` the step runs; known on the host, so that an
      update which is not due costs nothing.
    targets: (state, batch) -> soft auxiliary labels [B, K], or None where the
      method learns no labels; the loop collects them over a split and logs
      what `losses.label_statistics` says of them.
    probe: (state, batches, step) -> metrics that are too dear for every step,
      or None; logged at every evaluation.
    attributes: (state, images) -> logits [B, K] of binary auxiliary tasks, for
      problems whose batches have `attributes`; or None.
    reuse: of a first stage, everything of the config that makes its final
      state, JSON-able; runs with the same, and the same images, may share that
      through `config.cache`. None: each run trains its own.
    alarms: metrics of an evaluation of the meta split -> {kind: text}, warnings
      for the user of one line. Each kind is told once a stage, for the seed
      where it comes first, whatever numbers its later texts have.
    needs_unlabelled: whether it learns from images without labels, so that it
      is refused where all images have one.
    program: names what `updates` and `streams` are compiled to. Stages that
      name the same one have the same objects there, and are compiled once; "":
      the stage is compiled by itself.
  """

  name: str
  num_steps: int
  streams: Mapping[str, StreamSpec]
  init: Callable[[Key, Batch, Any], State]
  updates: Mapping[str, Update]
  predict: Callable[[State, Array], Array] | None
  prepare: Prepare | None = None
  phase: Callable[[int], str] = _one_phase
  targets: Callable[[State, Batch], Array] | None = None
  probe: Callable[[State, Batches, Array], Metrics] | None = None
  attributes: Callable[[State, Array], Array] | None = None
  reuse: Mapping[str, Any] | None = None
  alarms: Callable[[Mapping[str, float]], Mapping[str, str]] = _no_alarms
  needs_unlabelled: bool = False
  program: str = ""
