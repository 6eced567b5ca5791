"""Makes the arrays and splits for training from a configuration."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaaux import stage
from metaaux.data import attributes as attributes_lib
from metaaux.data import (
  checks,
  domains,
  no_label,
  normalisation,
  several_tasks,
  sources,
  splits,
)
from metaaux.data import levels as levels_lib
from metaaux.data import plausible as looked
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError
from metaaux.parallel import hosts

UNLABELLED = "unlabelled"


class Problem(NamedTuple):
  """Everything that training and evaluation know of the data.

  Attributes:
    pool: `image` uint8 or float32 [n, H, W, C] (with several hosts it may be
      `lazy_images.Images`), or vectors, float32 [n, d]; `primary` int32 [n],
      `auxiliary` int32 [n] (block column of the human sub-class, or -1); with
      binary attributes beside the primary one also `attributes` int8 [n, K].
    test: the same for the test split.
    splits: by name int32 [S, n], positions in the pool, a row a seed:
      train: whose labels the primary task learns from;
      meta: held out of these; the rows of train again where `meta_fraction`
        and `meta_per_class` are 0;
      all: every position, the same for each seed, for methods that learn from
        images without labels; of several tasks those of the big task. The last
        ones have no label at all where the source has such examples, -1;
      unlabelled: examples in neither train nor meta; not of several tasks;
      domain_0, ...: of the source domains; task_0, ..., big: of several tasks.
    spec: the part of this that methods see.
    primary_names: class names.
    levels: names of the primary and the auxiliary level ("": none).
    auxiliary_names: of the human sub-classes, by column; () without them.
    group_names: of the groups that classes compete within; () without them.
    attributes: the primary attribute and the K others; () without any.
    test_positions: int32 [S, n], the examples of `test` that each seed is
      tested on; None: all.
    notes: lines that say how the source was read.
  """

  pool: dict[str, np.ndarray]
  test: dict[str, np.ndarray]
  splits: Mapping[str, np.ndarray]
  spec: stage.Spec
  primary_names: tuple[str, ...]
  levels: tuple[str, str]
  auxiliary_names: tuple[str, ...] = ()
  group_names: tuple[str, ...] = ()
  attributes: tuple[attributes_lib.Attribute, ...] = ()
  test_positions: np.ndarray | None = None
  notes: tuple[str, ...] = ()

  @property
  def train(self) -> np.ndarray:
    """Positions of the labelled images that are trained on: [S, n]."""
    return self.splits["train"]

  @property
  def meta(self) -> np.ndarray:
    """Positions of the labelled images that are held out: [S, n]."""
    return self.splits["meta"]

  def positions(self, split: str) -> np.ndarray:
    """Positions in the pool of a split that streams draw from: [S, n].

    Raises:
      UserError: the split is "unlabelled" where all images are labelled, or
        belong to one of several tasks; or there is no such split.
    """
    if split == UNLABELLED and split not in self.splits:
      raise UserError(
        "images of several tasks (task_classes) are never unlabelled; set "
        "semi_supervised.pool=all"
      )
    if split not in self.splits:
      raise UserError(
        f"a stream draws from split {split!r}, which these data have not; use "
        f"one of {', '.join(self.splits)}"
      )
    found = self.splits[split]
    if split == UNLABELLED and not found.shape[1]:
      raise UserError(
        f"all {self.spec.num_examples} training images are labelled, so that "
        "none is left for the unlabelled ones; lower labels_per_class or "
        "label_fraction, or set semi_supervised.pool=all"
      )
    return found

  def tested(self) -> np.ndarray:
    """Positions in `test` that each seed is tested on: [S, n]."""
    if self.test_positions is not None:
      return self.test_positions
    return every_position(len(self.test["primary"]), len(self.train))


def every_position(count: int, num_seeds: int) -> np.ndarray:
  """0 .. count - 1 for each seed: int32 [S, count]."""
  return np.tile(np.arange(count, dtype=np.int32), (num_seeds, 1))


def build(config: Any) -> Problem:
  """Loads the data of a configuration and divides it for every seed.

  The levels: with `primary` empty it is the only level, or the coarsest where
  `aux` or `psi` do not say otherwise; with `aux` and `psi` empty, the auxiliary
  level is the finest one if that is finer than the primary level, else each
  primary class gets 5 free auxiliary classes. `psi` sets their number: one
  value for all classes or one a class. Human labels are present if there is an
  auxiliary level and `psi` does not contradict it. With `within` the classes of
  the primary level compete only inside their class of that coarser level.

  With `attributes` the primary level is the binary attribute of that name, and
  there is an auxiliary level only if `aux` names one.

  Args:
    config: has the attributes dataset, hierarchy, select, shrink, image_side,
      pixels, train_split, test_split, target_domain, primary, aux, within, psi,
      attributes, labels_per_class, label_fraction, meta_fraction,
      meta_per_class, seed, num_seeds and batch_size; perhaps skip_broken,
      pixel_range and background.

  Raises:
    UserError: the data or one of these is wrong; the message names it.
  """
  if config.target_domain:
    return _build_domains(config)
  if config.task_classes:
    return _build_several(config)
  pool, test = (
    load_source(config, config.dataset, split)
    for split in (config.train_split, config.test_split)
  )
  checks.alike(pool, test, config)
  attributes = attributes_lib.choose(config, pool.names)
  if attributes:
    pool, test = (
      attributes_lib.with_primary(source, attributes[0])
      for source in (pool, test)
    )
    checks.primary_attribute(config, pool)
  levels = levels_lib.choose(config, pool.names)
  checks.two_classes(config, pool, levels[0])
  columns, psi = levels_lib.auxiliary_task(config.psi, pool, test, levels)
  train, meta = _divide(config, pool, levels[0])
  checks.batch_size(config.batch_size, train, meta)
  primary, aux = levels
  groups = levels_lib.groups(config, pool, primary)
  images = no_label.all_images(pool)
  problem = _assemble(
    pixels=normalisation.choose(config, images),
    pool=no_label.extended(
      examples(pool, levels, columns, attributes[1:]), images
    ),
    test=examples(test, levels, columns, attributes[1:]),
    positions={
      "train": train,
      "meta": meta,
      "all": every_position(len(images), config.num_seeds),
      UNLABELLED: splits.unlabelled(train, meta, len(images)),
    },
    names=pool.names[primary],
    level=primary,
    notes=looked.notes(pool, test, primary, train),
    psi=psi,
    has_auxiliary=columns is not None,
    groups=groups,
    attribute_names=tuple(attribute.name for attribute in attributes[1:]),
  )
  return problem._replace(
    levels=levels,
    auxiliary_names=_in_block_order(pool, aux, columns),
    group_names=pool.names[config.within] if groups else (),
    attributes=attributes,
  )


def _assemble(
  *,
  pixels: tuple[tuple[float, ...], tuple[float, ...]],
  pool: dict[str, np.ndarray],
  test: dict[str, np.ndarray],
  positions: Mapping[str, np.ndarray],
  names: tuple[str, ...],
  level: str,
  notes: tuple[str, ...],
  **of_spec: Any,
) -> Problem:
  """A problem of one level of labels, to which each kind adds its own.

  Args:
    pixels: see `normalisation.choose`.
    pool: see `Problem`.
    test: likewise.
    positions: `Problem.splits`.
    names: of the primary classes.
    level: name of their level.
    notes: see `Problem`.
    **of_spec: fields of `stage.Spec` that are not as in the plainest problem.
  """
  plain = stage.Spec(
    input_shape=pool["image"].shape[1:],
    psi=(1,) * len(names),
    num_examples=len(pool["image"]),
    has_auxiliary=False,
    pixel_mean=pixels[0],
    pixel_std=pixels[1],
  )
  return Problem(
    pool=pool,
    test=test,
    splits=positions,
    spec=plain._replace(**of_spec),
    primary_names=names,
    levels=(level, ""),
    notes=notes,
  )


def _build_domains(config: Any) -> Problem:
  """The problem of `target_domain`, see `domains.divide`."""
  source = load_source(config, config.dataset, config.train_split)
  checks.all_labelled(config, source, "target_domain")
  primary, found = domains.divide(config, source)
  checks.two_classes(config, source, primary)
  checks.batch_size(config.batch_size, found.train, found.train)
  everything = examples(source, (primary, ""), None, ())
  rest = splits.unlabelled(found.train, found.validation, len(source.images))
  domain = {f"domain_{k}": rows for k, rows in enumerate(found.sources)}
  others = np.setdiff1d(np.arange(len(source.images)), found.test)
  problem = _assemble(
    pixels=normalisation.choose(config, source.images, others),
    pool=everything,
    test=everything,
    positions={
      "train": found.train,
      "meta": found.validation,
      "all": every_position(len(source.images), config.num_seeds),
      UNLABELLED: rest,
      **domain,
    },
    names=source.names[primary],
    level=primary,
    notes=looked.notes(
      source, source, primary, found.train, tested=found.test[0]
    ),
    domain_names=found.names,
  )
  return problem._replace(test_positions=found.test)


def _build_several(config: Any) -> Problem:
  """The problem of `task_classes`, see `several_tasks.divide`."""
  pool = test = load_source(config, config.dataset, config.train_split)
  if not config.task_domains:
    test = load_source(config, config.dataset, config.test_split)
  checks.all_labelled(config, pool, "task_classes")
  checks.alike(pool, test, config)
  classes = [name for name in pool.names if name != several_tasks.DOMAIN]
  level = config.primary or source_lib.finest(
    {n: pool.names[n] for n in classes}
  )
  found = several_tasks.divide(config, pool, test, level)
  tasks = {f"task_{j}": rows for j, rows in enumerate(found.tasks)}
  train = np.concatenate(found.tasks, axis=1)
  problem = _assemble(
    pixels=normalisation.choose(config, found.pool["image"], found.big),
    pool=found.pool,
    test=found.test,
    positions={
      "train": train,
      "meta": train,
      "all": found.big,
      "big": found.big,
      **tasks,
    },
    names=found.names,
    level=level,
    notes=looked.notes(pool, test, level, None),
    groups=found.groups,
    origins=found.origins,
    num_big=len(pool.names[level]),
  )
  return problem._replace(group_names=tuple(tasks), test_positions=found.tested)


def constant_attributes(problem: Problem) -> list[str]:
  """Names of other attributes that all training images have, or none has."""
  if "attributes" not in problem.pool:
    return []
  names = problem.spec.attribute_names
  return attributes_lib.constant(problem.pool["attributes"], names)


def load_source(config: Any, source: str, split: str) -> source_lib.Source:
  """A split of a data source, as the configuration wants its images.

  Where there are several hosts, images may be `lazy_images.Images`: each host
  decodes what its devices keep.
  """
  found = sources.load(
    source,
    split,
    hierarchy=config.hierarchy,
    select=config.select,
    side=config.image_side,
    lazy=hosts.count() > 1,
    skip_broken=getattr(config, "skip_broken", False),
    pixel_range=_pixel_range(config),
    background=getattr(config, "background", 128),
  )
  checks.of_vectors(config, found.images)
  return source_lib.shrink(found, config.shrink, source)


def _pixel_range(config: Any) -> tuple[float, ...]:
  """(black, white) of the config; () where the images say it themselves."""
  given = tuple(getattr(config, "pixel_range", ()))
  if given and (len(given) != 2 or not given[0] < given[1]):
    raise UserError(
      f"pixel_range={given}; give two numbers, that of black and the larger "
      "one of white, such as 0,4095"
    )
  return given


def _divide(
  config: Any, pool: source_lib.Source, primary: str
) -> tuple[np.ndarray, np.ndarray]:
  """Train and meta positions, [S, n_train] and [S, n_meta]."""
  if config.num_seeds < 1:
    raise UserError(f"num_seeds={config.num_seeds}; use 1 or more")
  finest = source_lib.finest(pool.names)
  if config.attributes and len(pool.names[finest]) == 2:
    finest = primary  # no other attribute is finer
  pairs = [
    splits.train_meta(
      pool.labels[finest],
      pool.labels[primary],
      labels_per_class=config.labels_per_class,
      label_fraction=config.label_fraction,
      meta_fraction=config.meta_fraction,
      meta_per_class=getattr(config, "meta_per_class", 0),
      seed=config.seed + i,
      names=pool.names[primary],
    )
    for i in range(config.num_seeds)
  ]
  train, meta = zip(*pairs, strict=True)
  return np.stack(train), np.stack(meta)


def examples(
  source: source_lib.Source,
  levels: tuple[str, str],
  columns: np.ndarray | None,
  attributes: Sequence[attributes_lib.Attribute],
) -> dict[str, np.ndarray]:
  """Images and labels of a source, in the form of `Problem.test`."""
  primary, aux = levels
  labels = source.labels[primary]
  if columns is None:
    auxiliary = np.full_like(labels, -1)
  else:
    auxiliary = columns[source.labels[aux]]
  found = {"image": source.images, "primary": labels, "auxiliary": auxiliary}
  if attributes:
    found["attributes"] = attributes_lib.table(source, attributes)
  return found


def _in_block_order(
  source: source_lib.Source, aux: str, columns: np.ndarray | None
) -> tuple[str, ...]:
  """Names of the human sub-classes, by column."""
  if columns is None:
    return ()
  return tuple(source.names[aux][i] for i in np.argsort(columns))
